"""The simulations behind a calibration of a sampler that draws the number of components too."""

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.checking.simulations import Target, ranks, with_rows
from bayesgmm.data.kinds import check_rows
from bayesgmm.data.table import Table
from bayesgmm.engines.telescoping.sample_telescoping import MAX_COMPONENTS, mixture_model
from bayesgmm.errors import ArgumentError, DataError, FitError, MixingWarning, SamplingInterrupted
from bayesgmm.model.families import resolve_family
from bayesgmm.model.types import Params
from bayesgmm.priors.concentration import Concentration, checked_concentration, drawn
from bayesgmm.priors.number_of_components import NumberOfComponents, check_most, checked_components, masses_up_to
from bayesgmm.problem import Model
from bayesgmm.results.simulate import classes_of_simulated, sample_prior, simulated
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.arguments import check_names, derived_key, host_generator
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.per_row import log_densities

OPTIONS = ("components", "concentration", "max_components", "dtype")
"""Arguments of the sampler that a calibration takes."""


class Number(NamedTuple):
    """The prior of the number of components and of the weights, and the model with room for K_max components."""

    components: NumberOfComponents
    concentration: Concentration
    model: Model

    @property
    def words(self) -> dict[str, str]:
        """What determines the prior of K, for a checkpoint."""
        return {"components": self.components.describe(), "concentration": self.concentration.describe()}


def number_of(
    target: Target, table: Table, n_components: Any, covariance_type: str, prior: Any, fixed: Any,
    options: dict[str, Any],
) -> Number:  # fmt: skip
    """The prior of the simulations, from the arguments of `calibrate`.

    Raises
    ------
    ArgumentError, DataError, PriorError
        If an argument is out of range or has no use.
    """
    for name, value in (("n_components", n_components), ("fixed", fixed)):
        if value is not None:
            raise ArgumentError(f"{target.name} draws the number of components too: {name} has no use. Leave it out.")
    check_names(options, set(OPTIONS), target.name)
    components = checked_components(options.get("components"))
    concentration = checked_concentration(options.get("concentration"))
    most = check_most(components, options.get("max_components"), MAX_COMPONENTS)
    masses_up_to(components, most)
    if target.engine is not None:
        check_rows(target.name, target.engine.refuses, table, "Leave this out.")
    with scope("float64"):
        model = mixture_model(table, prior, resolve_family(covariance_type, table.dim), most)
    return Number(components, concentration, model)


class NumberSimulations(NamedTuple):
    """The simulations of one calibration; the number of a simulation determines its keys."""

    target: Target
    prior: Number
    key_prior: Any
    key_data: Any
    key_run: Any
    key_rank: Any
    options: dict[str, Any]

    def run(self, number: int) -> dict[str, Any]:
        """Draw K, θ and data, run the sampler, and rank K, K₊ and what follows from θ among its draws."""
        model, table = self.prior.model, self.prior.model.table
        num, value, truth = self._drawn(number)
        key = derived_key(self.key_data, number)
        values, z = simulated(key, truth, table)[0, 0], classes_of_simulated(key, truth, table)[0, 0]
        if table.gaps:
            values[np.isnan(table.values)] = np.nan
        data = with_rows(table, values, None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MixingWarning)  # the ranks show this failure
                found = self.target.run(
                    data, prior=model.prior, covariance_type=model.family.name, seed=derived_key(self.key_run, number),
                    progress_bar=False, **self.options, **self.target.settings,
                )  # fmt: skip
        except (FitError, DataError, SamplingInterrupted) as error:
            return {"failure": str(error).split(". ")[0]}
        of_truth = _as_draw(found, truth, num, z, value, data).invariants
        return ranks(found, of_truth, host_generator(derived_key(self.key_rank, number)))

    def _drawn(self, number: int) -> tuple[int, float, Params]:
        """K, the concentration, and θ with weight 0 beyond K, from the prior."""
        components, concentration, model = self.prior
        key = derived_key(self.key_prior, number)
        rng = host_generator(derived_key(key, 1))
        num = int(rng.choice(model.num_components, p=masses_up_to(components, model.num_components))) + 1
        value = drawn(concentration, rng)
        gamma = float(concentration.of_each(value, num))
        # On the log scale, since most weights under a small concentration are below the smallest double.
        logs = np.log(rng.gamma(gamma + 1.0, size=num)) + np.log(rng.random(num)) / gamma
        weights = np.zeros((1, 1, model.num_components))
        weights[0, 0, :num] = np.exp(logs - np.logaddexp.reduce(logs))
        theta = sample_prior(key, model.family_prior, 1)
        return num, value, Params(weights, np.asarray(theta.means), np.asarray(theta.scale_trils))  # pyright: ignore


def _as_draw(
    found: TelescopingPosterior, truth: Params, num: int, z: np.ndarray, value: float, data: Table
) -> TelescopingPosterior:
    """The truth as a posterior of one draw, whose rows are in the classes z."""
    counts = np.bincount(z[data.counted > 0], minlength=found.max_components)
    return replace(
        found, params=truth, num_components=np.array([[num]]), counts=counts[None, None],
        concentrations=np.array([[value]]), log_likelihood=log_densities(truth, data, found.frame) @ data.counted,
    )  # fmt: skip
