"""One style for all plots; the matplotlib settings of the user do not change."""

import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.formatting import for_figure

ENGINE_COLORS = {
    "mle": "#8C8C8C",
    "em": "#111111",
    "cem": "#C2185B",
    "sem": "#E57398",
    "mcem": "#9C6BD3",
    "same": "#F08A3C",
    "daem": "#3B3B98",
    "cavi": "#6A8F2B",
    "svi": "#2B8A8A",
    "laplace": "#A6761D",
    "gibbs": "#D55E00",
    "nuts": "#0072B2",
}
MOST_LISTED = 10
"""Most components, clusters or the like that a legend lists."""
WIDTH = 8.5
"""Width of every figure in inches, so that all figures of a report have the same font size."""

NARROW, BELOW = 5.0, 38.0
"""Width of a figure in inches below which a legend stands under the axes, and how far, in points."""

COMPONENT_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A1C00", "#8A3FD1", "#333366", "#AADD88")
"""After Okabe & Ito; disjoint from `ENGINE_COLORS`. For readers with protanopia or deuteranopia, too, any two differ by
at least 17 in CIELAB (a test simulates it after Machado et al. 2009)."""

NOISE_COLOR = "#7A7A7A"
"""Rows and weight of a noise component."""
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), "-.")
CHAIN_COLORS = ("#4C72B0", "#DD8452", "#55A868", "#C44E52", "#8172B3", "#937860", "#DA8BC3", "#8C8C8C")

RC: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "font.size": 9,
    "figure.dpi": 110,
    "text.usetex": False,  # names of the user are not LaTeX
}


@contextmanager
def in_style() -> Iterator[None]:
    """A context that draws in the style of the package.

    The first figure of a notebook loads its backend, which switches interactive mode on. That has to last: without it
    a notebook shows no later figure of the user.
    """
    interactive = mpl.is_interactive()
    try:
        with mpl.rc_context(RC):
            try:
                yield
            finally:
                interactive = mpl.is_interactive()
    finally:
        mpl.interactive(interactive)


def png(figure: Any) -> bytes:
    """The figure as PNG; it is closed. Characters that the font lacks are drawn as boxes."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=150)
    plt.close(figure)
    return buffer.getvalue()


def labeller(most: int) -> Any:
    """The labels of ArviZ, with names of the user as `for_figure` shows them, in at most so many characters."""
    from arviz_base.labels import BaseLabeller

    class Escaped(BaseLabeller):
        def dim_coord_to_str(self, dim, coord_val, coord_idx):
            return for_figure(str(coord_val), most)

        def var_name_to_str(self, var_name):
            return for_figure(str(var_name), most)

    return Escaped()


def within_one(probabilities: Any, errors: Any) -> Any:
    """Lengths of bars below and above probabilities, cut where they would leave 0 … 1; 0 for no error."""
    import numpy as np

    probabilities, errors = np.asarray(probabilities, float), np.nan_to_num(np.asarray(errors, float))
    return np.stack([np.minimum(errors, probabilities), np.minimum(errors, 1.0 - probabilities)]).clip(0.0)


def axes_of(ax: Any, height: float, width: float = WIDTH) -> Any:
    """The axes of the user, or new ones of this size in inches if there are none.

    Raises
    ------
    ArgumentError
        If `ax` is no matplotlib Axes.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        return plt.subplots(figsize=(width, height), layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ArgumentError(f"ax must be matplotlib Axes, such as plt.subplots()[1], got {shown(ax)}.")
    return ax


def axes_array(axes: Any, rows: int, columns: int, height: float, **share: Any) -> Any:
    """The array (rows, columns) of axes of the user, or a new one of this height in inches if there is none.

    Raises
    ------
    ArgumentError
        If `axes` is no such array of matplotlib Axes.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if axes is None:
        size = (WIDTH, height)
        return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **share)[1]
    fits = isinstance(axes, np.ndarray) and axes.shape == (rows, columns)
    if not fits or not all(isinstance(ax, Axes) for ax in axes.flat):
        raise ArgumentError(f"axes must be an array ({rows}, {columns}) of matplotlib Axes, got {shown(axes)}.")
    return axes


def beside(ax: Any, handles: list[Any], **more: Any) -> Any:
    """A legend to the right of axes; below them in a narrow figure, where it would take the room of the picture."""
    if not narrow(ax):
        return ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), **more)
    lines = ax.get_xlabel().count("\n")
    below = ax.transAxes + ScaledTranslation(0.0, -(BELOW + 10.0 * lines) / 72.0, ax.figure.dpi_scale_trans)
    style: dict[str, Any] = {"loc": "upper left", "bbox_transform": below, "fontsize": 7, "borderaxespad": 0.0}
    columns = _columns([len(handle.get_label()) for handle in handles], ax.figure.get_size_inches()[0] - 0.6)
    return ax.legend(handles=handles, ncols=columns, bbox_to_anchor=(0.0, 0.0), handlelength=1.4, **style, **more)


def _columns(lengths: list[int], width: float) -> int:
    """The largest number of columns, at most four, in which labels of so many characters fit into so many inches."""
    for columns in (4, 3, 2):
        rows = -(-len(lengths) // columns)
        if sum(0.06 * max(lengths[i : i + rows]) + 0.4 for i in range(0, len(lengths), max(rows, 1))) <= width:
            return columns
    return 1


def narrow(ax: Any) -> bool:
    """Whether a figure is about as narrow as a column of a paper (3.4 inches)."""
    return bool(ax.figure.get_size_inches()[0] < NARROW)


def put_title(ax: Any, text: str) -> None:
    """A title over axes, with line breaks where a narrow figure would end."""
    size = 8 if narrow(ax) else 10
    if narrow(ax):
        most = int(10.5 * ax.figure.get_size_inches()[0])
        text = "\n".join(textwrap.fill(line, most) for line in text.split("\n"))
    ax.set_title(text, fontsize=size)


def write_note(figure: Any, note: str) -> None:
    """Write a note over a figure, if there is one."""
    if note:
        figure.suptitle(note, x=0.01, ha="left", fontsize=10, fontweight="bold")


def engine_style(name: str, number: int, width: float = 1.7) -> dict[str, Any]:
    """Colour and style of the lines of an engine, which is the result of this number in a figure."""
    return {"color": engine_color(name), "linestyle": LINES[number % len(LINES)], "linewidth": width}


def engine_color(name: str) -> str:
    """Colour of an engine; purple for an unknown name."""
    return ENGINE_COLORS.get(name, "#7B3294")


def component_color(k: int) -> str:
    """Colour of component `k`; the colours repeat."""
    return COMPONENT_COLORS[k % len(COMPONENT_COLORS)]


def chain_color(chain: int) -> str:
    """Colour of a chain; the colours repeat."""
    return CHAIN_COLORS[chain % len(CHAIN_COLORS)]


def number_badge(k: int) -> dict[str, Any]:
    """The look of a component's number: dark on white, in a circle of the component's colour."""
    return {"boxstyle": "circle,pad=0.12", "fc": "white", "ec": component_color(k), "alpha": 0.9}


def listed(handles: list[Any]) -> list[Any]:
    """At most `MOST_LISTED` handles for a legend, and how many more there are."""
    more = len(handles) - MOST_LISTED
    return handles if more <= 0 else [*handles[:MOST_LISTED], Line2D([], [], linestyle="", label=f"and {more} more")]
