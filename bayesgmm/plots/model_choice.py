"""Plot of a selection: every criterion against the number of components."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import axes_array, within_one, write_note

COLUMNS = 3
OTHERS, LINE, BEST = "#C9C9C9", "#0072B2", "#D55E00"
PROBABILITY = "probability"
"""Unit of criteria that are shown as they are, as bars."""
FAR = 1.6
"""Candidates that are worse than this many times the middle one are cut off."""


@styled("Selection")
def plot_selection(selection: Any, axes: Any = None) -> np.ndarray:
    """Draw a panel for each criterion: how much worse each number of components is than the best.

    Bars are two standard errors, where a criterion has them. Filled marks cannot be told from the best, which has a
    ring; probabilities are bars, filled likewise. With several families the best of each K is in colour. Much worse
    candidates are cut off. The bootstrap test shows its p-values and the level.

    Parameters
    ----------
    selection
        Result of `bayesgmm.select`.
    axes
        Array of axes (rows, columns) for the panels, at most three beside each other; created if None.
    """
    answers = list(selection.answers.values())
    columns = 2 if len(answers) == 4 else min(COLUMNS, len(answers))
    rows = -(-len(answers) // columns)
    axes = axes_array(axes, rows, columns, 3.0 * rows + 0.4)
    for ax, answer in zip(axes.flat, answers, strict=False):
        _panel(ax, answer)
    for ax in axes.flat[len(answers) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, len(answers) - columns) : len(answers)]:
        ax.set_xlabel("number of components")  # of the lowest panel in each column
    write_note(axes.flat[0].figure, textwrap.fill(selection.conclusion()[0].split(". ")[0].rstrip("."), 100))
    return axes


def _panel(ax: Axes, answer: Any) -> None:
    """One criterion."""
    sizes = np.array([one.n_components for one in answer.candidates])
    chosen = "no answer" if answer.best is None else f"K = {answer.best.n_components}"
    ax.set_title(f"{answer.title}: {chosen}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(sizes.min() - 0.5, sizes.max() + 0.5)
    if answer.best is None:
        return
    if "p" in answer.more:
        _p_values(ax, answer, sizes)
    elif answer.unit == PROBABILITY:
        _probabilities(ax, answer, sizes)
    else:
        _differences(ax, answer, sizes)


def _p_values(ax: Axes, answer: Any, sizes: np.ndarray) -> None:
    p = answer.more["p"]
    seen = np.isfinite(p)
    ax.plot(sizes[seen], p[seen], "o-", color=LINE, markersize=5)
    ring = (sizes == answer.best.n_components) & seen
    ax.scatter(sizes[ring], p[ring], s=150, facecolor="none", edgecolor="#111111", linewidth=1.4, zorder=6)
    ax.axhline(answer.level, color=BEST, linestyle="--", linewidth=1.0)
    ax.annotate(
        f"level {answer.level:g}", (sizes.max() + 0.45, answer.level), ha="right", va="bottom", fontsize=7, color=BEST
    )
    ax.set_ylim(0.0, 1.05)
    ax.set_ylabel("p-value of K against K + 1")


def _probabilities(ax: Axes, answer: Any, sizes: np.ndarray) -> None:
    seen = np.isfinite(answer.values)
    close = np.array([one in (answer.best, *answer.rivals) for one in answer.candidates])[seen]
    faces = [LINE if one else "white" for one in close]
    ax.bar(
        sizes[seen], answer.values[seen], width=0.6, color=faces, edgecolor=LINE,
        yerr=within_one(answer.values[seen], 2.0 * answer.errors[seen]), ecolor="#333333", capsize=2.5,
    )  # fmt: skip
    ax.set_ylim(0.0, None)
    ax.set_ylabel("probability")


def _differences(ax: Axes, answer: Any, sizes: np.ndarray) -> None:
    worse = np.abs(answer.differences)
    best = answer.candidates.index(answer.best)
    sign = -1.0 if answer.larger_is_better else 1.0
    worse = np.where(np.isfinite(worse), sign * answer.differences, np.nan)
    leaders = _leaders(answer, sizes, worse)
    others = np.setdiff1d(np.flatnonzero(np.isfinite(worse)), leaders)
    ax.plot(sizes[others], worse[others], "o", color=OTHERS, markersize=3, zorder=2)
    ax.plot(sizes[leaders], worse[leaders], "-", color=LINE, linewidth=1.5, zorder=3)
    spread = answer.errors_of_differences[leaders]
    drawn = np.isfinite(spread) & (leaders != best)
    ax.errorbar(
        sizes[leaders][drawn], worse[leaders][drawn], yerr=2.0 * spread[drawn], fmt="none", ecolor=LINE, elinewidth=1.2,
        capsize=2.5, zorder=3,
    )  # fmt: skip
    close = np.array([answer.candidates[i] in (answer.best, *answer.rivals) for i in leaders])
    for which, face in ((close, LINE), (~close, "white")):
        at = leaders[which]
        ax.scatter(sizes[at], worse[at], s=26, facecolor=face, edgecolor=LINE, zorder=4)
    ax.scatter(sizes[[best]], [0.0], s=150, facecolor="none", edgecolor="#111111", linewidth=1.4, zorder=6)
    _cut(ax, worse[leaders], np.where(leaders == best, 0.0, spread), close)
    ax.set_ylabel(f"{answer.unit} below the best" if answer.larger_is_better else "above the best")


def _leaders(answer: Any, sizes: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """The best family of each number of components; that of the best and of the rivals where they say so."""
    named = {one.n_components: answer.candidates.index(one) for one in (answer.best, *answer.rivals)}
    found = []
    for size in np.unique(sizes):
        own = np.flatnonzero((sizes == size) & np.isfinite(worse))
        if len(own):
            found.append(named.get(int(size), int(own[np.argmin(worse[own])])))
    return np.array(found, int)


def _cut(ax: Axes, worse: np.ndarray, spread: np.ndarray, close: np.ndarray) -> None:
    """Limit the axis to the better half of the candidates and the bars of the close ones, so that these are seen."""
    middle = FAR * float(np.median(worse[worse > 0])) if (worse > 0).any() else 1.0
    bars = 2.0 * np.where(close, np.nan_to_num(spread), 0.0)
    top = max(middle, float((worse + bars)[close].max()))
    bottom = min(0.0, float((worse - bars)[close].min()))
    if worse.max() > top or bars.any():
        ax.set_ylim(bottom - 0.08 * (top - bottom), top + 0.04 * (top - bottom))
    if worse.max() > top:
        note = {"xycoords": "axes fraction", "ha": "right", "va": "top", "fontsize": 7, "color": "#666666"}
        ax.annotate("larger ones are cut off", (0.98, 1.0), **note)
