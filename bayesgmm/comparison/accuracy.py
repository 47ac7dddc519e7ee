"""How far each column of a comparison lies from the reference, in label-invariant quantities, and what that cost."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from scipy.stats import wasserstein_distance

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.chains import figures_of, numbers_of
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.datatree import label_invariant
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import usable
from bayesgmm.runtime.formatting import as_html, as_text, for_html, for_terminal, significant, wrapped

if TYPE_CHECKING:
    import pandas as pd

LEFT_OUT = ("log_posterior", "log_likelihood")
"""Not compared: at a mode both are above those of nearly all draws, however good the estimate is."""
FEWEST = 4
"""Draws per chain at the start of a curve."""
Quantities = dict[str, np.ndarray]
"""Each label-invariant quantity by its label, (chain, draw)."""


@dataclass(frozen=True, repr=False)
class Errors:
    """Distances to the reference, in posterior sds of the reference."""

    table: "pd.DataFrame"
    """A row per engine: ``error``, ``monte carlo``, ``worst error``, ``worst quantity``, ``distance``, ``seconds``,
    ``seconds compiling``, ``draws``."""
    by_quantity: "pd.DataFrame"
    """A row per engine and quantity: ``mean``, ``reference``, ``reference sd``, ``error``, ``monte carlo``,
    ``distance``, ``ks``."""
    by_draws: "pd.DataFrame"
    """For each sampler, a row per number of draws: ``engine``, ``draws``, ``seconds``, ``error``, ``distance``."""
    reference: str
    """Name of the reference."""
    floor: dict[str, float]
    """``error`` and ``distance`` that the reference has from its own Monte Carlo error."""
    notes: tuple[str, ...]

    def plot(self, axes: Any = None) -> Any:
        """Draw errors against seconds. See `bayesgmm.plots.plot_errors`; returns axes."""
        from bayesgmm import plots

        return plots.plot_errors(self, axes)

    def shown(self) -> "pd.DataFrame":
        """The table as strings."""
        return self.table.map(lambda value: value if isinstance(value, str) else significant(value, 3))

    def __repr__(self) -> str:
        return "\n".join([as_text(f"Errors against {self.reference}", self.shown()), *map(wrapped, self.notes)])

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{for_html(line)}</p>" for line in self.notes)
        return as_html(f"Errors against {self.reference}", self.shown()) + lines


def errors_of(comparison: Any) -> Errors:
    """The errors of every column beside the reference of a comparison.

    Raises
    ------
    ArgumentError
        If the comparison has no reference, or nothing beside it.
    """
    import pandas as pd

    name, reference = _reference_of(comparison)
    others = {one: result for one, result in comparison.results.items() if one != name}
    truth = _Truth.of(reference)
    rows, parts = {}, {}
    for engine, result in others.items():
        parts[engine] = truth.beside(_quantities(result))
        seconds = {"seconds": result.clock.run_seconds, "seconds compiling": result.clock.compile_seconds}
        draws = result.num_chains * result.num_samples if isinstance(result, Posterior) else np.nan
        rows[engine] = _over_quantities(parts[engine]) | seconds | {"draws": draws}
    curves = [row for engine, result in others.items() for row in _curve(engine, result, truth)]
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("engine")
    by_quantity = pd.concat(parts, names=["engine", "quantity"])
    by_draws = pd.DataFrame(curves, columns=["engine", "draws", "seconds", "error", "distance"])
    return Errors(table, by_quantity, by_draws, name, truth.floor, _notes(comparison, name, truth, others))


def _reference_of(comparison: Any) -> tuple[str, Posterior]:
    name = comparison.reference
    if name is None:
        raise ArgumentError(
            "There is no reference to compare with. Give compare one: reference='exact' for few rows, "
            "reference='gibbs' for a long tempered run, or draws of other software."
        )
    if name not in comparison.results:
        raise ArgumentError(f"The reference has no draws: {name}: {comparison.failures.get(name, 'it is missing')}")
    if len(comparison.results) == 1:
        raise ArgumentError(f"There is no result besides the reference, {name}. Add an engine.")
    return name, comparison.results[name]


def _quantities(result: MixtureFit | Posterior) -> Quantities:
    """The label-invariant quantities; those of a point estimate as one draw."""
    if isinstance(result, Posterior):
        found = result.invariants
    else:
        one, zero = jax.tree.map(lambda leaf: np.asarray(leaf)[None, None], result.params), np.zeros((1, 1))
        found = label_invariant(one, result.table, result.frame, zero, zero)
    return dict(numbers_of(found.drop_vars(LEFT_OUT)))


@dataclass(frozen=True)
class _Truth:
    """The quantities of the reference that vary, with their figures."""

    draws: Quantities
    """Sorted, (draw,)."""
    figures: dict[str, dict[str, float]]
    floor: dict[str, float]

    @classmethod
    def of(cls, reference: Posterior) -> "_Truth":
        """What the draws of the reference say."""
        found = _quantities(reference)
        figures = {label: figures_of(values) for label, values in found.items()}
        moving = {label: values for label, values in found.items() if figures[label]["sd"] > 0}
        if not moving:
            raise ArgumentError("The draws of the reference are constant, so that they have no scale. Draw more.")
        own = {label: figures[label]["mcse"] / figures[label]["sd"] for label in moving}
        halves = [_halves_apart(values) / figures[label]["sd"] for label, values in moving.items()]
        floor = {"error": _rms(list(own.values())), "distance": float(np.mean(halves))}
        return cls({label: np.sort(values, axis=None) for label, values in moving.items()}, figures, floor)

    def beside(self, quantities: Quantities) -> "pd.DataFrame":
        """A row per quantity: means, and distances in sds of the reference."""
        import pandas as pd

        rows = {}
        for label, truth in self.draws.items():
            draws, figures = quantities[label], self.figures[label]
            sd = figures["sd"]
            own = 0.0 if draws.size == 1 else figures_of(draws)["mcse"]
            rows[label] = {
                "mean": draws.mean(), "reference": figures["mean"], "reference sd": sd,
                "error": (draws.mean() - figures["mean"]) / sd, "monte carlo": np.hypot(own, figures["mcse"]) / sd,
                "distance": wasserstein_distance(draws.ravel(), truth) / sd, "ks": _ks(draws.ravel(), truth),
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")

    def summary(self, quantities: Quantities) -> dict[str, float]:
        """Error and distance over all quantities, without Monte Carlo errors."""
        errors, distances = [], []
        for label, truth in self.draws.items():
            draws, sd = quantities[label], self.figures[label]["sd"]
            errors.append((draws.mean() - self.figures[label]["mean"]) / sd)
            distances.append(wasserstein_distance(draws.ravel(), truth) / sd)
        return {"error": _rms(errors), "distance": float(np.mean(distances))}


def _over_quantities(part: "pd.DataFrame") -> dict[str, Any]:
    """The figures of one engine over all quantities."""
    worst = str(part["error"].abs().idxmax())
    return {
        "error": _rms(part["error"]), "monte carlo": _rms(part["monte carlo"]),
        "worst error": np.abs(part["error"].to_numpy()).max(), "worst quantity": for_terminal(worst),
        "distance": part["distance"].to_numpy().mean(),
    }  # fmt: skip


def _curve(engine: str, result: MixtureFit | Posterior, truth: _Truth) -> list[dict[str, Any]]:
    """Error and distance of the first draws of each chain, for numbers of draws that double."""
    if not isinstance(result, Posterior) or isinstance(result, ApproximatePosterior):
        return []
    quantities, rows = _quantities(result), []
    length, warmup = result.num_samples, result.num_warmup
    doubling = [FEWEST * 2**i for i in range(32) if FEWEST * 2**i < length]
    for count in [*doubling, length]:
        found = truth.summary({label: values[:, :count] for label, values in quantities.items()})
        seconds = result.clock.run_seconds * (warmup + count) / (warmup + length)
        rows.append({"engine": engine, "draws": count * result.num_chains, "seconds": seconds, **found})
    return rows


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _halves_apart(values: np.ndarray) -> float:
    """Half the Wasserstein distance between two halves of the draws: about that of all draws from their distribution.

    The halves are chains if there are several. A half of the draws has √2 times the error of all of them, and the
    difference of two halves has √2 times that of one.
    """
    parts = (
        values if len(values) > 1 else values.reshape(2, -1) if values.size % 2 == 0 else values[:, 1:].reshape(2, -1)
    )
    middle = len(parts) // 2
    return wasserstein_distance(parts[:middle].ravel(), parts[middle:].ravel()) / 2.0


def _ks(draws: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference of two distribution functions (Kolmogorov-Smirnov); `truth` is sorted."""
    ordered = np.sort(draws)
    places = np.concatenate([ordered, truth])
    gaps = [
        np.searchsorted(ordered, places, side) / ordered.size - np.searchsorted(truth, places, side) / truth.size
        for side in ("left", "right")
    ]
    return float(np.abs(gaps).max())


def _notes(comparison: Any, name: str, truth: _Truth, others: dict[str, Any]) -> tuple[str, ...]:
    reference, floor = comparison.results[name], truth.floor
    lines = [
        f"error: root mean square over {len(truth.draws)} label-invariant quantities of the difference of means from "
        f"{name} ({comparison.engine_names[name]}), in posterior sds of {name}; distance: the mean of their "
        "Wasserstein distances, in the same units; monte carlo: the error that the draws of both would have by "
        "chance.",
        f"{name} has a Monte Carlo error of {significant(floor['error'], 2)} itself, and a distance of "
        f"{significant(floor['distance'], 2)}: smaller ones cannot be seen.",
    ]
    if not usable(reference):
        lines.append(f"The chains of {name} have not mixed, so that it is no reference: see its verdict.")
    fits = [one for one, result in others.items() if isinstance(result, MixtureFit)]
    if fits:
        lines.append(
            f"{', '.join(fits)}: a point. Its distance is the mean absolute deviation of the posterior from it, which "
            "is above 0 for the best point."
        )
    timeless = [one for one, result in others.items() if np.isnan(result.clock.run_seconds)]
    if timeless:
        lines.append(f"{', '.join(timeless)}: the seconds are not known.")
    return tuple(lines)
