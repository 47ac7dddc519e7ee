"""Rank plots: chains that do not mix look so, those that mix do not, and the title says what decides."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

from bayesgmm import plots
from bayesgmm.errors import ArgumentError
from bayesgmm.plots.ranks import LEVEL, band, curves, halves, independent_draws, ranks
from bayesgmm.results.convergence import convergence_table, state_of

CHAINS, DRAWS = 4, 1000


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def autoregressive(rng, phi: float, shifts=(0.0, 0.0, 0.0, 0.0)) -> np.ndarray:
    """Stationary chains (4, 1000) of unit variance."""
    noise = np.sqrt(1.0 - phi**2) * rng.normal(size=(CHAINS, 2 * DRAWS))
    return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=1))[:, DRAWS:] + np.array(shifts)[:, None]


def view_of(**quantities: np.ndarray) -> xr.Dataset:
    return xr.Dataset({name: (("chain", "draw"), draws) for name, draws in quantities.items()})


def title(figure) -> str:
    return " ".join(figure.get_suptitle().split())


def drawn_curves(figure, panel: int = 0) -> np.ndarray:
    """The curves of a panel, (half-chain, point); the first line is the axis."""
    return np.stack([line.get_ydata() for line in figure.axes[panel].lines[1:]])


def outside(draws: np.ndarray, num_panels: int = 1) -> bool:
    at, found = curves(draws)
    low, high = band(at, len(found), independent_draws(draws), num_panels)
    return bool(((found < low - 2.0 / DRAWS) | (found > high + 2.0 / DRAWS)).any())


def test_the_picture_shows_which_chains_mix(rng):
    """The issue: chains that stay in different modes (R-hat 2.9, ESS 5) looked perfect after thinning."""
    mixed = autoregressive(rng, 0.0)
    slow = autoregressive(rng, 0.9)
    stuck = autoregressive(rng, 0.5, (0.0, 0.0, 20.0, 20.0))
    apart = autoregressive(rng, 0.5, (0.0, 20.0, 40.0, 60.0))
    figure = plots.plot_ranks(view_of(mixed=mixed, slow=slow, stuck=stuck, apart=apart))
    heights = [np.abs(drawn_curves(figure, panel)).max() for panel in range(4)]
    assert heights[0] < 0.1
    assert heights[1] < 0.25
    assert heights[2] == pytest.approx(0.5, abs=0.01)  # the ranks of a chain fill one half of all ranks
    assert heights[3] == pytest.approx(0.75, abs=0.01)
    assert [outside(draws, 4) for draws in (mixed, slow, stuck, apart)] == [False, False, True, True]
    words = [ax.get_title(loc="left") for ax in figure.axes[:4]]
    assert "R-hat 1.000" in words[0]
    assert float(words[3].split()[2].strip(",")) > 2.5
    assert float(words[3].split()[-1]) < 6
    assert "not mixed" in title(figure)
    assert title(plots.plot_ranks(view_of(mixed=mixed))).startswith("Ranks of 4 chains × 1,000 draws: mixed")


def test_one_chain_that_differs_and_a_drift_are_seen(rng):
    one = autoregressive(rng, 0.5, (0.0, 0.0, 0.0, 1.0))
    found = drawn_curves(plots.plot_ranks(view_of(one=one)))
    assert (np.abs(found[[3, 7]]).max(axis=1) > 0.2).all()
    assert (np.abs(np.delete(found, [3, 7], axis=0)).max(axis=1) < 0.2).all()
    assert outside(one)
    drift = autoregressive(rng, 0.2) + np.linspace(0.0, 3.0, DRAWS)
    found = drawn_curves(plots.plot_ranks(view_of(drift=drift)))
    assert (found[:4, 250] > 0.2).all()  # first halves lie low in all draws, second halves high
    assert (found[4:, 250] < -0.2).all()


def test_all_draws_are_ranked(rng):
    draws = rng.normal(size=(CHAINS, 101))
    np.testing.assert_allclose(np.sort(ranks(draws).ravel()), (np.arange(404) + 0.5) / 404)
    np.testing.assert_array_equal(ranks(draws).ravel().argsort(), draws.ravel().argsort())
    assert halves(draws).shape == (8, 50)
    at, found = curves(draws)
    assert np.abs(found[:, [0, -1]]).max() == 0.0
    assert len(at) == 405
    ties = ranks(np.zeros((CHAINS, 100)))  # equal values are no difference between chains
    assert np.abs(ties.mean(axis=1) - 0.5).max() < 0.1


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_level_over_all_panels(rng, phi):
    """Chains that have mixed leave a band in any of six panels with a probability of at most 1 %."""
    false = sum(any(outside(autoregressive(rng, phi), 6) for _ in range(6)) for _ in range(20))
    assert LEVEL == 0.01
    assert false <= 2  # P(more than 2 of 20) < 0.1 % at the level


def test_bands_that_ignore_the_number_of_panels_or_dependence_would_be_too_narrow(rng):
    """Negative controls."""
    at = np.linspace(0.0, 1.0, 101)
    assert band(at, 8, 100.0, 20)[1].max() > 1.15 * band(at, 8, 100.0, 1)[1].max()
    slow = autoregressive(rng, 0.9)
    at, found = curves(slow)
    low, high = band(at, 8, DRAWS / 2.0, 1)
    assert ((found < low) | (found > high)).any()


def test_the_title_says_that_rhat_and_ess_decide(rng):
    sticky = autoregressive(rng, 0.98)
    assert not outside(sticky)
    assert "R-hat and ESS decide" in title(plots.plot_ranks(view_of(sticky=sticky)))
    shifted = rng.normal(size=(2, 40_000)) + np.array([[0.0], [0.035]])
    view = view_of(shifted=shifted)
    assert state_of(convergence_table(view), 2) == "mixed"
    words = title(plots.plot_ranks(view))
    assert "mixed (R-hat 1.0" in words
    assert "1 panel leave the band, but R-hat and ESS are good" in words


def test_the_title_agrees_with_the_table(rng):
    for phi, shift in ((0.0, 0.0), (0.5, 0.1), (0.9, 0.0), (0.5, 3.0)):
        view = view_of(a=autoregressive(rng, phi, (0.0, 0.0, 0.0, shift)), b=autoregressive(rng, 0.0))
        table = convergence_table(view)
        words = title(plots.plot_ranks(view))
        assert f": {state_of(table, CHAINS)} (" in words
        assert f"R-hat {table['r_hat'].max():.3f}" in words
        assert f"ESS {table[['ess_bulk', 'ess_tail']].to_numpy().min():,.0f}" in words


def test_what_is_left_out_is_named(rng):
    many = xr.Dataset({"means": (("chain", "draw", "number"), rng.normal(size=(2, 20, 40)))})
    figure = plots.plot_ranks(many.assign(occupied=many["means"][..., 0]))
    assert "32 of 40 quantities" in title(figure)
    assert sum(ax.get_visible() for ax in figure.axes) == 32
    listed = [text.get_text() for text in figure.legends[0].get_texts()]
    assert listed == ["chain 0", "chain 1", "first half", "second half", "99 % band of all panels"]


def test_odd_draws(rng):
    """Constant quantities, constant chains, four draws."""
    constant = np.repeat([[0.0], [1.0]], 4, axis=1)
    figure = plots.plot_ranks(view_of(a=np.ones((2, 4)), b=constant, c=rng.normal(size=(2, 4))))
    assert "constant" in figure.axes[0].get_title(loc="left")
    figure.canvas.draw()
    with pytest.raises(ArgumentError, match="four chains"):
        plots.plot_ranks(view_of(a=np.ones((1, 100))))
    with pytest.raises(ArgumentError, match="four chains"):
        plots.plot_ranks(xr.Dataset())
    with pytest.raises(ArgumentError, match="at least one quantity"):
        plots.plot_ranks(view_of(occupied=np.ones((2, 100))))
