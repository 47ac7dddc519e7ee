"""The data in the two directions that separate the components most."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bayesgmm.data.order import same_features
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.plots.arguments import FIT, POSTERIOR, left_out, shared_table, styled
from bayesgmm.plots.classes import class_of_rows, numbered, rows_shown
from bayesgmm.plots.components import MOST_FEATURES, plot_components
from bayesgmm.plots.directions import directions_of, words_of
from bayesgmm.plots.ellipses import draw_ellipses, gaussians_of
from bayesgmm.plots.hills import draw_hills
from bayesgmm.plots.rows import class_handles, draw_rows, with_gaps
from bayesgmm.plots.style import axes_of, beside, narrow, put_title


@styled(FIT, POSTERIOR, several=True)
def plot_projection(results: Any, x: Any = None, ax: Any = None) -> Axes:
    """Draw rows and components in the two directions of the feature space that separate the components most.

    The directions are those of dimension reduction for model-based clustering (Scrucca 2010) for differences of the
    means (λ = 1 of MclustDR in R's mclust), from the first result: at its estimate, or at its posterior mean. Two
    components differ in one direction of the means; the second direction is then from the covariances. The axes name
    the share of each direction in the sum of its eigenvalues, and the features with the largest coefficients of scaled
    features, with their signs. The unit is the pooled standard deviation within components, and the origin the mean of
    the mixture. Ellipses, numbers, colours and shades are those of `plot_components`.

    Parameters
    ----------
    results
        A fit or a posterior, or several by name, on the same data with at least two features.
    x
        Rows to draw, shape (N, D); those of the fit by default.
    ax
        Axes to draw on; created if None.

    Raises
    ------
    ArgumentError
        If there is one feature only.
    DataError
        If x has other features than the fit.
    """
    results = numbered(results)
    whole, first = shared_table(results), next(iter(results.values()))
    if whole.dim == 1:
        raise ArgumentError("A projection needs two features or more; these data have one. Use plot_components.")
    new = same_features(x, whole)
    values, _ = rows_shown(new.sample)
    params = gaussians_of(first)
    found = directions_of(params)
    center = np.asarray(params.weights) @ np.asarray(params.means) / np.asarray(params.weights).sum()
    seen = {name: projected(result, found.basis, center) for name, result in results.items()}
    ax = axes_of(ax, 5.2)
    draw_rows(first, (values - center) @ found.basis, class_of_rows(first, values), (0, 1), ax)
    draw_ellipses(seen, (0, 1), ax)
    draw_hills(next(iter(seen.values())), (0, 1), ax)
    most = 2 if narrow(ax) else 4
    for axis, words in zip((ax.xaxis, ax.yaxis), words_of(found, params, whole.features, most), strict=True):
        axis.set_label_text(words, fontsize=8)
    features = list(range(whole.dim))
    note = with_gaps(left_out(features, whole.features, len(values), new.num_rows), values)
    title = f"The two directions of {whole.dim} features that separate the components most"
    put_title(ax, "\n".join([title, *[note] * bool(note)]))
    beside(ax, class_handles(results))
    return ax


def projected(result: Any, basis: np.ndarray, center: np.ndarray) -> Any:
    """What pictures read of a result, with two directions, the columns of ``basis``, in place of the features."""
    weights, means, trils = (np.asarray(part) for part in result.params)
    factors = np.swapaxes(basis, 0, 1) @ trils  # (…, K, 2, D): its product with its transpose is the covariance
    roots = np.linalg.cholesky(factors @ factors.swapaxes(-1, -2))
    params = Params(weights, (means - center) @ basis, roots)
    table = SimpleNamespace(noise=result.table.noise, total=result.table.total)
    return SimpleNamespace(params=params, table=table, n_components=result.n_components)


def plot_result(result: Any, ax: Any, features: Any) -> Axes:
    """What ``result.plot()`` draws: the projection of more than five features, unless some are named."""
    if features is None and result.table.dim > MOST_FEATURES:
        return plot_projection(result, ax=ax)
    return plot_components(result, ax, features)
