"""A film of walks: components over the data, paths over the log posterior, and the objective, step by step."""

import re
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.plots.arguments import feature_indices, left_out, shared_table, styled
from bayesgmm.plots.classes import rows_shown
from bayesgmm.plots.ellipses import ellipse_of
from bayesgmm.plots.paths import draw_surface, places_of
from bayesgmm.plots.style import engine_color, engine_style
from bayesgmm.runtime.checks import check_count, check_number
from bayesgmm.runtime.files import as_path, reason, write
from bayesgmm.runtime.formatting import for_figure

MOST_FRAMES = 1000
SIZE = (10.0, 5.6)
DPI = 80
TRAIL = 0.5
"""Opacity of the steps before the present one."""
BUTTONS = {
    "minus": "−", "fast-backward": "|◀◀", "step-backward": "◀|", "reverse": "◀", "pause": "❚❚", "play": "▶",
    "step-forward": "|▶", "fast-forward": "▶▶|", "plus": "+",
}  # fmt: skip
"""Signs of the buttons, which matplotlib takes from a font on the internet."""


@styled("Walk", several=True)
def animate(
    walks: Any,
    path: str | PathLike,
    *,
    features: Any = None,
    coordinates: Any = None,
    frames: int = 60,
    fps: float = 5.0,
) -> Path:
    """Write a film of walks side by side, such as EM beside Gibbs: a gif, or an HTML page with buttons.

    Left: the rows, with the 90 % ellipse of each component in two features (with one feature: a histogram, with the
    density of the mixture). Right: the paths over the contours of the log posterior in two means, as in `plot_paths`,
    and the objective below. A walk that is shorter than another waits at its end.

    Parameters
    ----------
    walks
        A walk, or several by name, on the same data and with the same number of components.
    path
        The file, which ends in ``.gif`` or ``.html``. It is written whole or not at all.
    features
        Names or indices of the one or two features on the left; the first two by default.
    coordinates
        Two means as (component, feature), as in `plot_paths`.
    frames
        Most frames: of more steps, some at equal distances are shown, the first and the last among them.
    fps
        Frames per second.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArgumentError
        If an argument cannot be used, the walks differ in their components, or the file cannot be written.
    """
    place = as_path("path", path)
    kind = place.suffix.lower()
    if kind not in (".gif", ".html"):
        raise ArgumentError(f"path must end in .gif or .html, got {place.name!r}.")
    most = check_count("frames", frames, least=2, most=MOST_FRAMES)
    speed = check_number("fps", fps, 0.0, 100.0, open_low=True)
    table = shared_table(walks)
    shown = feature_indices(features, table.features, 2)
    if len(shown) > 2:
        raise ArgumentError(f"features must be one or two columns, got {len(shown)}.")
    film = _Film(walks, shown, places_of(walks, coordinates))
    try:
        write(place, _content(film, kind, _steps(walks, most), speed))
    except OSError as error:
        raise ArgumentError(
            f"The film could not be written to {place} ({reason(error)}). Choose another path."
        ) from None
    finally:
        plt.close(film.figure)
    return place


def _steps(walks: Any, most: int) -> np.ndarray:
    """Steps that are shown: all, or some at equal distances."""
    longest = max(one.num_steps for one in walks.values())
    return np.unique(np.round(np.linspace(0, longest, min(most, longest + 1))).astype(int))


def _content(film: "_Film", kind: str, steps: np.ndarray, speed: float) -> bytes:
    movie = FuncAnimation(film.figure, film.show, frames=[int(t) for t in steps], interval=1000.0 / speed, blit=False)
    with mpl.rc_context({"animation.embed_limit": 1e4, "savefig.dpi": DPI, "figure.dpi": DPI}):
        if kind == ".html":
            return _page(movie.to_jshtml(fps=speed, default_mode="loop"))  # pyright: ignore[reportArgumentType]
        with tempfile.TemporaryDirectory(prefix="bayesgmm-") as folder:
            part = Path(folder) / "film.gif"
            movie.save(part, writer=PillowWriter(fps=speed), dpi=DPI)  # pyright: ignore[reportArgumentType]
            return part.read_bytes()


def _page(player: str) -> bytes:
    """A whole page that needs nothing from the internet."""
    player = re.sub(r"<link[^>]*>", "", player)
    player = re.sub(r'<i class="fa fa-([\w-]+?)(?: fa-flip-horizontal)?"></i>', _sign, player)
    head = '<!DOCTYPE html><html><head><meta charset="utf-8"><title>bayesgmm</title></head>'
    return f"{head}<body>{player}</body></html>".encode()


def _sign(found: re.Match) -> str:
    name = "reverse" if "flip" in found[0] else found[1]
    return BUTTONS.get(name, name)


