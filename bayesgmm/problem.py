"""A model for one data set: checked and resolved once (`Model`), then prepared for an engine (`Problem`)."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.data.described import check_classes, check_occupied
from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family, resolve_family
from bayesgmm.model.fixed import NOTHING, Fixed, Held, check_size, resolve_fixed
from bayesgmm.model.numbering import alike_components
from bayesgmm.model.types import Frame, Params
from bayesgmm.priors.default import resolve_prior
from bayesgmm.priors.prior import Belief, log_kernel, within_family
from bayesgmm.priors.well_posed import check_well_posed
from bayesgmm.runtime.arguments import check_count
from bayesgmm.runtime.dtypes import on_device
from bayesgmm.sweep.any_rows import any_rows

UNKNOWN_PRIOR = "The prior of these draws is not known; if it was one of bayesgmm's, give it as from_draws(…, prior=)."


@dataclass(frozen=True, eq=False)
class Model:
    """A mixture model for one data set, on the host and in the user's units. Results carry it."""

    table: Table
    num_components: int
    """K; with a noise component K + 1, and the last one is the noise."""
    family: Family
    """The covariance family: whether volume, shape and orientation are equal, variable or the identity."""
    frame: Frame
    """The standardised coordinates in which engines compute."""
    prior: Belief | None
    """The prior as given, in full shape, of the Gaussians. None is the flat prior of maximum likelihood."""
    family_prior: Belief
    """The prior within the covariance family; the flat prior if there is none."""
    prior_constant: float
    """Log normalising constant of ``family_prior``; 0 for the flat prior."""
    fixed: Fixed | None = None
    """Parameters that are held, and not inferred; None if there are none."""

    @cached_property
    def log_volume(self) -> float:
        """Log-likelihood of all rows in standardised coordinates minus that in the user's units."""
        if self.table.gaps == 0:
            return self.table.total * float(self.frame.log_volume)
        volumes, weights = self.table.log_volume(np.asarray(self.frame.scale)), self.table.weights
        return float(volumes.sum() if weights is None else weights @ volumes)

    @property
    def num_gaussians(self) -> int:
        """K: the components without the noise."""
        return self.num_components - (self.table.noise is not None)

    @property
    def num_parameters(self) -> int:
        """Free parameters: weights less 1, K D means, and those of the covariance family, less those that are held."""
        k, d = self.num_gaussians, self.table.dim
        held = 0 if self.fixed is None else self.fixed.num_held(self.family, self.num_components)
        return self.num_components - 1 + k * d + self.family.num_parameters(k, d) - held

    @property
    def num_counted(self) -> int:
        """Parameters that criteria count: the free ones, and the hypervolume of the noise unless the user gave it.

        mclust counts it in the same way (``nMclustParams``).
        """
        noise = self.table.noise
        return self.num_parameters + (noise is not None and not noise.given)

    @property
    def known_prior(self) -> Belief:
        """The prior as given, or a `PriorError` if there is none: of maximum likelihood, or of given draws."""
        if self.prior is None:
            raise PriorError(UNKNOWN_PRIOR)
        return self.prior

    @property
    def aside(self) -> str:
        """What is known of rows and parameters, after a comma, for titles."""
        return self.table.aside + (f", held: {self.fixed.words()}" if self.fixed is not None else "")

    @property
    def known_attrs(self) -> dict[str, Any]:
        """The argument ``fixed`` as code, and the box of the noise, for files; empty if there are none."""
        noise = {} if self.table.noise is None else self.table.noise.attrs
        return noise if self.fixed is None else {"fixed": self.fixed.code(), **noise}

    @property
    def held(self) -> Held:
        """Which components hold what."""
        held = NOTHING if self.fixed is None else self.fixed.held
        return held if self.table.noise is None else held.with_noise(self.num_gaussians)

    @property
    def exchangeable(self) -> bool:
        """Whether the numbering of the Gaussians means nothing: nothing that is known tells them apart."""
        return bool(self.interchangeable[: self.num_gaussians, : self.num_gaussians].all())

    @cached_property
    def interchangeable(self) -> np.ndarray:
        """Which pairs of components could exchange their numbers without any change of the posterior, (K, K)."""
        alike = alike_components(self.table, self.num_components, self.fixed)
        told_apart = self.prior is not None and not self.prior.exchangeable
        return np.eye(len(alike), dtype=bool) if told_apart else alike

    @property
    def in_order(self) -> bool:
        """Whether nothing but the order of the sticks of the prior tells the components apart."""
        sticks = self.prior is not None and self.prior.in_order
        return sticks and bool(alike_components(self.table, self.num_components, self.fixed).all())

    @property
    def numbering(self) -> str:
        """What numbers the components: ``"means"``, ``"labels"``, ``"fixed"``, ``"sticks"`` or ``"prior"``."""
        if self.exchangeable or self.in_order:
            return "means" if self.exchangeable else "sticks"
        if self.prior is not None and not self.prior.exchangeable:
            return "prior"
        return "labels" if self.fixed is None or self.fixed.alike.all() else "fixed"

    def restore(self, params: Params) -> Params:
        """Standardised θ → θ in the user's units, as doubles on the host; what is held, to the last digit."""
        inside = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self.frame.restore(params))
        return inside if self.fixed is None else self.fixed.put(inside)

    def log_prior(self, params: Params) -> float:
        """``log p(θ)`` in the user's units, constants included; 0 without a prior. Call inside ``dtypes.scope``."""
        if self.prior is None:
            return 0.0
        return float(log_kernel(params, self.family_prior)) + self.prior_constant

    def on_rows(self, table: Table) -> "Model":
        """The same model, with the same prior, for other rows.

        Raises
        ------
        DataError
            If this mixture cannot be fitted to these rows.
        """
        check_table(table, self.num_gaussians)
        check_well_posed(table, self.family, self.prior)
        return replace(self, table=table, frame=_frame_of(table))

    def under(self, prior: Belief | str | None) -> "Model":
        """The same model for the same rows, with another prior."""
        if prior is self.prior:
            return self
        return build_model(self.table, self.num_gaussians, prior, self.family, self.fixed)

    def holding(self, fixed: Any) -> "Model":
        """The same model with other parameters held; unchanged if ``fixed`` is None."""
        if fixed is None:
            return self
        held = resolve_fixed(fixed, self.num_gaussians, self.table.features, self.family)
        return build_model(self.table, self.num_gaussians, self.prior, self.family, held)


