"""Every comparison says how to make it again."""

import json

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.comparison.manifest import call_of, code_of, data_words, manifest
from bayesgmm.data.table import as_table

X = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([0.0, 5.0], 20)[:, None]
SCALE = np.array([[2.0, 0.5], [0.5, 1.0]])
PARTS = {
    "niw": bg.NormalInverseWishart([0.0, 1.0], 0.1, 5.0, SCALE),
    "per component": bg.NormalInverseWishart([[0.0, 1.0], [5.0, 5.0]], 0.1, 5.0, SCALE),
    "nig": bg.NormalInverseGamma(0.0, 0.1, 3.0, 2.0),
    "independent": bg.NormalTimesInverseWishart([0.0, 1.0], 10.0 * SCALE, 5.0, SCALE),
    "hierarchical": bg.HierarchicalInverseWishart([0.0, 1.0], 10.0 * SCALE, 5.0, 4.0, SCALE),
    "lkj": bg.NormalTimesLKJ([0.0, 1.0], 10.0 * SCALE, 2.0, bg.HalfNormal([1.0, 2.0])),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_prior_is_written_as_code(name):
    prior = bg.Prior(bg.Dirichlet([1.0, 3.0]), PARTS[name]).expand(2, 2)
    again = eval(code_of(prior)).expand(2, 2)
    assert str(again) == str(prior)
    other = bg.Prior(bg.Dirichlet([1.0, 3.5]), PARTS[name]).expand(2, 2)
    assert code_of(other) != code_of(prior)


@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning")
@pytest.mark.parametrize("prior", ["default", bg.Prior(bg.Dirichlet(2.0), PARTS["niw"])])
def test_the_call_makes_the_same_draws(prior):
    arguments = {"num_warmup": 20, "num_samples": 60, "num_chains": 2, "n_init": 3, "progress_bar": False}
    found = bg.compare(X, 2, engines=("em", "gibbs"), prior=prior, interval=0.9, seed=7, **arguments)
    call = call_of(found)
    again = eval(call.replace("bg.compare(x,", "bg.compare(X, progress_bar=False,"))
    for name in ("em", "gibbs"):
        for one, other in zip(found.results[name].params, again.results[name].params, strict=True):
            np.testing.assert_array_equal(one, other)
    assert again.interval == 0.9
    assert call_of(again) == call


def test_manifest(tmp_path):
    arguments = {"num_warmup": 20, "num_samples": 60, "num_chains": 2, "n_init": 3, "progress_bar": False}
    found = bg.compare(X, 2, engines=("em",), **arguments)
    content = json.loads(manifest(found))
    assert content["call"] == call_of(found)
    assert content["data"]["rows"] == 40
    assert content["data"] != data_words(as_table(X + 1e-12))
    assert content["versions"]["bayesgmm"]
    assert "manifest.json" in {path.name for path in found.save(tmp_path)}
