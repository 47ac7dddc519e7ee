"""The telescoping sampler beside engines of one number of components: in compare, and where it cannot stand in."""

import numpy as np
import pytest
from oracles.agreement import mean_and_error
from oracles.effort import WHOLE
from scipy import stats

import bayesgmm as bg
from bayesgmm.engines.engine import find_engine, of_one_number
from bayesgmm.engines.telescoping.compared import sample_clusters
from bayesgmm.errors import ArgumentError, FitError, PriorError

X = np.array([-1.9, -1.6, 0.2, 0.5, 2.4])[:, None]
PRIOR = bg.Prior(weights=bg.Dirichlet(0.7), components=bg.NormalInverseWishart(0.1, 0.3, 4.0, 1.2))
SETTINGS = {"prior": PRIOR, "num_warmup": 50, "progress_bar": False}


@pytest.fixture(scope="module")
def compared():
    return bg.compare(X, 2, engines=("gibbs", "telescoping"), num_samples=1000, **SETTINGS)


@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning")
def test_compare_has_the_draws_with_so_many_clusters(compared):
    """Under the prior of the comparison: those of Gibbs, weighted by P(no component is empty | θ)."""
    gibbs, found = compared.results["gibbs"], compared.results["telescoping"]
    assert (found.n_components, found.algorithm) == (2, "telescoping")
    assert found.reference.means[0] == gibbs.reference.means[0]
    weights, means, trils = (part[:, :, None] for part in gibbs.params)
    joint = weights * stats.norm.pdf(X, means[..., 0], trils[..., 0, 0])
    filled = 1.0 - (joint / joint.sum(axis=-1, keepdims=True)).prod(axis=2).sum(axis=-1)
    mean, error = mean_and_error(found.params.weights.min(axis=-1))
    smaller = gibbs.params.weights.min(axis=-1)
    expected = (filled * smaller).mean() / filled.mean()
    theirs = mean_and_error(filled * (smaller - expected) / filled.mean())[1]
    assert abs(mean - expected) < 4 * np.hypot(error, theirs)
    verdict = " ".join(compared.verdict())
    assert "telescoping: K₊ is " in verdict
    assert "no component is empty" in verdict
    assert "disagree" not in verdict  # another posterior, so no comparison with Gibbs


def test_a_number_that_no_draw_has_is_a_failure():
    with pytest.raises(FitError, match=r"No draw has 5 clusters. K₊ is .* far off: draw more"):
        sample_clusters(X, 5, num_samples=20, num_chains=1, **SETTINGS)


def test_it_stands_in_for_no_other_engine(compared):
    assert "telescoping" not in [one.name for one in of_one_number()]
    assert find_engine("telescoping").draws_number
    with pytest.raises(ArgumentError, match="cannot be the reference"):
        bg.compare(X, 2, engines=("em",), reference="telescoping", **SETTINGS)
    with pytest.raises(ArgumentError, match="draws that number too"):
        bg.select(X, [1, 2], criteria="loo", engine="telescoping")
    with pytest.raises(ArgumentError, match="draws the number"):
        bg.kfold(compared.results["telescoping"], k=2)
    with pytest.raises(ArgumentError, match="no parameter of a component can be held"):
        bg.compare(X, 2, engines=("em", "telescoping"), fixed={"means": [[0.0], None]}, **SETTINGS)
    apart = PRIOR._replace(weights=bg.Dirichlet([1.0, 2.0]))
    with pytest.raises(PriorError, match="same prior"):
        bg.compare(X, 2, engines=("em", "telescoping"), **SETTINGS | {"prior": apart})


@WHOLE
def test_calibrate_draws_the_number_of_components_too():
    settings = {"engine": "telescoping", "prior": PRIOR, "num_warmup": 20, "num_samples": 60}
    numbers = {"components": bg.UniformComponents(4), "concentration": bg.Dynamic(bg.Gamma(2.0, 1.0))}
    found = bg.calibrate(X, n_sims=3, **numbers, **settings)
    assert found.num_sims == 3
    assert {"num_components", "num_clusters", "concentration"} <= set(found.pit.columns)
    assert ((found.pit > 0) & (found.pit < 1)).all(axis=None)
    for wrong, words in (({"n_components": 2}, "n_components has no use"), ({"labels": [0] * 5}, "labels"),
                         ({"fixed": {"weights": [1.0]}}, "fixed has no use")):  # fmt: skip
        with pytest.raises(ArgumentError, match=words):
            bg.calibrate(X, **settings | wrong)
    with pytest.raises(ArgumentError, match="n_components"):
        bg.calibrate(X, engine="gibbs")
