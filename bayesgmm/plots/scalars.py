"""The scalar parameters of a picture: weights, means, standard deviations and correlations, with their intervals."""

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from bayesgmm.plots.arguments import is_point
from bayesgmm.runtime.formatting import for_figure

KINDS = ("weights", "means", "sds", "correlations")
INNER, OUTER = (0.25, 0.75), (0.025, 0.975)


class Quantity(NamedTuple):
    """A number that each component has."""

    kind: str
    """One of `KINDS`."""
    features: tuple[int, ...] = ()
    """None for a weight, one for a mean or a standard deviation, two for a correlation."""

    def words(self, names: tuple[str, ...]) -> str:
        """What it is called in a picture."""
        of = ", ".join(for_figure(names[d], 20 if len(self.features) == 1 else 11) for d in self.features)
        return {"weights": "weight", "means": f"mean of {of}", "sds": f"sd of {of}"}.get(
            self.kind, f"correlation of\n{of}"
        )


class Span(NamedTuple):
    """An estimate with its intervals; an interval that there is not is None."""

    middle: float
    inner: tuple[float, float] | None = None
    outer: tuple[float, float] | None = None


def span_of(result: Any, quantity: Quantity, k: int, intervals: Any) -> Span:
    """Median, 50 % and 95 % interval of draws; of a point estimate its value, and the interval that is given if any."""
    values = values_of(result.params, quantity, k)
    if not is_point(result):
        low, lower, middle, upper, high = np.quantile(values, [OUTER[0], INNER[0], 0.5, INNER[1], OUTER[1]])
        return Span(float(middle), (float(lower), float(upper)), (float(low), float(high)))
    middle = float(values)
    return Span(middle) if intervals is None else Span(middle, None, _ends(intervals, quantity, k, result, middle))


def values_of(params: Any, quantity: Quantity, k: int) -> Any:
    """The quantity of component k, with the leading axes of θ."""
    if quantity.kind == "weights":
        return np.asarray(params.weights)[..., k]
    if quantity.kind == "means":
        return np.asarray(params.means)[..., k, quantity.features[0]]
    factors = np.asarray(params.scale_trils)[..., k, list(quantity.features), :]
    covariance = factors @ factors.swapaxes(-1, -2)
    if quantity.kind == "sds":
        return np.sqrt(covariance[..., 0, 0])
    return covariance[..., 0, 1] / np.sqrt(covariance[..., 0, 0] * covariance[..., 1, 1])


def _ends(intervals: Any, quantity: Quantity, k: int, result: Any, middle: float) -> tuple[float, float] | None:
    """The interval of a point estimate: the table has it, except of correlations (Fisher's z)."""
    names = result.table.features
    if quantity.kind == "correlations":
        return _of_correlation(intervals, quantity, k, names, middle)
    row = {
        "weights": f"weights[{k}]", "means": f"means[{k}, {names[(*quantity.features, 0)[0]]}]",
        "sds": f"covariances[{k}, {names[(*quantity.features, 0)[0]]}, {names[(*quantity.features, 0)[0]]}]",
    }[quantity.kind]  # fmt: skip
    if row not in intervals.table.index:
        return None
    lower, upper = (float(intervals.table.loc[row, side]) for side in ("lower", "upper"))
    if quantity.kind == "sds":
        lower, upper = (float(np.sqrt(max(end, 0.0))) for end in (lower, upper))
    return _finite(lower, upper)


def _of_correlation(
    intervals: Any, quantity: Quantity, k: int, names: tuple[str, ...], middle: float
) -> tuple[float, float] | None:
    """Symmetric on the scale of atanh, with the standard error by the delta method from that of the covariances."""
    first, second = sorted(quantity.features)
    rows = [f"covariances[{k}, {names[a]}, {names[b]}]" for a, b in ((first, first), (second, second), (first, second))]
    index = list(intervals.table.index)
    if any(row not in index for row in rows) or len(intervals.covariance) != len(index) or abs(middle) >= 1.0:
        return None
    one, other, _ = intervals.table.loc[rows, "estimate"].to_numpy(float)
    gradient = np.array([-0.5 * middle / one, -0.5 * middle / other, 1.0 / np.sqrt(one * other)])
    places = [index.index(row) for row in rows]
    variance = float(gradient @ intervals.covariance[np.ix_(places, places)] @ gradient)
    half = float(norm.ppf((1.0 + intervals.level) / 2.0)) * np.sqrt(max(variance, 0.0)) / (1.0 - middle**2)
    return _finite(float(np.tanh(np.arctanh(middle) - half)), float(np.tanh(np.arctanh(middle) + half)))


def _finite(lower: float, upper: float) -> tuple[float, float] | None:
    return (lower, upper) if np.isfinite(lower) and np.isfinite(upper) else None
