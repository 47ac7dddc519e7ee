"""Draws before and after relabelling: the raw draws are those of the sampler, and the titles say what happened."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from oracles.extents import assert_readable

from bayesgmm import plots
from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import permute
from bayesgmm.numerics.chains import figures_of
from bayesgmm.plots.directions import most_separating
from bayesgmm.plots.ellipses import gaussians_of
from bayesgmm.plots.style import component_color


@pytest.fixture(scope="module")
def switched(made):
    """Draws of a sampler that numbers the components of chain 1 the other way round, after relabelling."""
    draws = made[2]["gibbs"]
    kept = np.broadcast_to(np.arange(2), draws.permutations.shape).copy()
    kept[1] = [1, 0]
    kept[0, 7] = [1, 0]  # one draw in chain 0: two switches
    return replace(draws, permutations=kept.astype(np.uint8))


def lines_of(ax, k: int, length: int) -> np.ndarray:
    color = to_rgb(component_color(k))
    own = [line for line in ax.lines if to_rgb(line.get_color()) == color and len(line.get_xdata()) == length]
    return np.stack([np.asarray(line.get_ydata(), float) for line in own])


def test_raw_draws_lie_over_the_relabelled_ones(switched):
    axes = plots.plot_relabelling(switched, features="column 1")
    means = switched.params.means[..., 1]
    size = means.shape[1]
    for k in range(2):
        np.testing.assert_allclose(lines_of(axes[1, 0], k, size), means[:, :, k])
        raw = means[:, :, k].copy()
        raw[1], raw[0, 7] = means[1, :, 1 - k], means[0, 7, 1 - k]
        np.testing.assert_allclose(lines_of(axes[0, 0], k, size), raw)
        assert lines_of(axes[0, 1], k, 201).shape == (2, 201)  # a curve of ranks for each chain
    assert np.abs(lines_of(axes[0, 1], 0, 201)).max() > 0.4
    assert np.abs(lines_of(axes[1, 1], 0, 201)).max() < 0.35
    assert "2 numberings; labels switch 2 times within chains" in axes[0, 0].figure.get_suptitle()
    assert_readable(axes[0, 0].figure)


def test_raw_draws_relabelled_are_the_draws(switched, rng):
    """The inverse is right for permutations that are not their own inverse."""
    from bayesgmm.numerics.assignment import inverse

    draws = rng.permuted(np.broadcast_to(np.arange(3), (2, 5, 3)), axis=-1)
    values = switched.params._replace(
        weights=rng.random((2, 5, 3)), means=rng.random((2, 5, 3, 2)), scale_trils=rng.random((2, 5, 3, 2, 2))
    )
    raw = permute(values, inverse(draws))
    for one, other in zip(permute(raw, draws), values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_titles_have_the_worst_rhat(switched):
    axes = plots.plot_relabelling(switched)
    feature = most_separating(gaussians_of(switched), 1)[0]
    assert f"mean of column {feature}" in axes[1, 0].get_ylabel()
    worst = max(figures_of(switched.params.means[:, :, k, feature])["r_hat"] for k in range(2))
    assert f"worst R-hat {worst:.3f}" == axes[1, 1].get_title(loc="left")
    assert float(axes[0, 1].get_title(loc="left").split()[-1]) > worst + 0.5


@pytest.mark.parametrize("dim", [1, 8])
def test_of_any_draws(made, dim):
    axes = plots.plot_relabelling(made[dim]["gibbs"])
    legend = [text.get_text() for text in axes[0, 0].figure.legends[0].get_texts()]
    assert legend == [*(f"component {k}" for k in range(3)), "chain 0", "chain 1", "99 % band"]
    kept = np.broadcast_to(np.arange(3), made[dim]["gibbs"].permutations.shape)
    one = plots.plot_relabelling(replace(made[dim]["gibbs"], permutations=kept))
    assert "all draws have one numbering" in one[0, 0].figure.get_suptitle()


def test_what_is_refused(made):
    with pytest.raises(ArgumentError, match="plot_relabelling takes as posterior a Posterior"):
        plots.plot_relabelling(made[2]["em"])
    with pytest.raises(ArgumentError, match="1 different names"):
        plots.plot_relabelling(made[2]["gibbs"], features=[0, 1])
    with pytest.raises(ArgumentError, match=r"array \(2, 2\)"):
        plots.plot_relabelling(made[2]["gibbs"], axes=np.zeros(3))
