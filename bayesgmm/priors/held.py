"""Priors of which a part is known: weights, means or covariances of some components are held at given values.

The prior of the rest is the prior conditional on what is held. Its density is the joint one at the held values, up to a
constant. So the wrappers below change draws, modes and constants, and leave the density as it is.

- Weights: given some weights, the others are the rest times a Dirichlet of their own concentrations.
- Means held at m: ``Σ_k`` keeps its density ``N(m; loc, Σ/strength) p(Σ)``, which is of the same kind as ``p(Σ)``.
- Covariances held: ``μ_k ~ N(loc, Σ/strength)``.
"""

import dataclasses
import math
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.families import Family
from bayesgmm.model.fixed import Fixed, Held
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, log_diagonal_sum, outer
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.frozen import Blocks, unchanged
from bayesgmm.priors.inverse_wishart import sample_means
from bayesgmm.priors.normal_inverse_wishart import trace_with_precision
from bayesgmm.priors.normal_means import normal_constant
from bayesgmm.priors.within_family import Restricted, restrict, restrict_flat
from bayesgmm.runtime.dtypes import double_on_host


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "means", "trils"], meta_fields=["held"])
@dataclasses.dataclass(frozen=True)
class HeldComponents:
    """A prior of means and covariances within a family, or its posterior given z, of which some are known."""

    inner: Any
    """The prior without anything held."""
    means: Any
    """(K, D): the known means; no meaning where they are free."""
    trils: Any
    """(K, D, D): Cholesky factors of the known covariances; some proper factor where they are free."""
    held: Held

    conjugacy: ClassVar[Conjugacy] = Conjugacy.NONE

    @property
    def family(self) -> Family:
        """The covariance family."""
        return self.inner.family

    @property
    def metric(self) -> Any:
        """Units of the features, in which the family is defined."""
        return self.inner.metric

    @property
    def scale(self) -> Array:
        """Scales of the covariances, without regard to what is held, (K, D, D)."""
        return self.inner.scale

    @property
    def loc(self) -> Array:
        """Location of the means: the known ones themselves, (K, D)."""
        return self.put_means(jnp.asarray(self.inner.loc))

    @property
    def _known_means(self) -> np.ndarray:
        return np.isin(np.arange(jnp.shape(self.means)[0]), self.held.means)

    @property
    def _known_trils(self) -> np.ndarray:
        return np.isin(np.arange(jnp.shape(self.means)[0]), self.held.covariances)

    @property
    def free_means(self) -> np.ndarray:
        """Whether each mean is free, (K,)."""
        return ~self._known_means

    @property
    def free_trils(self) -> np.ndarray:
        """Whether each covariance is free, (K,)."""
        return ~self._known_trils

    def put_means(self, means: Array) -> Array:
        """Means with the known ones in their places."""
        return jnp.where(self._known_means[:, None], self.means, means)

    def put_trils(self, trils: Array) -> Array:
        """Cholesky factors with the known ones in their places."""
        return jnp.where(self._known_trils[:, None, None], self.trils, trils)

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ, with the known parameters in their places.

        A covariance whose mean moves to a known one becomes that about the known mean.
        """
        if self.held.means:
            apart = self.put_means(params.means) - params.means
            params = params._replace(scale_trils=cholesky(gram(params.scale_trils) + outer(apart)))
        near = self.inner.project(params)
        return near._replace(means=self.put_means(near.means), scale_trils=self.put_trils(near.scale_trils))

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return self.inner.log_kernel(means, whiteners, log_diagonals)

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """Draw (means, Cholesky factors) of a prior whose components are independent."""
        means, trils = self.inner.sample(key, present)
        return self.put_means(means), self.put_trils(trils)

    def standardise(self, frame: Frame) -> "HeldComponents":
        """The same distribution in standardised coordinates."""
        means = (self.means - frame.center) / frame.scale
        return dataclasses.replace(
            self, inner=self.inner.standardise(frame), means=means, trils=self.trils / frame.scale[:, None]
        )


class _GivenZ(HeldComponents):
    """What the posteriors given z below share. Priors without a closed form must not have ``update``."""

    @property
    def counts(self) -> Array:
        """Effective number of rows for each covariance, (K,)."""
        return self.inner.counts

    def update(self, stats: Stats) -> "_GivenZ":
        """The posterior given z."""
        return dataclasses.replace(self, inner=self.inner.update(stats))


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "means", "trils"], meta_fields=["held"])
@dataclasses.dataclass(frozen=True)
class HeldIndependent(_GivenZ):
    """Independent priors of means and covariances (`bayesgmm.priors.semiconjugate_posterior.Independent`)."""

    conjugacy: ClassVar[Conjugacy] = Conjugacy.CONDITIONAL

    @property
    def strength(self) -> Array:
        """Number of rows for each mean, (K,)."""
        return self.inner.strength

    def frozen(self, key: PRNGKeyArray, present: Params) -> Blocks:
        """What is free as a density in closed form; see `bayesgmm.priors.frozen`."""
        return self.inner.frozen(key, present)._replace(known=self)

    def mode(self, present: Params) -> tuple[Array, Array]:
        """One ECM iteration: means given the current covariances, then covariances given those means."""
        means = self.put_means(self.inner.mode_of_means(present.scale_trils))
        return means, self.put_trils(self.inner.mode_of_trils(means, present.scale_trils))

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """One Gibbs sweep: covariances given the current means, then means given those covariances."""
        key_means, key_scale = jr.split(key)
        means, trils = (self.loc, None) if present is None else present[1:]
        if present is None and self.held.covariances:  # they tell what the scale is, if it is not known
            trils = jnp.asarray(self.trils)[np.asarray(self.held.covariances)]
        trils = self.put_trils(self.inner.sample_trils(key_scale, jr.fold_in(key, 2), means, trils))
        return self.put_means(self.inner.sample_means(key_means, trils)), trils


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "means", "trils"], meta_fields=["held"])
@dataclasses.dataclass(frozen=True)
class HeldConjugate(_GivenZ):
    """A conjugate prior within a family (`bayesgmm.priors.within_family.Restricted`)."""

    conjugacy: ClassVar[Conjugacy] = Conjugacy.JOINT
    frozen = unchanged

    def cross_kernels(self, means: Array, trils: Array) -> Float[Array, "K K"]:
        """Log density, without constants, of each component at each component of θ; see `bayesgmm.priors.frozen`."""
        return self.inner.cross_kernels(means, trils)

    @property
    def strength(self) -> Array:
        """Effective number of rows for each mean, (K,): infinite for a known one."""
        return jnp.where(self._known_means, jnp.inf, self.inner.strength)

    def mode(self, present: Params) -> tuple[Array, Array]:
        """Joint mode of what is free."""
        about = self._about_means(0.0)
        return self.loc, self.put_trils(about.mode(present)[1])

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """Draw what is free; return (means, Cholesky factors)."""
        del present
        key_mean, key_scale = jr.split(key)
        trils = self.put_trils(self._given_means.sample_trils(key_scale))
        means = sample_means(key_mean, jnp.asarray(self.inner.loc), self.inner.strength, trils)
        return self.put_means(means), trils

    def expected_log_det(self) -> Float[Array, "K"]:
        """``E[log |Σ_k|]``."""
        known = 2.0 * log_diagonal_sum(jnp.asarray(self.trils))
        return jnp.where(self._known_trils, known, self._given_means.expected_log_det())

    def harmonic_trils(self) -> Float[Array, "K D D"]:
        """Cholesky factors of ``E[Σ_k⁻¹]⁻¹``."""
        return self.put_trils(self._given_means.harmonic_trils())

    def expected_log_kernel(self, q: "HeldConjugate") -> Float[Array, ""]:
        """``E_q[log_kernel]``, of q that holds the same."""
        return self.inner.expected_log_kernel(q)

    def log_normaliser(self) -> Float[Array, ""]:
        """Minus the log integral of ``exp(log_kernel)`` over what is free."""
        given, trils = self._given_means, jnp.asarray(self.trils)
        spreads = trace_with_precision(inverse_tril(trils), given.scale)
        at_known = -(given.counts - 1.0) * log_diagonal_sum(trils) - 0.5 * spreads
        integrals = given.log_integrals()  # one, if all covariances are the same: then none is known
        if self.held.covariances:
            integrals = jnp.where(self._known_trils, at_known, integrals)
        integral = jnp.sum(integrals)
        strength = jnp.where(self._known_means, 1.0, self.inner.strength)
        means = 0.5 * self._dim * jnp.log(2.0 * math.pi / strength)
        return -(integral + jnp.sum(jnp.where(self._known_means, 0.0, means)))

    @property
    def _dim(self) -> int:
        return jnp.shape(self.means)[-1]

    @property
    def _given_means(self) -> Restricted:
        """The distribution of the covariances, where the known means are not integrated out."""
        return self._about_means(1.0)

    def _about_means(self, more: float) -> Restricted:
        """The inner distribution with its scatters about the known means, and `more` rows for their covariances."""
        belief, loc = self.inner.belief, self.loc
        spread = jnp.where(self._known_means, belief.strength, 0.0)[:, None, None] * outer(loc - belief.loc)
        df = belief.df + jnp.where(self._known_means, more, 0.0)
        return dataclasses.replace(self.inner, belief=belief._replace(loc=loc, df=df, scale=belief.scale + spread))


def hold(prior: Any, within: tuple[Any, float], family: Family, fixed: Fixed) -> tuple[HeldComponents, float]:
    """A prior of means and covariances within a family, of which some are held, and the log of its constant.

    Parameters
    ----------
    prior
        The (full) prior as users write it; None is the flat prior.
    within
        What it says within the family, and the log of its constant (``prior.within(family)``).
    family, fixed
        The covariance family, and what is held.
    """
    inner, constant = within
    parts: Any = *fixed.filled()[1:], fixed.held
    if inner.conjugacy == Conjugacy.JOINT:
        if not isinstance(inner, Restricted):
            inner = restrict_flat(inner, family) if prior is None else restrict(prior, family)[0]
        joint = HeldConjugate(inner, *parts)
        return joint, 0.0 if prior is None else float(double_on_host(HeldConjugate.log_normaliser)(joint))
    kind = HeldIndependent if inner.conjugacy == Conjugacy.CONDITIONAL else HeldComponents
    return kind(inner, *parts), constant - _log_density_of_known(prior, family, fixed)


def _log_density_of_known(prior: Any, family: Family, fixed: Fixed) -> float:
    """Log prior density of the known means and covariances, which are independent of one another."""
    total = 0.0
    held = fixed.held
    if held.means:
        some, which = _only(prior, held.means), np.asarray(held.means)
        shift = np.linalg.solve(np.linalg.cholesky(some.covariance), (fixed.means[which] - some.loc)[..., None])
        total += float(double_on_host(normal_constant)(some.covariance)) - 0.5 * float((shift**2).sum())
    if held.covariances:
        some, trils = _only(prior, held.covariances), fixed.scale_trils[np.asarray(held.covariances)]
        inner, constant = some.within(family)
        log_kernel = double_on_host(
            lambda loc, trils: inner.log_kernel(loc, inverse_tril(trils), log_diagonal_sum(trils))
        )
        of_means = float(double_on_host(normal_constant)(some.covariance))
        total += constant - of_means + float(log_kernel(np.asarray(some.loc), trils))
    return total


def _only(prior: Any, which: tuple[int, ...]) -> Any:
    """The (full) prior of these components alone."""
    common = getattr(prior, "common", ())
    index = np.asarray(which)
    return prior._replace(**{
        name: jax.tree.map(lambda leaf: np.asarray(leaf)[index], value)
        for name, value in prior._asdict().items() if name not in common
    })  # fmt: skip
