"""Relabelling of draws with a noise component, which never exchanges its label."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.diagnosis.label_invariant_view import label_invariant_view
from bayesgmm.errors import DrawsError
from bayesgmm.relabelling.methods import METHODS

MEANS = np.array([[-2.0, 0.0], [2.0, 1.0], [0.0, 0.0]])  # the noise lies between the Gaussians
SPREADS = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]], [[16.0, 0.0], [0.0, 16.0]]])


def scrambled():
    """Draws (2, 60) near one θ, the Gaussians exchanged in half of them; what was exchanged; and 272 rows."""
    rng = np.random.default_rng(4)
    weights = rng.dirichlet([200.0, 300.0, 100.0], (2, 60))
    means = MEANS + np.where(np.arange(3) < 2, 0.1, 0.0)[:, None] * rng.normal(size=(2, 60, 3, 2))
    orders = np.where(rng.random((2, 60, 1)) < 0.5, [0, 1, 2], [1, 0, 2])
    draws = {
        "weights": np.take_along_axis(weights, orders, 2),
        "means": np.take_along_axis(means, orders[..., None], 2),
        "covariances": SPREADS[orders],
    }
    _, gaussian = bg.from_parameters([0.4, 0.6], MEANS[:2], SPREADS[:2]).sample(232, 3)
    return draws, orders, np.concatenate([gaussian, rng.uniform(-7.0, 7.0, (40, 2))])


@pytest.mark.parametrize("method", METHODS)
def test_gaussians_are_put_in_order_and_the_noise_stays(method):
    """Every method undoes the exchange. Read as three Gaussians, the noise lies in the middle."""
    draws, orders, x = scrambled()
    found = bg.relabel(draws, method, x=bg.rows(x, noise=15.0**2))
    np.testing.assert_array_equal(found.permutations, orders)
    assert (found.pair_ambiguity[-1] == 0).all()
    assert "2 components and noise" in repr(found)
    assert not [name for name in found.summary().index if name.startswith("means[2")]
    if method == "ordering":  # the negative control: as three Gaussians
        assert (bg.relabel(draws, method, x=x).permutations[..., -1] != 2).all()


def test_the_noise_is_the_last_weight_and_no_mode():
    """Sorted weights have the noise at their end; modes and occupied components are those of the Gaussians."""
    draws, _, x = scrambled()
    draws["weights"] = draws["weights"][..., [0, 2, 1]]  # now the noise is heavier than a Gaussian
    view = label_invariant_view(draws, x=bg.rows(x, noise=15.0**2))
    np.testing.assert_allclose(view["sorted_weights"][..., -1], draws["weights"][..., -1])
    np.testing.assert_allclose(view["sorted_weights"][..., :2], -np.sort(-draws["weights"][..., :2], axis=-1))
    assert (view["num_modes"] == 2).all()
    assert (view["occupied"] == 2).all()
    assert (label_invariant_view(draws, x=x)["occupied"] == 3).all()


def test_one_gaussian_and_noise_have_no_labels():
    draws, _, x = scrambled()
    one = {name: values[:, :, 1:] for name, values in draws.items()}
    one["weights"] = one["weights"] / one["weights"].sum(axis=-1, keepdims=True)
    with pytest.raises(DrawsError, match="single component"):
        bg.relabel(one, x=bg.rows(x, noise=True))
