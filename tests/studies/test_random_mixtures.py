"""Random mixtures have the overlap and the weights that were asked for."""

import numpy as np
import pytest

from bayesgmm.errors import ArgumentError
from bayesgmm.model.overlap import mean_overlap
from bayesgmm.studies.random_mixtures import random_mixture


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("num", "dim"), [(3, 2), (2, 4)])
def test_overlap_and_imbalance(kind, num, dim):
    for wanted in (0.001, 0.1):
        found = random_mixture(num, dim, overlap=wanted, imbalance=5, covariance_type=kind, seed=3)
        assert mean_overlap(found) == pytest.approx(wanted, rel=1e-3 if dim == 2 else 2e-2)
        assert max(found.weights) / min(found.weights) == pytest.approx(5)
        covariances = found.covariances
        assert np.trace(covariances, axis1=1, axis2=2).mean() / dim == pytest.approx(1)
        off = ~np.eye(dim, dtype=bool)
        assert (kind in ("diag", "spherical")) == bool((covariances[:, off] == 0).all())
        assert (kind == "tied") == bool((covariances == covariances[:1]).all())


def test_a_seed_gives_the_same_mixture():
    first, second, other = (random_mixture(3, 2, seed=seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first.means, other.means)


def test_overlap_out_of_reach():
    with pytest.raises(ArgumentError, match="the highest was"):
        random_mixture(4, 3, overlap=0.9)
    with pytest.raises(ArgumentError, match="overlap must be above 0"):
        random_mixture(2, 2, overlap=0.0)
