"""Monte Carlo comparisons that require a minimum effective sample size."""

import numpy as np
from arviz_stats.base import array_stats


def mean_and_error(draws):
    """Mean of draws (chain, draw) and its Monte Carlo standard error."""
    return draws.mean(), float(array_stats.mcse(draws, chain_axis=0, draw_axis=1))


def assert_same_mean(draws, mean, error, name="", most=4.0):
    """|difference| < 4 (`most`) combined standard errors; the ESS of our draws must exceed 300."""
    ess = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))
    assert ess > 300, f"{name}: ESS {ess:.0f} is too small to compare"
    ours, our_error = mean_and_error(draws)
    z = abs(ours - mean) / np.hypot(our_error, error)
    assert z < most, f"{name}: {ours:.5g} against {mean:.5g}, z = {z:.1f}"


def invariants(posterior):
    """Label-invariant draws (chain, draw) by name."""
    group = posterior.datatree["label_invariant"].to_dataset()
    found = {}
    for name, array in group.data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        for index in np.ndindex(values.shape[2:]):
            found[f"{name}{list(index) or ''}"] = values[(slice(None), slice(None), *index)]
    return found
