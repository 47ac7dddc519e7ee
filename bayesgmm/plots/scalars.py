"""The scalar parameters of a picture: weights, means, standard deviations and correlations, with their intervals."""

from typing import Any, NamedTuple

import numpy as np

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
    return (
        Span(middle) if intervals is None else Span(middle, None, _ends(intervals, quantity, k, result.table.features))
    )


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


def _ends(intervals: Any, quantity: Quantity, k: int, names: tuple[str, ...]) -> tuple[float, float] | None:
    """The interval of a point estimate, if it has a finite one."""
    features = [names[d] for d in sorted(quantity.features)]
    if quantity.kind in ("sds", "correlations"):
        found = (intervals.of_sd if quantity.kind == "sds" else intervals.of_correlation)(k, *features)
        ends = None if found is None else (found.lower, found.upper)
    else:
        row = f"{quantity.kind}[{', '.join(map(str, (k, *features)))}]"
        rows = intervals.table.index
        ends = tuple(intervals.table.loc[row, ["lower", "upper"]].to_numpy(float)) if row in rows else None
    return (float(ends[0]), float(ends[1])) if ends is not None and np.isfinite(ends).all() else None
