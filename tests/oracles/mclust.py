"""Estimates of R's mclust, stored in ``truth/``, and fits that start at them."""

import json
import warnings

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.errors import LocalOptimumWarning, SpuriousComponentWarning
from oracles import TRUTH

STRICT = ("VII", "VVI", "EEE", "VVV")
"""Families in which the MAP estimate of mclust is a fixed point of the published update."""


def column_major(values, *shape):
    return np.asarray(values, float).reshape(shape, order="F")


def stays_at(x, size, covariance_type, weights, means, covariances, **kwargs):
    with warnings.catch_warnings():
        for category in (SpuriousComponentWarning, LocalOptimumWarning):
            warnings.simplefilter("ignore", category)
        start = {"weights_init": weights, "means_init": means, "covariances_init": covariances}
        fit = bg.fit_em(x, size, covariance_type=covariance_type, **start, tol=1e-9, max_iter=5000, **kwargs)
    order = np.argsort(np.asarray(means)[:, 0], kind="stable")
    return fit, order


def mclust_estimates():
    entries = json.loads((TRUTH / "mclust_families.json").read_text())["data"]
    return [(name, p["model"], p["G"]) for name, entry in entries.items() for p in entry["params"]]


def prior_entries(strict):
    fits = json.loads((TRUTH / "mclust_prior.json").read_text())["fits"]
    chosen = [fit for fit in fits if (fit["model"] in STRICT) == strict]
    return [pytest.param(fit, id=f"{fit['dataset']}-{fit['model']}") for fit in chosen]
