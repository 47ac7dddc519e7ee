"""Profile likelihood intervals of one scalar: where the profile has fallen by half a quantile of χ².

See Venzon & Moolgavkar (1988). Under a prior the objective is log-likelihood + log prior.
"""

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from bayesgmm.curvature.information import Curvature, by_information
from bayesgmm.curvature.profile import Held, Scalar, highest_with
from bayesgmm.errors import ArgumentError, FitError
from bayesgmm.model.alignment import align
from bayesgmm.model.types import Params
from bayesgmm.problem import Model, Problem, to_problem
from bayesgmm.results.intervals import MOST_GAIN, by_theory
from bayesgmm.results.parameters import parameter_names
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text, significant

if TYPE_CHECKING:
    import pandas as pd

PACE = 4
"""Values from the estimate to the end of the Wald interval."""
MOST_VALUES = 30
"""Values tried on either side before the end is called open."""
HIGHER = 1e-4
"""A rise above the fit by more than this is another mode."""
FARTHEST = 25.0
"""Longest way on the scale of a logit or a logarithm; for a mean `RANGES`."""
RANGES = 3.0
"""Longest way of a mean, in ranges of the data."""


@dataclass(frozen=True, repr=False)
class Profile:
    """The profile of the objective in one scalar, and the interval that follows. See `MixtureFit.profile`."""

    parameter: str
    estimate: float
    lower: float
    upper: float
    """Ends of the interval; where the profile does not fall so far, the boundary of the parameter or ±∞."""
    level: float
    curve: "pd.DataFrame"
    """``value`` and ``objective``: the highest objective with the parameter at that value, constants included."""
    wald: tuple[float, float]
    """The interval from the observed information, for comparison."""
    objective: float
    """That of the fit."""
    notes: tuple[str, ...]

    @property
    def drop(self) -> float:
        """Fall of the objective at the ends: half the quantile of χ² with one degree of freedom."""
        return 0.5 * float(chi2.ppf(self.level, 1))

    def plot(self, ax: Any = None) -> Any:
        """Plot the profile with its interval beside that from the information. Returns axes."""
        from bayesgmm import plots

        return plots.plot_profile(self, ax)

    def _title(self) -> str:
        return "\n".join([f"{self.parameter}: {self.level:.4g} interval from the profile", *self.notes])

    def _table(self) -> "pd.DataFrame":
        import pandas as pd

        rows = {"profile": (self.lower, self.upper), "information": self.wald}
        cells = {name: {"estimate": self.estimate, "lower": low, "upper": high} for name, (low, high) in rows.items()}
        return pd.DataFrame.from_dict(cells, orient="index").map(significant)

    def __repr__(self) -> str:
        return as_text(self._title(), self._table())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._table())


def profile_of(
    fit_params: Params, model: Model, objective: float, found: Curvature, parameter: Any, level: float
) -> Profile:
    """The profile of a scalar about a point estimate, given the `curvature` there. See `MixtureFit.profile`."""
    parameter = known_name(parameter, model)
    scalar = scalar_of(parameter, model)
    gain = by_information(fit_params, model, found).gain
    if gain > MOST_GAIN:
        raise FitError(
            f"The fit is not at the maximum of the objective: a Newton step gains {gain:.2g}. A profile falls off "
            "from the maximum. Let EM converge: bg.fit_em(x, K, init=fit)."
        )
    row = by_theory(fit_params, model, found, "information", level).table.loc[parameter]
    with scope("float64"):
        tracer = _Tracer(scalar, fit_params, model, float(row["sd"]), 0.5 * float(chi2.ppf(level, 1)))
        lower, upper = tracer.end(-1), tracer.end(1)
    wald = float(row["lower"]), float(row["upper"])
    return Profile(
        parameter, scalar.of(fit_params), lower, upper, level, tracer.curve(objective), wald, objective,
        tracer.notes(lower, upper),
    )  # fmt: skip


def known_name(parameter: Any, model: Model) -> str:
    """The name of a parameter as the tables have it; blanks do not matter.

    Raises
    ------
    ArgumentError
        If there is no such parameter. The message has names near it.
    """
    num = model.num_components
    names = parameter_names(model.table, num)
    if isinstance(parameter, str):
        alike = [name for name in names if name.replace(" ", "") == parameter.replace(" ", "")]
        if parameter in names or len(alike) == 1:
            return parameter if parameter in names else alike[0]
        near = difflib.get_close_matches(parameter, names, 3, 0.8)
        if near:
            raise ArgumentError(f"There is no parameter {shown(parameter)}. Near it are {', '.join(map(shown, near))}.")
    some = f"'weights[0]', {names[num]!r} or {names[num + num * model.table.dim]!r}"
    raise ArgumentError(
        f"parameter must be a name as in fit.intervals().table, such as {some}; got {shown(parameter)}."
    )


def scalar_of(parameter: Any, model: Model) -> Scalar:
    """The scalar of this name, as in the tables.

    Raises
    ------
    ArgumentError
        If there is none, or it cannot be held: a covariance of two features, or the only weight.
    """
    num, dim = model.num_components, model.table.dim
    place = parameter_names(model.table, num).index(known_name(parameter, model))
    if place < num:
        if num == 1:
            raise ArgumentError(
                "The weight of a single component is 1 and has no profile. Choose a mean or a variance."
            )
        return Scalar("weights", place, 0)
    if place < num + num * dim:
        return Scalar("means", *divmod(place - num, dim))
    rows, columns = np.triu_indices(dim)
    k, pair = divmod(place - num - num * dim, len(rows))
    if rows[pair] != columns[pair]:
        raise ArgumentError(
            f"{parameter} is a covariance of two features. profile holds weights, means and variances, which every "
            "covariance family can hold by one move. Use fit.intervals() for it."
        )
    return Scalar("variances", k, int(rows[pair]))


