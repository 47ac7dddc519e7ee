"""One replicate of a study: draw a truth and data, run every engine, measure its results."""

import warnings
from dataclasses import dataclass
from typing import Any

import jax.random as jr
import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.engines.em.fit_em import fit_em
from bayesgmm.engines.engine import Engine, find_engine
from bayesgmm.errors import BayesGMMError, BayesGMMWarning, DataError, FitError
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.parameters import flatten
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.simulate import predictive
from bayesgmm.runtime.arguments import as_key, derived_key, named_key, split_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.studies.measures import Sample, as_draw, first_sentence, invariants_of, log_posterior_of, measured
from bayesgmm.studies.truths import Cell, Truths


@dataclass(frozen=True)
class Plan:
    """Everything that determines a replicate. It can be pickled."""

    truths: Truths
    prior: Belief | str | None
    covariance_type: str
    engines: dict[str, tuple[str, dict[str, Any]]]
    """Label of a column → name of the engine and its settings."""
    level: float
    em_intervals: str | None
    test_rows: int
    key_words: np.ndarray
    """The seed, as the words of a JAX key."""

    @property
    def rankable(self) -> bool:
        """Whether sorted weights can be covered: truths from a prior have no equal weights."""
        return self.truths.family_prior is not None

    @property
    def point_engines(self) -> list[Engine]:
        """Those that return point estimates."""
        return [engine for name, _ in self.engines.values() if not (engine := find_engine(name)).draws]


def run_replicate(plan: Plan, cell: Cell, replicate: int) -> dict[str, Any]:
    """One line of a study. It depends on the plan, the cell and the number only."""
    key_truth, key_data, key_run = split_key(as_key(plan.key_words), 3)
    here = derived_key(named_key(key_data, cell.label), replicate)
    truth = plan.truths.draw(cell, key_truth, replicate)
    sample = draw_sample(here, truth, cell.n, plan.test_rows)
    line: dict[str, Any] = {"cell": cell.label, "replicate": replicate, "truth": flatten(truth).tolist()}
    key_run = derived_key(named_key(key_run, cell.label), replicate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesGMMWarning)  # the figures show what they warn of
        try:
            with scope("float64"):
                problem = prepare(sample.data, len(truth.weights), plan.prior, "float64", plan.covariance_type)
        except DataError as error:
            return line | {"engines": {label: {"failure": first_sentence(error)} for label in plan.engines}}
        line["invariants"] = invariants_of(as_draw(truth), problem.model, plan.rankable)[0].tolist()
        line["engines"] = {label: _run(plan, label, problem, sample, key_run) for label in plan.engines}
        line["from_truth"] = _from_truth(plan, problem, truth)
    return line


def draw_sample(key: Any, truth: Params, num_rows: int, test_rows: int) -> Sample:
    """Rows and their classes, and further rows to predict."""
    rng = np.random.default_rng(np.asarray(jr.key_data(derived_key(key, 0))))
    z = rng.choice(len(truth.weights), num_rows, p=truth.weights / truth.weights.sum())
    noise = rng.standard_normal((num_rows, truth.means.shape[1]))
    x = truth.means[z] + np.einsum("nde,ne->nd", truth.scale_trils[z], noise)
    test = predictive(derived_key(key, 1), Params(*(part[None, None] for part in truth)), test_rows)[0, 0]
    return Sample(truth, z, simulated_table(x), simulated_table(test))


def simulated_table(x: np.ndarray) -> Table:
    """Rows (N, D) whose features are x0, x1 and so on."""
    return Table(x, tuple(f"x{i}" for i in range(x.shape[1])), False)


def _run(plan: Plan, label: str, problem: Problem, sample: Sample, key: Any) -> dict[str, Any]:
    name, settings = plan.engines[label]
    engine = find_engine(name)
    try:
        result = engine.run(
            problem, problem.num_components, prior=problem.prior, covariance_type=problem.family.name,
            seed=named_key(key, label), reference=sample.truth, progress_bar=False, **settings,
        )  # fmt: skip
        if not isinstance(result, MixtureFit | Posterior):
            raise FitError(f"the engine returned a {type(result).__name__}")
        return measured(result, sample, plan.level, plan.em_intervals, plan.rankable)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # the other engines and replicates are kept; failures are counted by kind
        return {"failure": first_sentence(error)}


def _from_truth(plan: Plan, problem: Problem, truth: Params) -> dict[str, float | None]:
    """The objective that EM reaches from the truth, with and without the prior: a yardstick for the search."""
    start = truth._replace(weights=np.maximum(truth.weights, np.finfo(float).tiny))
    found: dict[str, float | None] = {}
    for with_prior in sorted({engine.uses_prior for engine in plan.point_engines}):
        try:
            fit = fit_em(
                problem, problem.num_components, prior=problem.prior if with_prior else None,
                covariance_type=problem.family.name, init=start, progress_bar=False,
            )  # fmt: skip
            found[objective_name(with_prior)] = log_posterior_of(fit)
        except BayesGMMError:
            found[objective_name(with_prior)] = None
    return found


def objective_name(with_prior: bool) -> str:
    """What a point engine is measured by."""
    return "posterior" if with_prior else "likelihood"
