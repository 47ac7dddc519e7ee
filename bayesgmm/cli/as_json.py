"""Results as one JSON object on standard output, for scripts. Its keys are in docs/command-line.md."""

import json
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.comparison.options import in_options
from bayesgmm.comparison.terminal import put, words_aside
from bayesgmm.version import __version__

if TYPE_CHECKING:
    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.diagnosis.diagnosis import Diagnosis
    from bayesgmm.diagnosis.number_of_components import NumberDiagnosis
    from bayesgmm.model_choice.selection import Selection
    from bayesgmm.results.posterior import Posterior
    from bayesgmm.selection.cells import FitTable


def with_json(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose words go to standard error under ``--json``, and where ``--format`` asks for a bare table."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        with words_aside(bool(options.get("as_json")) or options.get("form", "text") != "text"):
            command(*arguments, **options)

    return run


def print_json(asked: bool, command: str, seed: int, make: Callable[[], dict[str, Any]]) -> None:
    """Print one object, if ``--json`` asked for it."""
    if asked:
        content = {"command": command, "version": __version__, "seed": seed} | make()
        put(json.dumps(plain(content), allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """The same of Python's own types; numbers that are not finite are None."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(part) for part in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def of_comparison(found: "Comparison") -> dict[str, Any]:
    """Estimates, figures and words of each column of a comparison."""
    from bayesgmm.comparison.tables import LEVEL
    from bayesgmm.results.intervals import Intervals

    level = found.interval or LEVEL
    own = {name: one for name, one in found.fit_intervals(level).items() if isinstance(one, Intervals)}
    figures: Any = found.costs()
    return {
        **_about(found.model), "level": level,
        "estimates": {name: _estimates(one, level, own.get(name)) for name, one in found.results.items()},
        "figures": {name: _named(figures[name].to_dict()) for name in found.results},
        "failures": found.failures, "reference": found.reference if found.has_reference else None,
        "errors": _records(found.errors().table) if found.has_reference else None,
        "held_out": None if found.scores is None else _records(found.scores.table),
        "verdict": _words(found.verdict()),
    }  # fmt: skip


def of_posterior(found: "Posterior", level: float, verdict: list[str]) -> dict[str, Any]:
    """Estimates, figures and words of one posterior."""
    figures = {
        "mixing": found.mixing, "worst_r_hat": found.worst_rhat, "smallest_ess": found.smallest_ess,
        "divergences": found.num_divergences, "pareto_k": getattr(found, "pareto_k", None),
        "log_likelihood": np.mean(found.log_likelihood), "num_chains": found.num_chains,
        "num_samples": found.num_samples, "interrupted": found.interrupted,
        "seconds_compiling": found.clock.compile_seconds, "seconds_running": found.clock.run_seconds,
    }  # fmt: skip
    estimates = _estimates(found, level, None)
    return _about(found.model) | {
        "engine": found.algorithm, "level": level, "estimates": estimates, "figures": figures,
        "verdict": _words(verdict),
    }  # fmt: skip


def of_table(found: "FitTable") -> dict[str, Any]:
    """The best model, and the figures of every cell."""
    from bayesgmm.selection.cells import CRITERIA, FIGURES

    best = found.best
    frames = {name: found.frame(name) for name in FIGURES}
    cells = [
        {"family": cell.family, "n_components": cell.n_components}
        | {name: frame.loc[cell.n_components, cell.family] for name, frame in frames.items()}
        for cell in found.cells
    ]
    chosen = {name: getattr(best, name)() for name in CRITERIA}
    chosen |= {"log_likelihood": best.log_likelihood, "n_parameters": best.n_parameters, "status": best.status}
    return _about(best.model) | {
        "criterion": found.criterion, "estimates": _estimates(best, None, None), "figures": chosen, "table": cells,
        "interrupted": found.interrupted, "verdict": _words([f"The best model is {found.best_model}.", *found.notes()]),
    }  # fmt: skip


def of_selection(found: "Selection", table: Any) -> dict[str, Any]:
    """The choice and the words of each criterion, and its values for every candidate."""
    from bayesgmm.comparison.manifest import data_words

    frame: Any = found.to_dataframe()
    chosen = {
        name: None if one.best is None else {**one.best._asdict(), "possible": sorted(one.possible)}
        for name, one in found.answers.items()
    }
    return {
        "data": data_words(table), "criteria": chosen, "agreed": found.agreed, "table": frame.to_dict("records"),
        "interrupted": found.interrupted, "verdict": _words([*found.conclusion(), *found.notes()]),
    }  # fmt: skip


def of_diagnosis(found: "Diagnosis | NumberDiagnosis") -> dict[str, Any]:
    """The status, the label-invariant quantities, and means over the relabelled draws or the posterior of K."""
    from bayesgmm.diagnosis.number_of_components import NumberDiagnosis

    if isinstance(found, NumberDiagnosis):
        return _of_number_diagnosis(found)
    names = ("mixing", "worst_rhat", "smallest_ess", "component_rhat", "num_switches", "num_permutations")
    figures = {name.replace("rhat", "r_hat"): getattr(found, name) for name in names}
    figures |= {"divergences": found.num_divergences, "share_in_doubt": found.relabelling.share_in_doubt}
    parts = {name: np.asarray(values) for name, values in found.relabelling.variables.items()}
    return {
        "name": found.name, "status": found.status,
        "estimates": {
            "mean": {name: values.mean(axis=(0, 1)) for name, values in parts.items()},
            "sd": {name: values.std(axis=(0, 1)) for name, values in parts.items()},
        },
        "figures": figures | {"pareto_k": found.pareto_k}, "quantities": _records(found.summary()),
        "chains": found.groups,
        "occupied": None if found.occupied is None else found.occupied.to_dict(),
        "modes": None if found.modes is None else found.modes.to_dict(), "verdict": _words(found.verdict()),
    }  # fmt: skip


def _of_number_diagnosis(found: "NumberDiagnosis") -> dict[str, Any]:
    figures = {"mixing": found.mixing, "worst_r_hat": found.worst_rhat, "smallest_ess": found.smallest_ess}
    figures |= {"share_at_max_components": found.posterior.share_at_most}
    return {
        "name": found.name, "status": found.status, "estimates": None, "figures": figures,
        "posterior_of_k": _records(found.posterior.posterior_of_k()), "quantities": _records(found.summary()),
        "chains": found.groups, "verdict": _words(found.verdict()),
    }  # fmt: skip


def of_number(found: "NumberDiagnosis") -> dict[str, Any]:
    """The posterior of the number of components, with figures and words of the run."""
    from bayesgmm.comparison.manifest import data_words

    posterior = found.posterior
    num, clusters = posterior.most_probable
    figures = {
        "num_chains": posterior.num_chains, "num_samples": posterior.num_samples,
        "max_components": posterior.max_components, "interrupted": posterior.interrupted,
        "seconds_compiling": posterior.clock.compile_seconds, "seconds_running": posterior.clock.run_seconds,
    }  # fmt: skip
    about = _of_number_diagnosis(found)
    about["figures"] |= figures
    return about | {
        "data": data_words(posterior.table), "covariance_type": posterior.family.name, "engine": about.pop("name"),
        "most_probable": {"components": num, "clusters": clusters}, "components": posterior.components.describe(),
        "concentration": posterior.concentration.describe(),
    }  # fmt: skip


def _about(model: Any) -> dict[str, Any]:
    from bayesgmm.comparison.manifest import data_words

    return {
        "data": data_words(model.table), "n_components": model.num_gaussians,
        "covariance_type": model.family.name, "noise": model.table.noise is not None,
    }  # fmt: skip


def _estimates(result: Any, level: float | None, intervals: Any) -> dict[str, Any]:
    """Estimate, sd and ends of an interval of every weight, mean and covariance; None where there are none."""
    from bayesgmm.results.parameters import estimates_of, parameter_names

    model = result.model
    parts = estimates_of(result.params, level)
    if intervals is not None:
        names = parameter_names(model.table, model.num_components)
        parts |= {part: intervals.table[part].reindex(names).to_numpy() for part in parts if part != "estimate"}
    return {part: _shaped(values, model) for part, values in parts.items()}


def _shaped(values: np.ndarray, model: Any) -> dict[str, np.ndarray] | None:
    """Values in the order of `parameter_names` as weights (K,), means (K, D) and covariances (K, D, D).

    With noise, weights have one more, and the others are of the Gaussians.
    """
    if np.isnan(values).all():
        return None
    num, own, dim = model.num_components, model.num_gaussians, model.table.dim
    upper = np.triu_indices(dim)
    means = values[num : num + num * dim].reshape(num, dim)
    covariances = np.empty((num, dim, dim))
    covariances[:, upper[0], upper[1]] = covariances[:, upper[1], upper[0]] = values[num + num * dim :].reshape(num, -1)
    return {"weights": values[:num], "means": means[:own], "covariances": covariances[:own]}


def _records(table: Any) -> Any:
    """A table as an object: the column of each name, by row."""
    return {str(row): _named(cells) for row, cells in table.to_dict("index").items()}


def _named(cells: dict[Any, Any]) -> dict[str, Any]:
    """Names of figures without blanks, in lower case."""
    return {str(name).lower().replace("-", "_").replace(" ", "_"): value for name, value in cells.items()}


def _words(lines: list[str]) -> list[str]:
    return [in_options(line) for line in lines]