class _Tracer:
    """Follows the profile outwards from the fit, on a scale where it is nearly a parabola."""

    def __init__(self, scalar: Scalar, params: Params, model: Model, sd: float, drop: float):
        self.scalar, self.params, self.model, self.drop = scalar, params, model, drop
        self.problem: Problem = to_problem(model, "float64")
        self.start = self.to_scale(scalar.of(params))
        spread = float(np.ptp(model.table.filled[:, scalar.feature]))
        self.farthest = RANGES * spread if scalar.part == "means" else FARTHEST
        slope = 1e-6 * max(abs(self.start), 1.0)
        self.sd = sd * abs(slope / (self.from_scale(self.start + slope) - self.from_scale(self.start)))
        fit = highest_with(scalar, scalar.of(params), params, self.problem)
        self.seen: dict[float, Held] = {self.start: fit}

    def to_scale(self, value: float) -> float:
        """The logit of a weight, the log of a variance, a mean itself."""
        if self.scalar.part == "means":
            return value
        return float(np.log(value / (1.0 - value)) if self.scalar.part == "weights" else np.log(value))

    def from_scale(self, at: float) -> float:
        """The value at a place on the scale."""
        if self.scalar.part == "means":
            return at
        return float(1.0 / (1.0 + np.exp(-at)) if self.scalar.part == "weights" else np.exp(at))

    def fall(self, at: float, beside: float) -> float:
        """Fall of the profile from the fit, ascending from the θ at a place beside."""
        if at not in self.seen:
            start = self.seen[beside].params
            self.seen[at] = highest_with(self.scalar, self.from_scale(at), start, self.problem)
        fall = self.seen[self.start].objective - self.seen[at].objective
        return fall if np.isfinite(fall) else np.inf

    def end(self, side: int) -> float:
        """Where the profile has fallen by `drop`; the boundary, or ±∞, if it does not."""
        pace = side * self.sd * np.sqrt(2.0 * self.drop) / PACE
        inside, low = self.start, 0.0
        for number in range(MOST_VALUES):
            outside = inside + pace * (1.0 if number < 2 * PACE else 1.5 ** (number - 2 * PACE + 1))
            if abs(outside - self.start) > self.farthest:
                break
            high = self.fall(outside, inside)
            if high >= self.drop:
                return self.from_scale(self._between(inside, low, outside, high))
            inside, low = outside, high
        if self.scalar.part == "means":
            return side * float("inf")
        return 0.0 if side < 0 else 1.0 if self.scalar.part == "weights" else float("inf")

    def _between(self, inside: float, low: float, outside: float, high: float) -> float:
        """The place of the fall `drop`, by false position on the root of the fall (Illinois)."""
        goal = np.sqrt(self.drop)
        f_in, f_out = np.sqrt(max(low, 0.0)) - goal, min(np.sqrt(max(high, 0.0)), 10 * goal) - goal
        for _ in range(40):
            at = float(inside - f_in * (outside - inside) / (f_out - f_in))
            if abs(outside - inside) < 1e-9 * self.sd or at in (inside, outside):
                break
            f = np.sqrt(max(self.fall(at, inside), 0.0)) - goal
            if abs(f) < 1e-8 * goal:
                return at
            if f < 0:
                inside, f_in, f_out = at, f, 0.5 * f_out
            else:
                outside, f_out, f_in = at, f, 0.5 * f_in
        return outside

    def curve(self, objective: float) -> "pd.DataFrame":
        """The profile at all values that were tried, in order."""
        import pandas as pd

        top = self.seen[self.start].objective
        rows = [(self.from_scale(at), objective - top + held.objective) for at, held in sorted(self.seen.items())]
        return pd.DataFrame(rows, columns=pd.Index(["value", "objective"]))

    def notes(self, lower: float, upper: float) -> tuple[str, ...]:
        """What limits the interval, in sentences."""
        found, top = [], self.seen[self.start].objective
        for side, end, word in ((-1, lower, "lower"), (1, upper, "upper")):
            if any(self.from_scale(at) == end for at in self.seen):
                continue
            outer = (min if side < 0 else max)(self.seen)
            found.append(
                f"The {word} end is open: at {self.from_scale(outer):.4g} the profile has fallen by "
                f"{max(top - self.seen[outer].objective, 0.0):.3g} only, and a fall of {self.drop:.3g} is needed."
            )
        best = max(self.seen, key=lambda at: self.seen[at].objective)
        if self.seen[best].objective > top + HIGHER:
            found.append(
                f"At {self.from_scale(best):.4g} the objective is {self.seen[best].objective - top:.3g} higher than at "
                "the fit: the fit is not the highest mode. Fit again with more starts."
            )
        inside = [
            at for at in sorted(self.seen, key=lambda at: abs(at - self.start)) if lower <= self.from_scale(at) <= upper
        ]
        exchanged = next((at for at in inside if self._exchanged(self.seen[at].params)), None)
        if exchanged is not None:
            found.append(
                f"At {self.from_scale(exchanged):.4g} the components have exchanged their roles: another numbering is "
                "nearer to the fit, and the interval is not one of this component alone."
            )
        slow = sum(not held.settled for held in self.seen.values())
        if slow:
            found.append(
                f"At {slow} of {len(self.seen)} values the ascent did not settle; the profile is higher there."
            )
        return tuple(found)

    def _exchanged(self, params: Params) -> bool:
        order = align(params, self.params, self.model.interchangeable)
        return bool((order != np.arange(len(order))).any())
