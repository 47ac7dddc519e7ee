"""Permanents against the sum over all permutations."""

import itertools

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from bayesgmm.numerics.permanents import log_permanents


def enumerated(logs):
    """The sum over all K! permutations."""
    rows = range(len(logs))
    return logsumexp([logs[rows, order].sum() for order in itertools.permutations(rows)])


@pytest.mark.parametrize("num", [1, 2, 4])
def test_permanents_are_sums_over_permutations(rng, num):
    """Of entries across 300 orders of magnitude, and of blocks: 0 where components cannot exchange their numbers."""
    logs = 100.0 * rng.normal(size=(3, 2, num, num))
    logs[0, 0, 0, 1:] = logs[0, 0, 1:, 0] = -np.inf
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(log_permanents)(logs))
    expected = [[enumerated(one) for one in pair] for pair in logs]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_equal_entries_give_the_factorial():
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(log_permanents)(np.full((8, 8), -3.0)))
        none = np.asarray(jax.jit(log_permanents)(np.full((2, 2), -np.inf)))
    assert found == pytest.approx(np.log(40320.0) - 24.0, rel=1e-13)
    assert none == -np.inf
