"""Pictures of a study: coverage against rows, error against seconds, and where two engines part."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import COMPONENT_COLORS, LINES, axes_array, axes_of, beside, engine_color, write_note
from bayesgmm.runtime.checks import check_choice
from bayesgmm.runtime.formatting import for_figure, significant

MOST_DESIGNS = 5
"""Most rows of panels."""
WIDE = 1.96
FEW = 4.0
"""An axis from a number to less than so many times it has ticks as a linear one."""


@styled("Study")
def plot_coverage(study: Any, axes: Any = None) -> np.ndarray:
    """Draw the coverage of the intervals against the number of rows, a panel per kind of parameter.

    The line across is the level that was asked for. Bars are 95 % Monte Carlo intervals. A row of panels per design
    (truth, overlap and so on), at most five.

    Parameters
    ----------
    study
        Result of `bayesgmm.study`.
    axes
        Array of axes of shape (designs shown, kinds).

    Returns
    -------
    ndarray of Axes
    """
    frame = study.to_frame()
    frame = frame[(frame["quantity"] == "coverage") & frame["value"].notna()]
    designs, roles = designs_of(study), list(dict.fromkeys(frame["role"]))
    shown = designs[:MOST_DESIGNS]
    own = axes is None
    axes = axes_array(axes, len(shown), max(len(roles), 1), 0.9 + 2.1 * len(shown), sharex=True, sharey=True)
    for (i, j), ax in np.ndenumerate(axes):
        if j < len(roles):
            here = _in_design(frame[frame["role"] == roles[j]], shown[i])
            _draw_lines(ax, study, here)
        ax.axhline(study.level, color="#666666", linewidth=1.0, linestyle=":", zorder=1)
        if i == 0 and j < len(roles):
            ax.set_title(roles[j])
        if j == 0:
            ax.set_ylabel(_design_words(shown[i], study) or "coverage")
        if i == len(shown) - 1:
            ax.set_xlabel("rows")
    if own:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=4)
        more = f"; first {len(shown)} of {len(designs)} designs" if len(designs) > len(shown) else ""
        write_note(axes[0, 0].figure, f"Coverage of {100 * study.level:g} % intervals{more}")
    return axes


@styled("Study")
def plot_cost(study: Any, ax: Any = None, role: str = "means") -> Axes:
    """Draw the error of the estimates against the seconds of a run, for each engine, joined over the numbers of rows.

    Compiling is not in the seconds. The error is the root mean square over the parameters of a kind, in standard
    deviations of the true component, averaged over designs.

    Parameters
    ----------
    study
        Result of `bayesgmm.study`.
    ax
        Axes to draw on; created if None.
    role
        ``"weights"``, ``"means"``, ``"covariances"`` or ``"invariants"``.
    """
    check_choice("role", role, ("weights", "means", "covariances", "invariants"))
    ax = axes_of(ax, 4.0)
    frame = study.to_frame()
    for i, engine in enumerate(study.engines):
        own = frame[frame["engine"] == engine]
        errors = own[(own["quantity"] == "rmse") & (own["role"] == role)].groupby("n")["value"].mean()
        seconds = own[own["quantity"] == "seconds"].groupby("n")["value"].mean()
        kept = [n for n in errors.index if np.isfinite(errors[n]) and np.isfinite(seconds[n])]
        ax.plot(seconds[kept], errors[kept], marker="o", markersize=5, label=for_figure(engine, 30), **_line(study, i))
        for n in kept:
            ax.annotate(f"{n:,}", (seconds[n], errors[n]), (4, 5), textcoords="offset points", fontsize=7)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_data_interval()
        if high < FEW * low:  # few or no powers of ten are in view
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""))
    ax.set_xlabel("seconds of a run, without compiling")
    unit = "" if role in ("weights", "invariants") else ", in sds of the component"
    ax.set_ylabel(f"RMSE of {role}{unit}")
    num = len(designs_of(study))
    ax.set_title("Error against seconds; numbers are rows" + (f"; mean over {num} designs" if num > 1 else ""))
    beside(ax, ax.get_legend_handles_labels()[0])
    ax.margins(0.12)
    return ax


@styled("Study")
def plot_parting(study: Any, ax: Any = None, first: str | None = None, second: str | None = None) -> Axes:
    """Draw a map of where two engines part: the distance of their estimates, in sds of the second.

    Parameters
    ----------
    study
        Result of `bayesgmm.study`.
    ax
        Axes to draw on; created if None.
    first, second
        Columns, see `Study.parting`.
    """
    table = study.parting(first, second)
    designs, sizes = designs_of(study), sorted(table["n"].unique())
    ax = axes_of(ax, 1.6 + 0.5 * len(designs))
    values = np.full((len(designs), len(sizes)), np.nan)
    for i, design in enumerate(designs):
        here = _in_design(table, design).set_index("n")["value"]
        values[i] = [here.get(n, np.nan) for n in sizes]
    ax.imshow(values, cmap="YlOrBr", vmin=0.0, vmax=max(1.0, np.nanmax(values, initial=0.0)), aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        dark = value > 0.6 * max(1.0, np.nanmax(values, initial=0.0))
        ax.text(j, i, significant(value, 2), ha="center", va="center", color="white" if dark else "#222222")
    ax.set_xticks(range(len(sizes)), [f"{n:,}" for n in sizes])
    ax.set_yticks(range(len(designs)), [_design_words(design, study) or "truth" for design in designs])
    ax.set_xlabel("rows")
    ax.grid(visible=False)
    one, other = study.pair(first, second)
    title = f"Distance of {for_figure(one, 20)} from {for_figure(other, 20)}, in sds of {for_figure(other, 20)}"
    ax.set_title(title)
    return ax


def designs_of(study: Any) -> list[dict[str, Any]]:
    """The coordinates of the cells without the number of rows, each once."""
    return [dict(design) for design in dict.fromkeys(cell.design for cell in study.cells)]


def _in_design(frame: Any, design: dict[str, Any]) -> Any:
    for name, value in design.items():
        frame = frame[frame[name] == value]
    return frame


def _design_words(design: dict[str, Any], study: Any) -> str:
    """The coordinates that differ between designs."""
    others = designs_of(study)
    names = {"n_components": "K", "n_features": "D"}
    told = [name for name in design if len({other[name] for other in others}) > 1]
    return ", ".join(for_figure(f"{design[n]}" if n == "truth" else f"{names.get(n, n)} {design[n]}", 24) for n in told)


def _line(study: Any, i: int) -> dict[str, Any]:
    """Colour and line of a column; columns of one engine differ in colour."""
    names = [name for name, _ in study.plan.engines.values()]
    repeated = names[i] in names[:i]
    color = COMPONENT_COLORS[i % len(COMPONENT_COLORS)] if repeated else engine_color(names[i])
    return {"color": color, "linestyle": LINES[i % len(LINES)], "linewidth": 1.7}


def _draw_lines(ax: Axes, study: Any, here: Any) -> None:
    """Coverage of each engine over the rows."""
    sizes = sorted({cell.n for cell in study.cells})
    for i, engine in enumerate(study.engines):
        own = here[here["engine"] == engine].sort_values("n")
        shift = 1.0 + 0.03 * (i - (len(study.engines) - 1) / 2)  # so that bars do not hide one another
        half = WIDE * own["se"].fillna(0.0)
        bars = np.stack([np.minimum(half, own["value"]), np.minimum(half, 1.0 - own["value"])])
        label = for_figure(engine, 30)
        ax.errorbar(own["n"] * shift, own["value"], bars, marker="o", markersize=4, label=label, **_line(study, i))
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    if len(sizes) == 1:
        ax.set_xlim(sizes[0] / 1.5, sizes[0] * 1.5)
