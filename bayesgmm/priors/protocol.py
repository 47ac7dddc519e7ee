"""What a prior of the components must be able to do: the interface of every class in this folder.

A prior has two roles. Users write a `ComponentPrior`. Its ``within(family)`` gives a `FamilyPrior`, which the engines
use: first as the prior, and, if it has ``update``, as the posterior given z. `NormalInverseWishart` has both roles.
Both are JAX pytrees (a NamedTuple, or a registered dataclass), because they are arguments of compiled functions.
"""

from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.families import Family
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.conjugacy import Conjugacy


class ComponentPrior(Protocol):
    """A prior of means and covariances as users write it, in their units."""

    loc: Any
    """Location of the means; (K, D) in full shape."""
    conjugacy: Conjugacy
    """What of the posterior given z has a closed form; engines with other needs refuse the prior."""
    sites_are_theta: bool
    """Whether the sites of ``numpyro_sites`` are ``means`` and ``scale_trils`` alone."""

    def expand(self, num_components: int, dim: int) -> "ComponentPrior":
        """Give every hyperparameter its full shape, as NumPy arrays, or raise a `PriorError`."""
        ...

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one."""
        ...

    def taken_by(self, family: Family) -> "ComponentPrior":
        """The prior as a covariance family takes it, or a `PriorError`."""
        ...

    def within(self, family: Family) -> tuple["FamilyPrior", float]:
        """What the prior says within a covariance family, and the log of the constant of its density."""
        ...

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line, for the report."""
        ...

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density of these rows has no highest mode; None if it has one."""
        ...

    def numpyro_sites(self) -> tuple[Any, Any]:
        """NumPyro sample statements, in and around a plate ``component``; returns means and Cholesky factors."""
        ...


class FamilyPrior(Protocol):
    """A prior of means and covariances within a family, for all engines."""

    loc: Any
    """(K, D)"""
    family: Family
    metric: Any
    """Units of the features, in which the family is defined; 1 if its definition does not depend on them."""

    def standardise(self, frame: Frame) -> "FamilyPrior":
        """The same in standardised coordinates."""
        ...

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ; θ itself if it is one."""
        ...

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant, from ``whiteners`` L⁻¹ and ``log_diagonals`` log |L|."""
        ...

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """Draw (means, Cholesky factors); where these can only be drawn in turn, one sweep from ``present``."""
        ...


class PosteriorGivenZ(FamilyPrior, Protocol):
    """What ``update`` gives: needed from `Conjugacy.CONDITIONAL` on."""

    @property
    def strength(self) -> Array:
        """Effective rows behind each mean, (K,)."""
        ...

    @property
    def counts(self) -> Array:
        """Effective rows behind each covariance, (K,)."""
        ...

    def update(self, stats: Stats) -> "PosteriorGivenZ":
        """The posterior given the statistics of z."""
        ...

    def mode(self, present: Params) -> tuple[Array, Array]:
        """Mode of (means, Cholesky factors), or one step towards it from ``present``: the M-step."""
        ...


class ConjugatePosterior(PosteriorGivenZ, Protocol):
    """What CAVI needs besides, with `Conjugacy.JOINT`."""

    def expected_log_det(self) -> Array:
        """``E[log |Σ_k|]``, (K,)."""
        ...

    def harmonic_trils(self) -> Array:
        """Cholesky factors of ``E[Σ_k⁻¹]⁻¹``, (K, D, D)."""
        ...

    def expected_log_kernel(self, q: Any) -> Float[Array, ""]:
        """``E_q[log_kernel]``."""
        ...

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density."""
        ...
