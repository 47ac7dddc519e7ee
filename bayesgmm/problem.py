"""One model on one data set, ready for any engine: checked, standardised, with its prior."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import Family, resolve_family
from bayesgmm.model.types import Frame, Params
from bayesgmm.priors.lkj import NormalTimesLKJ, separated
from bayesgmm.priors.normal_inverse_wishart import Belief, default_belief, flat_belief, improper_because
from bayesgmm.priors.semiconjugate import HierarchicalInverseWishart, NormalInverseGamma, NormalTimesInverseWishart
from bayesgmm.priors.semiconjugate_posterior import independent
from bayesgmm.priors.within_family import restrict
from bayesgmm.runtime.dtypes import on_device, scope
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.statistics import Rows, to_rows


class Problem(NamedTuple):
    """What the engines share. ``prior`` is in the user's units, ``belief`` and ``rows`` are standardised."""

    table: Table
    num_components: int
    frame: Frame
    prior: Belief | None
    """None stands for the flat belief of maximum likelihood."""
    family: Family
    penalty: Belief
    """What the prior says within the covariance family, in the user's units; the flat belief where there is none."""
    prior_constant: float
    """Log of the prior's normaliser in the user's units; 0 for the flat belief."""
    belief: Belief
    """``penalty``, standardised."""
    rows: Rows
    dtype: str

    @property
    def log_volume(self) -> float:
        """What the log-likelihood of all rows loses on the way from standardised coordinates to the user's units."""
        return self.table.num_rows * float(self.frame.log_volume)

    def matrix(self) -> jax.Array:
        """All rows (N, D), standardised, for tools that cannot work in blocks."""
        return jnp.asarray((self.table.values - self.frame.center) / self.frame.scale, self.dtype)


def prepare(
    x, num_components: int, prior: Belief | str | None, dtype: str = "float64", covariance_type: str = "full"
) -> Problem:
    """Check data, number of components and prior, and build the `Problem`. Call inside ``precision.scope(dtype)``.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Each before any long computation, saying what to try.
    """
    check_count("n_components", num_components)
    table = as_table(x)
    check_table(table, num_components)
    center, covariance = table.moments()
    frame = Frame.around(center, np.sqrt(np.diagonal(covariance)))
    family = resolve_family(covariance_type, table.dim)
    own = resolve_prior(prior, table, num_components, family)
    penalty, constant = penalise(own, family, num_components, table.dim)
    device = on_device(penalty.standardise(frame), dtype)
    return Problem(
        table, num_components, frame, own, family, penalty, constant, device, to_rows(table.values, frame, dtype), dtype
    )


def penalise(
    prior: Belief | None, family: Family, num_components: int, dim: int, plain: bool = True
) -> tuple[Belief, float]:
    """The prior within a covariance family, and the log of its constant (0 for the flat belief).

    Without restriction (VVV) it is the prior itself, unless ``plain`` is False.

    Raises
    ------
    PriorError
        If the prior is improper within the family, or none for it.
    """
    prior = prior and _within(prior, family, dim)
    own = prior and prior.components
    if isinstance(own, NormalTimesInverseWishart | HierarchicalInverseWishart | NormalTimesLKJ):
        assert prior is not None
        belief, constant = separated(own, family) if isinstance(own, NormalTimesLKJ) else independent(own, family)
        return Belief(prior.weights, belief), constant + float(prior.weights.log_normaliser())
    if family.name == "VVV" and plain:
        if prior is None:
            return flat_belief(num_components, dim), 0.0
        return prior, float(_log_normaliser(jax.tree.map(jnp.asarray, prior)))
    components, constant = restrict(own, family, num_components, dim)
    if prior is None:
        return Belief(flat_belief(num_components, dim).weights, components), 0.0  # pyright: ignore[reportArgumentType]
    constant += float(prior.weights.log_normaliser())
    return Belief(prior.weights, components), constant  # pyright: ignore[reportArgumentType]


@Program
def log_kernel(params: Params, belief: Belief):
    """``log p(θ)`` without its constant, compiled once per shape."""
    return belief.log_kernel(params)


@Program
def _log_normaliser(belief: Belief):
    return belief.log_normaliser()


def resolve_prior(
    prior: Belief | str | None, table: Table, num_components: int, family: Family | None = None
) -> Belief | None:
    """The prior in full shape and in the user's units: ``"default"`` is made from the data, None stays None.

    Whether it is proper depends on the covariance family; without one `penalise` asks.
    """
    if prior is None:
        return None
    if isinstance(prior, str):
        if prior != "default":
            raise PriorError(f"Unknown prior {prior!r}. Use 'default', None (maximum likelihood) or a bayesgmm.Prior.")
        prior = default_belief(*table.moments(), num_components)
    if not isinstance(prior, Belief):
        raise PriorError(f"The prior must be 'default', None or a bayesgmm.Prior, got {type(prior).__name__}.")
    full = prior.expand(num_components, table.dim)
    return full if family is None else _within(full, family, table.dim)


