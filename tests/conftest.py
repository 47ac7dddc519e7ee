import json
import os

import matplotlib as mpl
import numpy as np
import pytest
from oracles import TRUTH
from oracles.effort import EFFORT, left_out

mpl.use("Agg")


def pytest_configure(config):
    """Most of the default suite's time is LLVM's. It compiles without optimisation, in 40 % less time, the same program; the
    slow suite, the notebooks and the demonstration run it as users do."""
    if config.option.markexpr != "slow":
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"


def pytest_collection_modifyitems(config, items):
    """With less effort the slow suite asks each of its questions of some variants only."""
    if EFFORT < 1 and (dropped := left_out(items)):
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session")
def truth():
    return lambda name: json.loads((TRUTH / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def reference_data():
    """Data sets of the outside references, in the references' units."""
    import pandas as pd

    import bayesgmm as bg

    diabetes = pd.read_csv(TRUTH / "diabetes.csv")[["glucose", "insulin", "sspg"]]
    return {
        "faithful": bg.load_dataset("faithful"),
        "waiting": bg.load_dataset("faithful")[["waiting"]],
        "iris": bg.load_dataset("iris"),
        "galaxy_corrected": bg.load_dataset("galaxies") / 1000,
        "acidity": pd.read_csv(TRUTH / "acidity.csv"),
        "diabetes": diabetes,
    }


@pytest.fixture
def rng():
    return np.random.default_rng(20240501)


@pytest.fixture(scope="session")
def clean_environment():
    """Environment for child processes: no JAX settings of ours, no progress colours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}


_tests_since_clearing = [0]


@pytest.fixture(autouse=True)
def few_compiled_programs():
    """A process has room for some hundreds of compiled programs; those that tests jit themselves pile up."""
    yield
    _tests_since_clearing[0] += 1
    if _tests_since_clearing[0] >= 100:
        import jax

        _tests_since_clearing[0] = 0
        jax.clear_caches()
