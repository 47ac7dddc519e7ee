"""Settings of JAX and NumPy that users make for their own code do no harm here, and do not change results."""

import multiprocessing
import subprocess
import sys
from contextlib import ExitStack

import jax
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.errors import ForkError
from bayesgmm.runtime import fork
from bayesgmm.runtime.dtypes import NEUTRAL, neutral, scope

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(0.0, 1.0, (36, 2)), RNG.normal([6.0, -3.0], 1.0, (24, 2))])
SHORT = {"num_samples": 60, "num_chains": 2, "progress_bar": False}
CHAINS = SHORT | {"num_warmup": 20}

HOSTILE = {
    "debug_nans": True, "debug_infs": True, "debug_key_reuse": True, "check_tracer_leaks": False, "disable_jit": True,
    "numpy_dtype_promotion": "strict", "numpy_rank_promotion": "raise", "default_prng_impl": "rbg",
    "threefry_partitionable": False, "enable_custom_prng": True, "legacy_prng_key": "error",
    "transfer_guard_host_to_device": "disallow", "transfer_guard_device_to_host": "disallow",
    "transfer_guard_device_to_device": "disallow",
}  # fmt: skip


def hostile_settings(double: bool) -> ExitStack:
    stack = ExitStack()
    for name, value in HOSTILE.items():
        stack.enter_context(getattr(jax, name)(value))
    stack.enter_context(jax.enable_x64(double))
    stack.enter_context(np.errstate(all="raise"))
    return stack


def numbers(result) -> np.ndarray:
    return np.concatenate([np.ravel(part) for part in result.params])


ENGINES = {
    "em": lambda: bg.fit_em(X, 2, n_init=4),
    "cavi": lambda: bg.fit_cavi(X, 2, n_init=2, **SHORT),
    "svi": lambda: bg.fit_svi(X, 2, num_steps=20, **SHORT),
    "laplace": lambda: bg.fit_laplace(X, 2, **SHORT),
    "gibbs": lambda: bg.sample_gibbs(X, 2, **CHAINS),
    "nuts": lambda: bg.sample_nuts(X, 2, **CHAINS),
}


SLOW = ("svi", "laplace", "nuts")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in ENGINES])
def test_every_engine_gives_the_same_under_hostile_settings(name):
    calm = ENGINES[name]()
    with hostile_settings(double=name != "em"):
        found = ENGINES[name]()
        assert jax.config.jax_debug_nans  # the user's settings are as they were
        assert np.geterr()["under"] == "raise"
    assert np.array_equal(numbers(calm), numbers(found))


def test_later_steps_work_under_hostile_settings():
    with hostile_settings(double=False):
        prior = bg.default_prior(X + 1e8, 2)
        draw = prior.sample(np.random.SeedSequence(1))
        assert draw.means.dtype == np.float64
        assert np.isfinite(prior.log_density(draw))
        assert bg.log_density(draw, X).dtype == np.float64
        bg.sample(1, draw, 3)
        posterior = bg.sample_gibbs(X, 2, **CHAINS)
        posterior.predict_proba(X), posterior.draw_labels(X, 0), posterior.sample(3, 0), posterior.extend(2, False)
        assert posterior.summary() is not None
        assert repr(posterior)
        assert bg.relabel(posterior).overall_ambiguity >= 0
        assert bg.diagnose(posterior, search=False).verdict()
        assert bg.partition(posterior, num_starts=2, max_draws=20, progress_bar=False).num_clusters
        bg.predictive_checks(posterior, num=20)
        bg.sample_prior(X, 2, num_samples=5)
        fit = bg.fit_em(X, 2, n_init=4)
        fit.bic(), fit.icl(), fit.sample(3, 0), fit.predict(X), repr(fit), fit.to_datatree()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::bayesgmm.errors.MixingWarning", "ignore::bayesgmm.errors.LooWarning"
)  # short chains
def test_the_heavier_steps_work_under_hostile_settings():
    with hostile_settings(double=True):
        posterior = bg.sample_gibbs(X, 2, **CHAINS)
        bg.fit_table(X, [1, 2], ["VVV"], progress_bar=False)
        bg.compare(X, 2, engines=("mle", "em", "gibbs"), **CHAINS)
        bg.calibrate(X, 2, n_sims=1, num_warmup=20, num_samples=20, progress_bar=False)
        assert bg.check(posterior, progress_bar=False).verdict()
        bg.kfold(posterior, k=3, progress_bar=False)
        assert bg.diagnose(posterior).verdict()


def test_the_scope_names_every_hostile_setting_and_is_cheap():
    assert set(HOSTILE) == set(NEUTRAL)
    with hostile_settings(double=False), neutral():
        assert {name: getattr(jax.config, f"jax_{name}") for name in NEUTRAL} == NEUTRAL
        assert np.geterr() == {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}

    import timeit

    def enter():
        with scope("float64"):
            pass

    assert min(timeit.repeat(enter, number=200, repeat=5)) / 200 < 2e-4


def test_a_fork_after_a_fit_is_refused_and_a_fork_before_works(clean_environment):
    script = """
import multiprocessing, warnings
import numpy as np
import bayesgmm as bg
warnings.simplefilter("ignore")  # Python and JAX warn of forks
X = np.random.default_rng(0).normal(size=(30, 2))

def fit(queue):
    try:
        queue.put(bg.fit_em(X, 1, n_init=1).log_likelihood)
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")

def in_child():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=fit, args=(queue,))
    process.start()
    told = queue.get(timeout=60)
    process.join()
    return told

before = in_child()
here = bg.fit_em(X, 1, n_init=1).log_likelihood
print(before == here, in_child(), sep="|")
"""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    done = subprocess.run([sys.executable, "-c", script], env=clean_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same, words = done.stdout.strip().split("|")
    assert same == "True"
    assert words.startswith("ForkError")
    assert all(word in words for word in ("spawn", "forkserver", "loky"))


def test_a_forked_process_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(fork, "_forked", True)
    for call in (lambda: bg.fit_em(X, 2), lambda: bg.default_prior(X, 2).sample(0)):
        with pytest.raises(ForkError, match="fork"):
            call()
