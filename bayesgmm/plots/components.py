"""The data with the components of each engine."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from bayesgmm.errors import ArgumentError
from bayesgmm.model import mixture
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.plots.style import WIDTH, axes_of, engine_color, styled
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.checks import as_list, check_count, shown
from bayesgmm.runtime.formatting import for_figure

Results = Mapping[str, MixtureFit | Posterior]
MOST_POINTS = 5000
MOST_FEATURES = 4
MASS = 0.9
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), "-.")


@styled
def plot_components(results: Results, ax: Any = None, features: tuple[int, int] | None = None) -> Axes:
    """Draw the data with the components of each engine.

    One feature: a histogram with the density of each engine. Two: a scatter plot with the ellipse that contains 90 % of
    each component, at the point estimate or the posterior mean. More: a triangle of such scatter plots over the first
    four features.

    Parameters
    ----------
    results
        Fits and posteriors by name, on the same data.
    ax
        Axes to draw on; ignored for a triangle of scatter plots.
    features
        Indices of the two features to show.

    Returns
    -------
    Axes
        The axes, or the first axes of the triangle.
    """
    table = next(iter(results.values())).table
    if table.dim == 1:
        ax = axes_of(ax, 4.2)
        _densities(results, table.values[:, 0], ax)
        ax.set_xlabel(for_figure(table.features[0]))
        ax.set_ylabel("density")
        ax.legend()
        return ax
    pairs = _pairs(min(table.dim, MOST_FEATURES)) if features is None else [_checked(features, table.dim)]
    if len(pairs) == 1:
        ax = axes_of(ax, 5.2)
        _scatter(results, table.values, pairs[0], ax)
        _name_axes(ax, table.features, pairs[0])
        ax.legend(handles=_handles(results))
        return ax
    return _triangle(results, table, pairs)


def mean_params(result: MixtureFit | Posterior) -> Params:
    """The point estimate, or the posterior mean of weights, means and covariances after relabelling."""
    if isinstance(result, MixtureFit):
        return result.params
    weights, means, covariances = result.params.weights, result.params.means, result.params.covariances
    return Params.of(weights.mean(axis=(0, 1)), means.mean(axis=(0, 1)), covariances.mean(axis=(0, 1)))


def _triangle(results: Results, table, pairs: list[tuple[int, int]]) -> Axes:
    size = max(second for _, second in pairs)
    figure, axes = plt.subplots(size, size, figsize=(WIDTH, 0.9 * WIDTH), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.set_visible(False)
    for first, second in pairs:
        ax = axes[second - 1, first]
        ax.set_visible(True)
        _scatter(results, table.values, (first, second), ax)
        _name_axes(ax, table.features, (first, second))
        if first > 0:
            ax.set_ylabel("")
        if second < size:
            ax.set_xlabel("")
    note = "" if table.dim <= MOST_FEATURES else f"first {MOST_FEATURES} of {table.dim} features"
    figure.legend(handles=_handles(results), loc="upper right", title=note or None)
    return axes[0, 0]


def _checked(features: Any, dim: int) -> tuple[int, int]:
    pair = as_list("features", features)
    if len(pair) != 2:
        raise ArgumentError(f"features must be two indices, got {shown(features)}.")
    first, second = (check_count("features", index, least=0, most=dim - 1) for index in pair)
    return first, second


def _pairs(dim: int) -> list[tuple[int, int]]:
    return [(first, second) for second in range(1, dim) for first in range(second)]


def _name_axes(ax: Axes, names: tuple[str, ...], pair: tuple[int, int]) -> None:
    ax.set_xlabel(for_figure(names[pair[0]]))
    ax.set_ylabel(for_figure(names[pair[1]]))


def _scatter(results: Results, values: np.ndarray, pair: tuple[int, int], ax: Axes) -> None:
    step = max(1, len(values) // MOST_POINTS)
    ax.scatter(*values[::step, pair].T, s=9, color="#98A1AB", alpha=0.8, linewidths=0, rasterized=True)
    for i, (name, result) in enumerate(results.items()):
        params = mean_params(result)
        style = {"color": engine_color(name), "linestyle": LINES[i % len(LINES)], "linewidth": 1.7}
        for mean, covariance in zip(params.means, params.covariances, strict=True):
            ax.add_patch(_ellipse(mean[list(pair)], covariance[np.ix_(pair, pair)], style))
            ax.plot(*mean[list(pair)], marker="+", color=engine_color(name), markersize=8, markeredgewidth=1.4)
    ax.autoscale_view()


def _ellipse(center: Array, covariance: Array, style: dict) -> Ellipse:
    values, vectors = np.linalg.eigh(covariance)
    radius = np.sqrt(-2.0 * np.log1p(-MASS))  # 90 % of a bivariate Gaussian lies within this many sd
    width, height = 2.0 * radius * np.sqrt(values)
    angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    return Ellipse((float(center[0]), float(center[1])), width, height, angle=angle, fill=False, **style)


def _densities(results: Results, values: np.ndarray, ax: Axes) -> None:
    margin = 0.08 * np.ptp(values)
    grid = np.linspace(values.min() - margin, values.max() + margin, 500)
    bins = int(np.clip(2 * np.sqrt(len(values)), 10, 80))
    ax.hist(values, bins=bins, density=True, color="#D5D9DE", edgecolor="white", label="data")
    for i, (name, result) in enumerate(results.items()):
        style = {"color": engine_color(name), "linestyle": LINES[i % len(LINES)]}
        if isinstance(result, Posterior):
            draws = _density_draws(result, grid)
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            ax.fill_between(grid, low, high, color=engine_color(name), alpha=0.13, linewidth=0)
            ax.plot(grid, draws.mean(axis=0), linewidth=1.7, label=f"{for_figure(name)}: mean and 90 % band", **style)
        else:
            density = np.exp(np.asarray(mixture.log_density(result.params, grid[:, None])))
            ax.plot(grid, density, linewidth=1.7, label=for_figure(name), **style)
    ax.set_ylim(bottom=0)


def _density_draws(posterior: Posterior, grid: np.ndarray, num: int = 400) -> np.ndarray:
    weights, means, trils = (part.reshape(-1, *part.shape[2:]) for part in posterior.params)
    step = max(1, len(weights) // num)
    weights, means, sds = weights[::step, :, None], means[::step, :, :1], trils[::step, :, 0, :1]
    gaussians = np.exp(-0.5 * ((grid - means) / sds) ** 2) / (sds * np.sqrt(2 * np.pi))
    return (weights * gaussians).sum(axis=1)


def _handles(results: Results) -> list[Line2D]:
    return [
        Line2D(
            [], [], color=engine_color(name), linestyle=LINES[i % len(LINES)], linewidth=1.7, label=_label(name, result)
        )
        for i, (name, result) in enumerate(results.items())
    ]


def _label(name: str, result: MixtureFit | Posterior) -> str:
    return f"{for_figure(name)}: 90 % ellipse" + (", posterior mean" if isinstance(result, Posterior) else "")
