"""Fits and draws that tests of pictures share, and what they measure on a picture."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg

FEW = {"num_warmup": 20, "num_samples": 30, "num_chains": 2, "seed": 0, "progress_bar": False}


def frame_of(rng, dim: int, num: int) -> pd.DataFrame:
    means = 8.0 * rng.normal(size=(num, dim))
    rows = means[np.arange(90) % num] + rng.normal(size=(90, dim))
    return pd.DataFrame(rows, columns=[f"column {i}" for i in range(dim)])


@pytest.fixture(scope="session")
def made():
    """Fits and draws by numbers of features and components."""
    rng, found = np.random.default_rng(5), {}
    for dim, num in ((1, 3), (2, 2), (8, 3)):
        x = frame_of(rng, dim, num)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.errors.MixingWarning)
            found[dim] = {
                "em": bg.fit_em(x, num, prior="default", n_init=3, progress_bar=False), 
                "gibbs": bg.sample_gibbs(x, num, **FEW),
            }  # fmt: skip
    return found


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")
