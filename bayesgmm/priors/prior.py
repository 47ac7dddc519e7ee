"""Priors and posteriors of θ: weights and components together.

Both have the type `Belief`: by conjugacy, ``prior.update(stats)`` is the posterior given z. EM uses its ``mode()``,
Gibbs draws a ``sample(key)``, and NUTS uses the gradient of ``log_kernel``. Maximum likelihood is the mode under the
flat prior, so engines have no separate branch for it.

Forms: as given (``prior``), within the family (``family_prior``), and in standard units (``standard_prior``).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.noise import Noise
from bayesgmm.errors import PriorError
from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.fixed import Fixed
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import inverse_tril, log_diagonal_sum
from bayesgmm.priors.boundary import check_type, for_users, refuse_improper, refuse_parts
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.dirichlet import Dirichlet, total_constant
from bayesgmm.priors.held import hold
from bayesgmm.priors.held_weights import HeldDirichlet
from bayesgmm.priors.hyperparameters import as_call
from bayesgmm.priors.normal_inverse_wishart import flat_components
from bayesgmm.priors.stick_breaking import StickBreaking, refuse_sticks
from bayesgmm.priors.with_noise import add_noise
from bayesgmm.priors.within_family import restrict_flat
from bayesgmm.runtime.arguments import as_array, as_key, check_count
from bayesgmm.runtime.formatting import for_html
from bayesgmm.runtime.programs import Program


class Belief(NamedTuple):
    """A prior or a posterior of θ, with independent weights and components."""

    weights: Any
    """`Dirichlet` or `StickBreaking`; the `HeldDirichlet` of a model that knows some of the weights."""
    components: Any
    """`NormalInverseWishart`, or another prior of `bayesgmm.priors` with the same methods."""

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are known to be diagonal (known when compiled)."""
        return getattr(self.components, "diagonal", False)

    @property
    def has_mode(self) -> bool:
        """Whether EM can find a mode under this (full) prior."""
        return self.components.conjugacy > Conjugacy.NONE and not self.unbounded_at_zero

    @property
    def unbounded_at_zero(self) -> bool:
        """Whether the density is unbounded at weight 0, as with a concentration below 1."""
        return self.weights.unbounded_at_zero

    @property
    def exchangeable(self) -> bool:
        """Whether this (full) prior is the same for all components, so that their numbering means nothing."""
        return self.weights.exchangeable and self.alike

    @property
    def alike(self) -> bool:
        """Whether means and covariances have the same (full) prior in all components."""
        common = getattr(self.components, "common", ())
        own = [value for name, value in self.components._asdict().items() if name not in common]
        num, leaves = self.weights.num_components, [np.asarray(leaf) for leaf in jax.tree.leaves(own)]
        return all((leaf == leaf[:1]).all() for leaf in leaves if leaf.ndim and len(leaf) == num)

    @property
    def in_order(self) -> bool:
        """Whether this (full) prior tells the components apart by the order of its sticks alone."""
        return isinstance(self.weights, StickBreaking) and self.alike and not self.weights.exchangeable

    @for_users
    def update(self, stats: Stats) -> "Belief":
        """The posterior given z and x, from their sufficient statistics.

        Raises
        ------
        PriorError
            If the posterior has no closed form.
        """
        self._need("update")
        return Belief(self.weights.update(stats.counts), self.components.update(stats))

    def _full_size(self) -> tuple[int, int]:
        """K and D of a prior in full shape."""
        loc, of_weights = getattr(self.components, "loc", None), next(iter(jax.tree.leaves(self.weights)), None)
        shape, alone = (np.shape(as_array("The prior's loc", loc, PriorError)), as_array("x", of_weights).ndim)
        if alone != 1 or len(shape) != 2:
            raise PriorError("This prior has no component axis yet. Call prior.expand(K, D) first.")
        return shape[0], shape[1]

    def _need(self, method: str) -> None:
        if not hasattr(self.components, method):
            raise PriorError(
                f"A {type(self.components).__name__} prior has no {method} in closed form. Use fit_em or a sampler "
                "that accepts this prior, or use a NormalInverseWishart prior."
            )

    @for_users
    def mode(self, present: Params | None = None) -> Params:
        """Mode of θ in the coordinates (weights, means, covariances).

        Covariance families without a closed form iterate from ``present``.

        Raises
        ------
        PriorError
            If the mode has no closed form.
        """
        self._need("mode")
        return Params(self.weights.mode(), *self.components.mode(present))

    @for_users
    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Params:
        """Draw θ. If means and covariances have no joint closed form, run one Gibbs sweep from ``present``.

        Raises
        ------
        PriorError
            If the prior has no component axis, is improper, or is so wide that a draw overflows.
        """
        key_weights, key_components = jr.split(as_key(key))
        return Params(self.weights.sample(key_weights), *self.components.sample(key_components, present))

    def project(self, params: Params) -> Params:
        """The θ nearest to θ that the model has: in the covariance family, with what is known in its place."""
        check_type("params", params)
        return self.components.project(params._replace(weights=self.weights.put(params.weights)))

    @for_users
    def log_kernel(self, params: Params) -> Float[Array, ""]:
        """``log p(θ)`` without its constant; for ``flat_prior.update(stats)``, the complete-data log-likelihood."""
        trils = params.diagonal.scale_trils if self.diagonal else params.scale_trils
        whiteners, log_diagonals = inverse_tril(trils), log_diagonal_sum(trils)
        gaussian = self.components.log_kernel(params.means, whiteners, log_diagonals)
        return jnp.asarray(self.weights.log_kernel(jnp.log(params.weights)) + gaussian)

    @for_users
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of ``log_density``; 0 if the distribution is improper."""
        return jnp.asarray(self.weights.log_normaliser() + self.components.log_normaliser())

    @for_users
    def log_density(self, params: Params) -> Float[Array, ""]:
        """``log p(θ)`` over (weights, means, covariances), constants included."""
        return jnp.asarray(self.log_kernel(params) + self.log_normaliser())

    @for_users
    def kl(self, other: "Belief") -> Float[Array, ""]:
        """Kullback-Leibler divergence ``E[log p(θ) - log other(θ)]`` from this distribution to another proper one.

        Raises
        ------
        PriorError
            If the other has another number of components or no component axis, or one has no closed form.
        """
        self._need("expected_log_kernel")
        other._need("expected_log_kernel")
        sizes = [belief.weights.num_components for belief in (self, other)]
        if sizes[0] != sizes[1] or np.ndim(jax.tree.leaves(other.weights)[0]) != 1:
            raise PriorError(f"The two distributions have {sizes[0]} and {sizes[1]} components, or one has none.")
        kernels = self.weights.expected_log_kernel(self.weights) - other.weights.expected_log_kernel(self.weights)
        kernels += self.components.expected_log_kernel(self.components)
        kernels -= other.components.expected_log_kernel(self.components)
        return jnp.asarray(kernels + self.log_normaliser() - other.log_normaliser())

    def expand(self, num_components: int, dim: int) -> "Belief":
        """Give every hyperparameter its full shape: ``(K,)``, ``(K, D)`` or ``(K, D, D)``, as NumPy arrays.

        Raises
        ------
        PriorError
            If a hyperparameter has a shape that does not fit K components in D dimensions.
        """
        num_components, dim = check_count("num_components", num_components), check_count("dim", dim)
        self.check_parts()
        return Belief(self.weights.expand(num_components), self.components.expand(num_components, dim))

    def check_parts(self) -> None:
        """Raise a `PriorError` if the weights or the components are not what a prior consists of."""
        refuse_parts(self.weights, self.components)

    def standardise(self, frame: Frame) -> "Belief":
        """The same distribution of θ in standardised coordinates."""
        return Belief(self.weights, self.components.standardise(frame))

    def taken_by(self, family: Family) -> "Belief":
        """The (full) prior in the form that a covariance family accepts.

        Raises
        ------
        PriorError
            If it is improper within the family, or not a prior of such covariances.
        """
        components = self.components.taken_by(family)
        refuse_improper(self, variances_only=family.orientation == "I")
        return self._replace(components=components)

    def as_written(self) -> "Belief":
        """The prior with its components as users specify them, for the NumPyro model."""
        return self._replace(components=self.components.as_written())

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""
        return [*self.weights.describe(), *self.components.describe(family)]

    def _repr_html_(self) -> str:
        """For Jupyter: the distribution of each part, in mathematical notation."""
        in_full_shape = np.ndim(self.weights[0]) == 1 and np.ndim(getattr(self.components, "loc", 0.0)) == 2
        lines = self.describe(FAMILIES["VVV"]) if in_full_shape else [as_call(part) for part in self]
        words = "<br>".join(map(for_html, lines))
        return f"<p><b>Prior</b></p><p style='font-family: monospace; white-space: pre-wrap'>{words}</p>"

    def padded(self, num_gaussians: int) -> "Belief":
        """The same prior for more Gaussians. Those beyond K are placeholders of weight 0; the noise stays the last."""
        own, last = np.split(self.weights.concentration, [self.components.num_gaussians])
        concentration = np.concatenate([own, np.ones(num_gaussians - len(own)), last])
        return Belief(Dirichlet(concentration), self.components.padded(num_gaussians))

    def beside(self, noise: Noise | None) -> "Belief":
        """The prior of K Gaussians within a family, and of this noise after them; unchanged without noise.

        The weight of the noise has the concentration of the others if theirs are equal, and otherwise 1.
        """
        if noise is None:
            return self
        refuse_sticks(self.weights, "A noise component does not go with", "it has no place in the order of the sticks")
        own = np.asarray(self.weights.concentration, float)
        weights = Dirichlet(np.append(own, own[0] if (own == own[0]).all() else 1.0))
        return Belief(weights, add_noise(self.components, noise))


Prior = Belief


def flat_prior(num_components: int, dim: int) -> Belief:
    """The improper prior with density 1 at every (weights, means, covariances). The mode under it is the MLE."""
    return Belief(Dirichlet(np.ones(num_components)), flat_components(num_components, dim))


def within_family(
    prior: Belief | None, family: Family, num_gaussians: int, dim: int, fixed: Fixed | None = None,
    noise: Noise | None = None,
) -> tuple[Belief, float]:  # fmt: skip
    """A (full) prior within a covariance family, given what is held, and the log of its constant.

    Without a prior, the flat prior with constant 0. With ``noise`` the result has one component more, whose weight has
    the concentration of the others if theirs are equal, and otherwise 1.

    Raises
    ------
    PriorError
        If the prior is improper within the family, or not a prior for it, or so heavy that the data have no digits.
    """
    if prior is None:
        flat = flat_prior(num_gaussians, dim)
        components = flat.components
        if fixed is not None:
            components, _ = hold(None, (flat.components, 0.0), family, fixed)
        elif family.name != "VVV":
            components = restrict_flat(flat.components, family)
        return Belief(*_with_weights(flat.weights, components, fixed, noise)), 0.0
    prior = prior.taken_by(family)
    within, weights = prior.components.within(family), prior.weights
    if fixed is not None:
        within = hold(prior.components, within, family, fixed)
    weights, components = _with_weights(weights, within[0], fixed, noise)
    return Belief(weights, components), total_constant(within[1], weights)


def _with_weights(weights: Any, components: Any, fixed: Fixed | None, noise: Noise | None) -> tuple[Any, Any]:
    """Weights and components, some weights of which are held, with the noise after them."""
    values = None if fixed is None or not fixed.held.weights else fixed.filled()[0]
    if values is not None:
        refuse_sticks(weights, "Held weights do not go with", "each depends on the sticks before it")
    weights, components = Belief(weights, components).beside(noise)
    if values is None:
        return weights, components
    values = values if noise is None else np.append(values, 0.0)
    return HeldDirichlet(weights.concentration, values), components


def restricted(belief: Belief, family: Family) -> Belief:
    """The same effective counts and scatters within a family."""
    return belief._replace(components=restrict_flat(belief.components, family))


@Program
def log_kernel(params: Params, belief: Belief):
    """``log p(θ)`` without its constant, compiled once per shape."""
    return belief.log_kernel(params)