class _Film:
    """The figure, and what changes from step to step."""

    def __init__(self, walks: Any, shown: list[int], places: list[tuple[int, int]]):
        self.walks, self.shown = walks, shown
        self.figure, axes = plt.subplot_mosaic(
            [["data", "path"], ["data", "objective"]], figsize=SIZE, dpi=DPI, layout="constrained",
            height_ratios=[2.2, 1.0], width_ratios=[1.15, 1.0],
        )  # fmt: skip
        self.data: Any = axes["data"]
        self.grid = self._draw_rows()
        self.paths = draw_surface(walks, places, axes["path"])
        for part in (self.data, axes["path"], axes["objective"]):
            part.set_autoscale_on(False)
        self.trails, self.heads, self.curves = {}, {}, {}
        for name in walks:
            color = engine_color(name)
            (self.trails[name],) = axes["path"].plot(
                [], [], color=color, linewidth=1.1, alpha=TRAIL, marker=".", markersize=3
            )
            (self.heads[name],) = axes["path"].plot([], [], color=color, marker="o", markersize=7)
            (self.curves[name],) = axes["objective"].plot(
                [], [], color=color, linewidth=1.3, label=for_figure(name, 20)
            )
        self._frame_objective(axes["objective"])
        self.moving: list[Any] = []
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # the places of the axes stay; a frame takes a third of the time

    def _draw_rows(self) -> np.ndarray:
        """Draw the rows; with one feature a histogram, whose grid is returned."""
        table = shared_table(self.walks)
        rows, _ = rows_shown(table)
        names = [for_figure(table.features[d], 40) for d in self.shown]
        self.data.set_title(left_out(self.shown, table.features, len(rows), table.num_rows))
        self.data.set_xlabel(names[0])
        if len(self.shown) == 1:
            values = rows[:, self.shown[0]]
            margin = 0.15 * np.ptp(values)
            grid = np.linspace(values.min() - margin, values.max() + margin, 300)
            self.data.hist(values, bins=30, density=True, color="#C8C8C8", edgecolor="white", linewidth=0.3)
            self.data.set_ylabel("density")
            top = max(self._density(one, t, grid).max() for one in self.walks.values() for t in (0, one.num_steps))
            self.data.set_ylim(0.0, 1.15 * max(float(top), self.data.get_ylim()[1]))
            self.data.set_xlim(grid[0], grid[-1])
            return grid
        self.data.scatter(
            *rows[:, self.shown].T, s=float(np.clip(4000.0 / len(rows), 4.0, 14.0)), c="#9A9A9A", linewidths=0
        )
        self.data.margins(0.12)
        self.data.autoscale_view()
        self.data.set_ylabel(names[1])
        return np.empty(0)

    def _density(self, walk: Any, t: int, grid: np.ndarray) -> np.ndarray:
        """Density of the mixture in one feature."""
        weights, means, trils = _theta(walk, t)
        means, sds = means[:, self.shown[0]], np.linalg.norm(trils[:, self.shown[0]], axis=-1)
        parts = weights / sds * np.exp(-0.5 * np.square((grid[:, None] - means) / sds))
        return np.asarray(parts).sum(axis=1) / np.sqrt(2.0 * np.pi)

    def _frame_objective(self, ax: Any) -> None:
        values = np.concatenate([one.objective for one in self.walks.values()])
        finite = values[np.isfinite(values)]
        low, high = np.quantile(finite, 0.02), finite.max()  # the first steps may be far below
        margin = 0.08 * max(high - low, 1e-3)
        ax.set_ylim(low - margin, high + margin)
        ax.set_xlim(0, max(one.num_steps for one in self.walks.values()))
        ax.set_xlabel("step")
        flat = next(iter(self.walks.values())).model.prior is None
        ax.set_ylabel("log-likelihood" if flat else "log posterior")
        ax.legend(loc="lower right")

    def show(self, t: int) -> list[Any]:
        """Draw step t."""
        for artist in self.moving:
            artist.remove()
        self.moving = []
        for i, (name, walk) in enumerate(self.walks.items()):
            at = min(t, walk.num_steps)
            path = self.paths[name]
            self.trails[name].set_data(*path[:, : at + 1])
            self.heads[name].set_data(*path[:, at : at + 1])
            self.curves[name].set_data(np.arange(at + 1), walk.objective[: at + 1])
            self._draw_components(i, name, walk, at)
        beta = next(
            (one.betas[min(t, one.num_steps) - 1] for one in self.walks.values() if one.betas is not None and t), None
        )
        self.figure.suptitle(
            f"step {t}" + ("" if beta is None else f", β = {beta:.2f}"), x=0.99, ha="right", fontsize=10
        )
        return []

    def _draw_components(self, i: int, name: str, walk: Any, at: int) -> None:
        theta, style = _theta(walk, at), engine_style(name, i, 1.8)
        if len(self.shown) == 1:
            self.moving += self.data.plot(self.grid, self._density(walk, at, self.grid), **style)
            return
        pair = np.ix_(self.shown, self.shown)
        for mean, covariance in zip(theta.means, np.asarray(theta.covariances), strict=True):
            center = np.asarray(mean)[self.shown]
            self.moving.append(self.data.add_patch(ellipse_of(center, covariance[pair], style)))
            self.moving += self.data.plot(
                *center, marker="+", color=engine_color(name), markersize=8, markeredgewidth=1.5
            )


def _theta(walk: Any, t: int) -> Params:
    return Params(*(np.asarray(leaf)[t] for leaf in walk.params))
