"""Ranks of chains: distribution function of the ranks of each chain among all draws."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import kolmogi
from scipy.stats import rankdata

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.chains import figures_of, numbers_of
from bayesgmm.numerics.mixing import COUNTS, FEWEST_DRAWS, MIXED, UNKNOWN, mixing_state
from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import WIDTH, chain_color
from bayesgmm.plots.words import mixing_title
from bayesgmm.runtime.formatting import for_figure

MOST_PANELS = 32
MOST_CHAINS = 8
"""Most chains that the legend lists."""
LEVEL = 0.01
"""Probability that any curve of any panel leaves its band although the chains have mixed."""
MOST_POINTS = 500


class Panel(NamedTuple):
    """One quantity."""

    name: str
    draws: np.ndarray
    """(chain, draw)."""
    rhat: float
    bulk: float
    tail: float

    @property
    def words(self) -> str:
        """R-hat and the smaller ESS."""
        if np.isnan(self.rhat):
            return "constant" if np.ptp(self.draws) == 0 else "R-hat not defined"
        return f"R-hat {self.rhat:.3f}, ESS {min(self.bulk, self.tail):,.0f}"


def can_rank(view: Any) -> bool:
    """Whether there are at least two chains, of at least `FEWEST_DRAWS` draws."""
    return view.sizes.get("chain", 0) > 1 and view.sizes.get("draw", 0) >= FEWEST_DRAWS


@styled("Dataset")
def plot_ranks(view: Any) -> Figure:
    """Draw the ranks of each half of each chain among all draws: their distribution function minus the uniform one.

    All draws are ranked, and every panel shows R-hat and the smaller of bulk and tail ESS. Chains that have mixed stay
    near 0. A chain that stays high or low in a quantity departs from 0 in both halves. A chain that drifts has halves
    (solid and dashed) on opposite sides.

    If chains have mixed, all curves of all panels stay inside the bands with at least 99 % probability. The width of a
    band follows from the number of independent draws in a half by its own autocorrelation, and from the number of
    curves. A chain that hardly moves holds few such draws, so that the band is wide and proves nothing: R-hat and ESS
    decide, and the title says so where the two differ.

    Parameters
    ----------
    view
        Result of `label_invariant_view`. Counts are left out, because they do not assess mixing.

    Raises
    ------
    ArgumentError
        With a single chain, fewer than four draws, or no quantity.
    """
    if not can_rank(view):
        raise ArgumentError(
            f"{view.sizes.get('chain', 0)} chain(s) of {view.sizes.get('draw', 0)} draws cannot be ranked. Rank plots "
            f"need two chains of {FEWEST_DRAWS} draws. Run four chains."
        )
    panels = _panels(view)
    if not panels:
        raise ArgumentError("plot_ranks takes a view with at least one quantity that has the dims (chain, draw).")
    shown = sorted(sorted(range(len(panels)), key=lambda i: -np.nan_to_num(panels[i].rhat))[:MOST_PANELS])
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 1.2 + 1.45 * rows), layout="constrained", squeeze=False, sharex=True, sharey=True
    )  # fmt: skip
    outside = [_draw(axes.flat[place], panels[i], len(panels)) for place, i in enumerate(shown)]
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax in axes[(len(shown) - 1 - np.arange(columns)) // columns, np.arange(columns)]:
        ax.xaxis.set_tick_params(labelbottom=True)
        ax.set_xlabel("rank, as a share", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("ECDF − uniform", fontsize=8)
    _legend(figure, axes[0, 0], view.sizes["chain"])
    figure.suptitle("\n".join(_title(panels, len(shown), sum(outside))), x=0.01, ha="left", fontsize=10)
    return figure


def _panels(view: Any) -> list[Panel]:
    names = [name for name, array in view.data_vars.items() if {"chain", "draw"} <= set(array.dims)]
    panels = []
    for label, draws in numbers_of(view[[name for name in names if name not in COUNTS]]):
        found = figures_of(np.asarray(draws, float))
        panels.append(Panel(label, np.asarray(draws, float), found["r_hat"], found["ess_bulk"], found["ess_tail"]))
    return panels


def ranks(draws: np.ndarray) -> np.ndarray:
    """Ranks among all draws as shares, between 0 and 1; ties are broken at random."""
    order = np.random.default_rng(0).permutation(draws.size)
    found = np.empty(draws.size)
    found[order] = rankdata(draws.ravel()[order], method="ordinal")
    return (found.reshape(draws.shape) - 0.5) / draws.size


def halves(draws: np.ndarray) -> np.ndarray:
    """The first half of each chain, then the second half of each, (2 × chain, draw)."""
    size = draws.shape[1] // 2
    return np.concatenate([draws[:, :size], draws[:, -size:]])


def independent_draws(draws: np.ndarray) -> float:
    """Mean over half-chains of the number of independent draws that each holds by its own autocorrelation."""
    draws = halves(draws)
    if np.ptp(draws) == 0:
        return float(draws.shape[1])
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    stats: Any = array_stats
    sizes = [stats.ess(chain[None], chain_axis=0, draw_axis=1) if np.ptp(chain) > 0 else 1.0 for chain in draws]
    return float(np.clip(np.nan_to_num(sizes, nan=1.0).mean(), 1.0, draws.shape[1]))


def band(at: np.ndarray, count: int, size: float, num_panels: int) -> tuple[np.ndarray, np.ndarray]:
    """Simultaneous band of the curves of `num_panels` panels of `count` curves, each from `size` independent draws.

    A curve converges to a Brownian bridge times √((1 - 1/count) / size): the Kolmogorov distribution, with the level
    divided by the number of curves. No curve can leave the values between which the band is cut off.
    """
    width = kolmogi(LEVEL / (num_panels * count)) * np.sqrt((1.0 - 1.0 / count) / size)
    lowest = np.maximum(0.0, 1.0 - count * (1.0 - at)) - at
    highest = np.minimum(1.0, count * at) - at
    return np.maximum(lowest, -width), np.minimum(highest, width)


def curves(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points between 0 and 1, and the distribution function of the ranks of each half there minus the uniform one."""
    at = np.linspace(0.0, 1.0, min(draws.size, MOST_POINTS) + 1)
    found = [np.searchsorted(np.sort(chain), at, side="right") / len(chain) for chain in halves(ranks(draws))]
    return at, np.stack(found) - at


