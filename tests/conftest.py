import json
import os
import sys

import matplotlib as mpl
import numpy as np
import pytest
from oracles import TRUTH
from oracles.effort import EFFORT, left_out

mpl.use("Agg")


def pytest_configure(config):
    """Compile the default suite without optimisation: LLVM takes most of its time, and this saves 40 %.

    The programs are the same. The whole slow suite, the notebooks and the demonstration compile as users do. With
    BAYESGMM_EFFORT below 1, slow tests use the programs that the default suite has left on disk.
    """
    # Processes of one run, and later runs of the same source, share what they compile.
    os.environ.setdefault("BAYESGMM_CACHE", str(config.rootpath / ".programs"))
    if config.option.markexpr != "slow" or EFFORT < 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"


def pytest_collection_modifyitems(config, items):
    """With BAYESGMM_EFFORT below 1 the slow suite runs only some variants of each test, and no `WHOLE` ones."""
    if EFFORT < 1 and (dropped := left_out(items)):
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session")
def truth():
    return lambda name: json.loads((TRUTH / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def reference_data():
    """Data sets of the external references, in the units of the references."""
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


@pytest.fixture(autouse=True)
def close_figures():
    """No test leaves a figure to the next: matplotlib warns of more than 20."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(20240501)


@pytest.fixture(scope="session")
def clean_environment():
    """Environment for child processes, without the JAX and XLA settings of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}


_tests_since_clearing = [0]


@pytest.fixture(autouse=True)
def few_compiled_programs():
    """Clear the programs that tests compile themselves; a process has room for a few hundred."""
    yield
    _tests_since_clearing[0] += 1
    if _tests_since_clearing[0] >= 100:
        import jax

        _tests_since_clearing[0] = 0
        jax.clear_caches()