def _within(prior: Belief, family: Family, dim: int) -> Belief:
    """A (full) prior as a covariance family takes it; refused if it is improper there."""
    own = prior.components
    if isinstance(own, NormalInverseGamma) and family.orientation != "I" and dim > 1:
        raise PriorError(
            f"NormalInverseGamma is a prior of variances; covariances of the family {family.name} have correlations too. Use "
            "covariance_type='diag' or 'spherical', or a NormalInverseWishart prior."
        )
    reason = improper_because(prior, variances_only=family.orientation == "I")
    if reason is not None:
        raise PriorError(
            f"The prior is improper: {reason}. Use 'default', change that hyperparameter, or, for EM only, prior=None."
        )
    return prior._replace(components=own.as_wishart()) if isinstance(own, NormalInverseGamma) else prior


def default_prior(x, n_components: int) -> Belief:
    """The prior that ``prior="default"`` stands for, in the user's units (Fraley & Raftery 2007, section 4).

    ``weights ~ Dirichlet(1)``, ``Σ_k ~ IW(D + 2, S / K^(2/D))`` and ``μ_k | Σ_k ~ N(x̄, Σ_k / 0.01)``, with x̄ and S the
    mean and covariance of the data.
    """
    check_count("n_components", n_components)
    table = as_table(x)
    check_table(table, n_components)
    return default_belief(*table.moments(), n_components).expand(n_components, table.dim)


def as_key(seed) -> PRNGKeyArray:
    """A JAX key from an int, or the key itself (typed, or raw of two words)."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        with scope("float64"):  # or all but 32 bits of the seed would be lost
            return jr.key(int(seed) % 2**63)
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if np.shape(seed) == (2,):
        return jr.wrap_key_data(jnp.asarray(seed, jnp.uint32))
    raise ArgumentError(f"seed must be an int or a JAX key, got {seed!r}.")


def host_generator(key: PRNGKeyArray) -> np.random.Generator:
    """A NumPy generator that follows from a JAX key."""
    return np.random.default_rng(np.asarray(jr.key_data(key)))


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse a count that is no integer or is below `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}.")


_NOT_TAKEN = {
    NormalTimesInverseWishart: ("cavi", "fit_table"),
    HierarchicalInverseWishart: ("cavi", "fit_table"),
    NormalTimesLKJ: ("em", "cavi", "gibbs", "fit_table"),
}
"""Engines, named as in `compare`, and `fit_table`, that do not take a prior; the conjugate one is taken by all."""


def check_prior(engine: str, prior: Belief | str | None) -> None:
    """Refuse priors that an engine cannot take, and name the engines that can."""
    kind = type(prior.components) if isinstance(prior, Belief) else None
    refusing = _NOT_TAKEN.get(kind, ())  # pyright: ignore[reportArgumentType, reportCallIssue]
    if kind is not None and engine in refusing:
        taking = [name for name in ("em", "cavi", "svi", "laplace", "gibbs", "nuts") if name not in refusing]
        raise PriorError(
            f"{engine} does not take a {kind.__name__} prior, which is not conjugate as it needs; {', '.join(taking)} do. Use "
            "one of them, or a NormalInverseWishart prior."
        )


def climbs(prior: Belief) -> bool:
    """Whether EM can climb to a mode under this (full) prior."""
    return not isinstance(prior.components, NormalTimesLKJ) and bool(
        (np.asarray(prior.weights.concentration) >= 1).all()
    )


def unbounded_because(prior: Belief | None, family: Family, values: np.ndarray) -> str | None:
    """Why the posterior density has no highest mode under a (full) prior that EM can climb under; None if it has one.

    With the scale of a `HierarchicalInverseWishart` summed out, K - 1 covariances that go flat in one direction, with standard
    deviation ε there, have the density ``ε^(hyper_df + K df - (K - 1)(df + D + 1) - m)``, m the rows on their hyperplanes: each
    makes the scale smaller for the others. The first plane can hold D rows and the others, parallel to it, one each; more where
    a feature repeats its values. To go flat in all directions, on a row each, takes as much or more from D = 1 on.
    """
    own = prior and prior.components
    if not isinstance(own, HierarchicalInverseWishart) or family.pooled or len(own.loc) == 1:
        return None
    num, dim = np.shape(own.loc)
    repeats = (np.unique(column, return_counts=True)[1] for column in values.T)
    on_planes = max(num + dim - 2, *(int(np.sort(counts)[1 - num :].sum()) for counts in repeats))
    needed, given = (num - 1) * (dim + 1) + on_planes, float(own.hyper_df) + float(np.min(own.df))
    if given >= needed:
        return None
    return (
        "Under this HierarchicalInverseWishart the posterior density has no highest mode: it is unbounded where components "
        f"close in on few rows, as hyper_df + df = {given:g} is less than (K - 1)(D + 1) + {on_planes} = {needed}, {on_planes} "
        "being the rows that K - 1 parallel planes can hold"
    )


def check_has_mode(prior: Belief | str | None) -> None:
    """Refuse a prior that EM cannot climb under, or whose posterior is unbounded."""
    check_prior("em", prior)
    if isinstance(prior, Belief) and (np.asarray(prior.weights.concentration) < 1).any():
        raise PriorError(
            "With a Dirichlet concentration below 1 the posterior density is unbounded at weight 0, so it has no mode. "
            "Use a concentration of at least 1 for MAP, or sample the posterior (sample_gibbs, sample_nuts)."
        )
