"""Rows on several devices: the same statistics, draws and results as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.devices import mesh_of

PASSES = """
import json, jax, numpy as np, jax.random as jr
import bayesgmm as bg
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.runtime.devices import mesh_of
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.e_step import average, draw
from bayesgmm.sweep.incomplete import to_weighted_blocks, to_incomplete
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.rows import to_blocks
from bayesgmm.sweep.sharded import shard
from bayesgmm.sweep.statistics import sweep

rng = np.random.default_rng(0)
x = rng.normal(size=(300, 2)) + 3 * rng.integers(0, 2, (300, 1))
frame = Frame.around(x.mean(0), x.std(0))
params = Params(np.array([.4, .6]), np.array([[-.8, -.8], [.8, .8]]), np.array([np.eye(2)] * 2) * .8)
gaps = np.where(rng.random(x.shape) < .2, np.nan, x)
gaps[np.isnan(gaps).all(1)] = 0.0
plain, missing = bg.rows(x), bg.rows(gaps)
counted = bg.rows(x, weights=rng.integers(0, 3, 300).astype(float), labels=np.where(rng.random(300) < .1, 1, -1))
unsure = bg.rows(gaps, errors=np.full(x.shape, .3))
with scope("float64"):
    held = {
        "blocks": to_blocks(plain.values, frame, "float64", 32),
        "weights": to_weighted_blocks(counted, frame, "float64", 2, np.arange(300), (12, 32)),
        "patterns": to_incomplete(missing, frame, "float64", 2),
        "errors": to_incomplete(unsure, frame, "float64", 2),
    }
    found = {}
    for name, rows in held.items():
        assign = (average, draw) if name in ("blocks", "patterns") else (draw,)
        for devices in (1, 8):
            on = rows if devices == 1 else shard(rows, mesh_of(devices))
            sums = [sweep(jr.key(1), log_joint_scorer(params), on, one) for one in assign]
            some = jax.tree.leaves(on.take(np.array([0, 31, 32, 299])))[0]
            found[f"{name} {devices}"] = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves((sums, some))]
    both = held["blocks"], shard(held["blocks"], mesh_of(8))
    slopes = [jax.grad(log_likelihood)(params, rows) for rows in both]
    found["gradient"] = [[np.asarray(leaf).tolist() for leaf in one] for one in slopes]
print(json.dumps(found))
"""

FITS = """
import json, warnings, numpy as np
from bayesgmm.errors import MixingWarning
import bayesgmm as bg

rng = np.random.default_rng(0)
x = rng.normal(size=(9000, 2)) + 4 * rng.integers(0, 2, (9000, 1))
found = {}
import jax
places = {"one": None, "several": jax.make_mesh((2, 3), ("chains", "rows"))}
for devices, these in places.items():
    data = bg.rows(x, devices=these)
    fit = bg.fit_em(data, 2, n_init=2, max_iter=30, progress_bar=False)
    chains = {"num_warmup": 2, "num_samples": 6, "num_chains": 3, "seed": 3, "progress_bar": False}
    gibbs = bg.sample_gibbs(data, 2, init=fit, **chains)
    found[devices] = [gibbs.params.means.tolist(), fit.params.means.tolist(), [fit.log_likelihood, fit.bic()]]
    if MANY:
        nuts = bg.sample_nuts(data, 2, init=fit, **chains)
        warnings.simplefilter("ignore", MixingWarning)  # a few sweeps make no round trip
        tempered = bg.sample_gibbs(data, 2, init=fit, tempering=3, **chains)
        cavi = bg.fit_cavi(data, 2, n_init=2, num_samples=4, progress_bar=False)
        batches = bg.fit_cavi(data, 2, n_init=2, batch_size=500, num_steps=5, num_samples=4, progress_bar=False)
        found[devices] += [one.params.means.tolist() for one in (nuts, tempered, cavi)]
        found[devices] += [[cavi.elbo, batches.elbo]]
        refits = fit.intervals("bootstrap", num_replicates=64)
        more = gibbs.extend(4, progress_bar=False)
        found[devices] += [more.params.means.tolist(), refits.covariance.tolist()]
print(json.dumps(found))
"""


def run(code: str) -> dict:
    """What a script prints in a process with eight devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={**os.environ, "XLA_FLAGS": flags}, text=True,
        capture_output=True, timeout=600, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    return json.loads(answer.stdout.splitlines()[-1])


def test_passes_do_not_depend_on_the_number_of_devices():
    found = run(PASSES)
    for name in ("blocks", "weights", "patterns", "errors"):
        for one, other in zip(found[f"{name} 1"], found[f"{name} 8"], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
    for one, other in zip(*found["gradient"], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_results_do_not_depend_on_the_number_of_devices(many):
    found = run(FITS.replace("MANY", str(many)))
    for one, other in zip(found["one"], found["several"], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-7)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(ArgumentError, match="XLA_FLAGS=--xla_force_host_platform_device_count=64"):
        bg.rows(np.zeros((3, 1)), devices=64)
    for wrong in (0, -1, "cpu", [], True, 1.5, ["cpu"]):
        with pytest.raises(ArgumentError, match="devices must be"):
            mesh_of(wrong)


def test_a_mesh_needs_an_axis_of_rows():
    import jax

    with pytest.raises(ArgumentError, match="called 'rows'"):
        mesh_of(jax.make_mesh((1,), ("columns",)))
    assert mesh_of(jax.make_mesh((1,), ("chains",))) is None
    assert mesh_of(jax.make_mesh((1,), ("rows",))) is None
    assert mesh_of(jax.devices()[:1]) is None
    with pytest.raises(ArgumentError, match="twice"):
        mesh_of(jax.devices()[:1] * 2)
