"""A forest of intervals: weights, means, standard deviations and correlations of each component, by engine."""

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesgmm.data.noise import num_gaussians
from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import FIT, POSTERIOR, Results, features_note, shared_table, styled
from bayesgmm.plots.classes import numbered
from bayesgmm.plots.components import features_shown
from bayesgmm.plots.ellipses import gaussians_of
from bayesgmm.plots.means import check_intervals, interval_handles
from bayesgmm.plots.scalars import KINDS, Quantity, Span, span_of, values_of
from bayesgmm.plots.style import axes_array, engine_color, number_badge, write_note
from bayesgmm.runtime.checks import as_list, shown
from bayesgmm.runtime.formatting import for_figure

MOST_FEATURES, MOST_PAIRS, MOST_COMPONENTS = 3, 3, 8
COLUMNS = 4
REACH = 0.7
"""Intervals that go beyond all medians and 50 % intervals by more than this share of their range are cut off."""


@styled(FIT, POSTERIOR, several=True)
def plot_intervals(
    results: Any, parameters: Any = KINDS, axes: Any = None, features: Any = None, intervals: Any = None
) -> np.ndarray:
    """Draw intervals of weights, means, standard deviations and correlations: a panel for each, a line for each engine.

    Draws have their median, 50 % and 95 % interval; a point estimate is a diamond, with its interval if one is given.
    The components are the rows of a panel, with the same numbers and colours as in other pictures. Of more than eight
    components, those with the largest weights are shown; of more than three features, those that separate the
    components most; of more than three correlations, those farthest from 0: by the first result. An arrow is the end
    of an interval that is cut off.

    Parameters
    ----------
    results
        A fit or a posterior, or several by name, on the same data, with equal numbers of components.
    parameters
        What to show: some of ``"weights"``, ``"means"``, ``"sds"``, ``"correlations"``; all by default.
    axes
        Array of axes (rows, columns) for the panels, at most four beside each other; created if None.
    features
        Names or indices of the features to show.
    intervals
        Intervals of point estimates by name, such as ``{"em": fit.intervals(level=0.95)}``. Standard deviations have
        the roots of the ends of variances, and correlations are symmetric on Fisher's scale, by the delta method.

    Returns
    -------
    ndarray of Axes
        Panels in the order of `parameters`; axes that are left over are hidden.

    Raises
    ------
    ArgumentError
        If `parameters` are none of these, or the results have different numbers of components.
    """
    results = numbered(results)
    first, table = next(iter(results.values())), shared_table(results)
    if any(num_gaussians(result) != num_gaussians(first) for result in results.values()):
        raise ArgumentError("plot_intervals takes results with equal numbers of components; those in results differ.")
    kinds = _checked_kinds(parameters, table.dim)
    chosen, why = features_shown(results, features, MOST_FEATURES)
    weights = gaussians_of(first).weights
    components = sorted(np.argsort(-weights, kind="stable")[:MOST_COMPONENTS].tolist())
    quantities = _quantities(kinds, chosen, first, components)
    found = check_intervals(intervals, results)
    own, columns = axes is None, min(COLUMNS, len(quantities))
    if len(quantities) in (5, 6):
        columns = 3
    rows = -(-len(quantities) // columns)
    height = 0.6 + rows * (0.55 + len(components) * (0.12 + 0.1 * len(results)))
    axes = axes_array(axes, rows, columns, max(height, 2.2), sharey=True)
    cut = False
    for ax, quantity in zip(axes.flat, quantities, strict=False):
        spans = [
            [span_of(result, quantity, k, found.get(name)) for name, result in results.items()] for k in components
        ]
        cut |= _panel(ax, spans, list(results), components)
        ax.set_title(quantity.words(table.features), fontsize=9)
    for ax in axes.flat[len(quantities) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("component")
    if own:
        figure = axes[0, 0].figure
        figure.legend(handles=_handles(results, found, cut), loc="outside lower center", ncols=4)
        write_note(figure, _note(chosen, table.features, why, len(components), len(weights)))
    return axes


def _checked_kinds(parameters: Any, dim: int) -> list[str]:
    given = as_list("parameters", [parameters] if isinstance(parameters, str) else parameters)
    if not given or any(one not in KINDS for one in given) or len(set(given)) < len(given):
        raise ArgumentError(f"parameters must be some of {', '.join(map(repr, KINDS))}, got {shown(parameters)}.")
    if dim == 1 and given == ["correlations"]:
        raise ArgumentError("The data have one feature, and no correlations. Ask for other parameters, such as 'sds'.")
    return [one for one in given if one != "correlations" or dim > 1]


def _quantities(kinds: list[str], features: list[int], first: Any, components: list[int]) -> list[Quantity]:
    """What the panels show."""
    pairs = [Quantity("correlations", pair) for pair in combinations(features, 2)]
    sizes = [max(float(np.abs(np.mean(values_of(first.params, pair, k)))) for k in components) for pair in pairs]
    kept = sorted(sorted(range(len(pairs)), key=lambda i: -sizes[i])[:MOST_PAIRS])
    of_kind = {
        "weights": [Quantity("weights")],
        "means": [Quantity("means", (d,)) for d in features],
        "sds": [Quantity("sds", (d,)) for d in features],
        "correlations": [pairs[i] for i in kept],
    }
    return [quantity for kind in kinds for quantity in of_kind[kind]]


def _panel(ax: Axes, spans: list[list[Span]], names: list[str], components: list[int]) -> bool:
    """One quantity; whether an interval is cut off."""
    low, high = _limits([span for group in spans for span in group])
    step = 0.7 / max(len(names), 2)
    cut = False
    for row, group in enumerate(spans):
        if row % 2 == 0:
            ax.axhspan(row - 0.5, row + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
        for i, span in enumerate(group):
            cut |= _line(ax, span, row + step * (i - (len(names) - 1) / 2.0), engine_color(names[i]), (low, high))
    ax.set_xlim(low, high)
    ax.set_ylim(len(spans) - 0.5, -0.5)
    ax.set_yticks(range(len(spans)), [str(k) for k in components])
    for label, k in zip(ax.get_yticklabels(), components, strict=False):
        label.set(color="#222222", fontweight="bold", bbox=number_badge(k) | {"linewidth": 1.4})
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    return cut


def _limits(spans: list[Span]) -> tuple[float, float]:
    """The range of all estimates and 50 % intervals, and of the 95 % intervals as far as they are not much longer."""
    inner = np.array([end for one in spans for end in (one.middle, *(one.inner or ()))])
    low, high = inner.min(), inner.max()
    outer = np.array([end for one in spans for end in one.outer or ()])
    widths = [one.outer[1] - one.outer[0] for one in spans if one.outer]
    reach = REACH * max(high - low, float(np.quantile(widths, 0.25)) if widths else 0.0)
    seen = np.clip(outer, low - reach, high + reach)
    low, high = min(low, seen.min(initial=low)), max(high, seen.max(initial=high))
    margin = 0.04 * (high - low) or 0.05 * max(abs(high), 1e-9)
    return float(low - margin), float(high + margin)


def _line(ax: Axes, span: Span, y: float, color: str, limits: tuple[float, float]) -> bool:
    """One estimate and its intervals; whether an end is cut off."""
    cut = False
    if span.outer is not None:
        ends = np.clip(span.outer, *limits)
        cap = None if span.inner else "|"
        ax.plot(ends, [y, y], color=color, linewidth=1.1, solid_capstyle="butt", marker=cap, markersize=4, zorder=2)
        for end, limit, marker in zip(span.outer, limits, ("<", ">"), strict=True):
            if (end < limit) if marker == "<" else (end > limit):
                ax.plot(limit, y, marker=marker, color=color, markersize=4, clip_on=False, zorder=4)
                cut = True
    if span.inner is not None:
        ax.plot(span.inner, [y, y], color=color, linewidth=3.2, solid_capstyle="butt", zorder=3)
        ax.plot(span.middle, y, marker="o", markersize=3, markerfacecolor="white", color=color, zorder=4)
    else:
        ax.plot(span.middle, y, marker="D", markersize=3.5, color=color, zorder=4)
    return cut


def _handles(results: Results, found: Any, cut: bool) -> list[Line2D]:
    handles = [Line2D([], [], color=engine_color(name), linewidth=2.5, label=for_figure(name, 20)) for name in results]
    handles += interval_handles(results, found)
    if cut:
        handles.append(Line2D([], [], color="#444444", marker=">", markersize=4, label="goes on: cut off"))
    return handles


def _note(chosen: list[int], names: tuple[str, ...], why: str, shown_components: int, num: int) -> str:
    notes = [features_note(chosen, names, why)]
    if shown_components < num:
        notes.append(f"the {shown_components} of {num} components with the largest weights")
    return "; ".join(note for note in notes if note)