class Problem(NamedTuple):
    """A `Model` prepared for an engine: standardised prior and rows, on the device."""

    model: Model
    standard_prior: Belief
    """``model.family_prior`` in standardised coordinates."""
    rows: Any
    """`Rows`; or `HostRows`, on disk: engines that take them ask for each pass (`bayesgmm.sweep.passed`)."""
    dtype: str

    @property
    def table(self) -> Table:
        """The data."""
        return self.model.table

    @property
    def num_components(self) -> int:
        """K."""
        return self.model.num_components

    @property
    def family(self) -> Family:
        """The covariance family."""
        return self.model.family

    @property
    def frame(self) -> Frame:
        """The standardised coordinates."""
        return self.model.frame

    @property
    def prior(self) -> Belief | None:
        """The prior as given."""
        return self.model.prior

    @property
    def log_volume(self) -> float:
        """See `Model.log_volume`."""
        return self.model.log_volume

    def matrix(self) -> jax.Array:
        """All rows (N, D), standardised, for tools that cannot work in blocks."""
        return jnp.asarray(self.frame.rows(self.table.values), self.dtype)

    def standard_log_prior(self, params: Params) -> float:
        """``log p(θ)`` of a standardised θ without its constant."""
        return float(log_kernel(params, self.standard_prior))

    def prior_shift(self, params: Params) -> float:
        """``log p(θ)`` in the user's units and with its constant, minus `standard_log_prior`.

        It is the same for every standardised θ at which it is computed; 0 without a prior.
        """
        if self.prior is None:
            return 0.0
        restored = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self.frame.restore(params))
        return self.model.log_prior(restored) - self.standard_log_prior(params)


def prepare(
    x: Any,
    num_components: int,
    prior: Belief | str | None,
    dtype: str = "float64",
    covariance_type: str = "full",
    fixed: Any = None,
) -> Problem:
    """Check data, number of components and prior, and build the `Problem`. Call inside ``dtypes.scope(dtype)``.

    ``num_components`` does not count the noise component that x may have. ``x`` may also be a `Problem` or a `Model`
    with the same number of components (with its noise or without) and family. Then only what differs is prepared again.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before any long computation. The message says what to try.
    """
    num_components = check_count("n_components", num_components)
    if isinstance(x, Problem | Model):
        model = x.model if isinstance(x, Problem) else x
        family = resolve_family(covariance_type, model.table.dim)
        if num_components in (model.num_components, model.num_gaussians) and family == model.family:
            return _prepared(x, model.under(prior).holding(fixed), dtype)
        x = model.table
    table = as_table(x)
    check_table(table, num_components)
    check_classes(table, num_components)
    family = resolve_family(covariance_type, table.dim)
    held = resolve_fixed(fixed, num_components, table.features, family)
    return to_problem(build_model(table, num_components, prior, family, held), dtype)


def _prepared(x: "Problem | Model", model: Model, dtype: str) -> Problem:
    """The `Problem` of a model, with what x holds already: its rows, and its prior if that is the same."""
    if not isinstance(x, Problem) or x.dtype != dtype:
        return to_problem(model, dtype)
    return x if model is x.model else x._replace(model=model, standard_prior=standard_prior(model, dtype))


def build_model(
    table: Table, num_gaussians: int, prior: Belief | str | None, family: Family, fixed: Fixed | None = None
) -> Model:
    """The `Model` of checked data, and of parameters that are held. The noise of the data comes after the Gaussians.

    Raises
    ------
    PriorError
        If the prior does not fit the data or the family, or is improper.
    """
    check_well_posed(table, family, prior)
    if prior is None:
        check_occupied(table, num_gaussians)
    given = resolve_prior(prior, table, num_gaussians, family)
    given = None if given is None else given.taken_by(family)
    frame = _frame_of(table)
    if fixed is not None:
        check_size(fixed, frame, table.features)
    family_prior, constant = within_family(given, family, num_gaussians, table.dim, fixed, table.noise)
    num_components = num_gaussians + (table.noise is not None)
    return Model(table, num_components, family, frame, given, family_prior, constant, fixed)


def to_problem(model: Model, dtype: str) -> Problem:
    """Prior and rows of a model on the device."""
    rows = any_rows(model.table, model.frame, dtype, model.num_components)
    return Problem(model, standard_prior(model, dtype), rows, dtype)


def standard_prior(model: Model, dtype: str) -> Belief:
    """``model.family_prior`` in standardised coordinates, on the device."""
    return on_device(model.family_prior.standardise(model.frame), dtype)


def _frame_of(table: Table) -> Frame:
    center, covariance = table.moments()
    return Frame.around(center, np.sqrt(np.diagonal(covariance)))