def _draw(ax: Axes, panel: Panel, num_panels: int) -> bool:
    """Draw one quantity; whether a curve leaves the band."""
    at, found = curves(panel.draws)
    low, high = band(at, len(found), independent_draws(panel.draws), num_panels)
    ax.fill_between(at, low, high, color="#B9C0C8", alpha=0.45, linewidth=0, label="band")
    ax.axhline(0.0, color="#888888", linewidth=0.6)
    num_chains, num_draws = panel.draws.shape
    for i, curve in enumerate(found):
        style = "-" if i < num_chains else (0, (3, 1.5))
        ax.plot(at, curve, color=chain_color(i % num_chains), linewidth=0.9, linestyle=style)
    slack = 2.0 / num_draws
    outside = bool(((found < low - slack) | (found > high + slack)).any())
    fine = mixing_state(panel.rhat, min(panel.bulk, panel.tail), num_chains) in (MIXED, UNKNOWN)
    ax.set_title(f"{for_figure(panel.name, 22)}\n{panel.words}", fontsize=8, color="#333333" if fine else "#B03A00")
    ax.set_xlim(0.0, 1.0)
    ax.set_xticks([0.0, 0.5, 1.0])
    return outside


def _legend(figure: Figure, ax: Axes, num_chains: int) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=chain_color(i), label=f"chain {i}") for i in range(min(num_chains, MOST_CHAINS))]
    if num_chains > MOST_CHAINS:
        lines.append(Line2D([], [], linestyle="", label=f"and {num_chains - MOST_CHAINS} more"))
    grey = {"color": "#444444", "linewidth": 1.2}
    lines += [
        Line2D([], [], label="first half", **grey), Line2D([], [], label="second half", linestyle=(0, (3, 1.5)), **grey)
    ]  # fmt: skip
    patch = ax.collections[0]
    patch.set_label("99 % band of all panels")
    figure.legend(handles=[*lines, patch], loc="outside lower center", ncols=min(len(lines) + 1, 7))


def _title(panels: list[Panel], num_shown: int, num_outside: int) -> list[str]:
    num_chains, num_draws = panels[0].draws.shape
    judged = [panel for panel in panels if np.ptp(panel.draws) > 0]
    rhat = max((panel.rhat for panel in judged), default=np.nan)
    ess = min((min(panel.bulk, panel.tail) for panel in judged), default=np.nan)
    good = mixing_state(rhat, ess, num_chains) == MIXED
    lines = [f"Ranks of {num_chains} chains × {num_draws:,} draws: {mixing_title(rhat, ess, num_chains)}"]
    if good and num_outside:
        where = "1 panel" if num_outside == 1 else f"{num_outside} panels"
        lines.append(f"Curves of {where} leave the band, but R-hat and ESS are good, and they decide.")
    if not good and not num_outside and rhat == rhat:
        lines.append("No curve leaves the band, because a chain holds few independent draws. R-hat and ESS decide.")
    if num_shown < len(panels):
        lines.append(f"Shown are the {num_shown} of {len(panels)} quantities with the largest R-hat.")
    return lines
