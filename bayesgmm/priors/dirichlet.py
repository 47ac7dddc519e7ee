"""The Dirichlet distribution of the weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import digamma, gammaln
from jaxtyping import Float, PRNGKeyArray
from scipy import special

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.hyperparameters import in_full
from bayesgmm.runtime.arguments import as_floats, as_key, check_count, shown
from bayesgmm.runtime.dtypes import double_on_host, on_device_already, scope, to_numpy
from bayesgmm.runtime.formatting import array_words
from bayesgmm.runtime.programs import Program

MOST_ROWS = 10**6
"""Most rows and components for `Dirichlet.occupied`."""
MOST_STEPS = 10**9
"""Most rows × components for `Dirichlet.occupied`: a few seconds."""
DIGITS = 1e-3
"""Coarsest rounding of a log prior, in nats."""


class Dirichlet(NamedTuple):
    """``weights ~ Dirichlet(concentration)``.

    ``concentration`` is one number for all components, or one for each.
    """

    concentration: Any

    @property
    def num_components(self) -> int:
        """K of a prior in full shape."""
        return np.shape(self.concentration)[-1]

    def expand(self, num_components: int) -> "Dirichlet":
        """The same with one concentration for each component."""
        return Dirichlet(in_full("concentration", self.concentration, (num_components,)))

    def fault(self) -> str | None:
        """Why this is no distribution; None if it is one."""
        concentration = np.asarray(self.concentration)
        if not np.isfinite(concentration).all():
            return "a hyperparameter is not finite"
        return "the Dirichlet concentration must be above 0" if (concentration <= 0).any() else None

    @property
    def exchangeable(self) -> bool:
        """Whether all components have one concentration."""
        concentration = np.asarray(self.concentration)
        return bool((concentration == concentration[:1]).all())

    @property
    def unbounded_at_zero(self) -> bool:
        """Whether the density is unbounded where some weights are 0."""
        return bool((np.asarray(self.concentration) < 1).any())

    def unbounded_with(self) -> str:
        """What makes the density unbounded, for messages."""
        return "a Dirichlet concentration below 1"

    def mode_needs(self) -> str:
        """What a bounded density needs, for messages."""
        return "a concentration of at least 1"

    def describe(self) -> list[str]:
        """The distribution in mathematical notation."""
        return [f"weights ~ Dirichlet({array_words(self.concentration)})"]

    @double_on_host
    def update(self, counts: Float[Array, "K"]) -> "Dirichlet":
        """The posterior given the number of rows in each component."""
        return Dirichlet(self.concentration + counts)

    @double_on_host
    def mode(self) -> Float[Array, "K"]:
        """``(α_k - 1) / Σ (α_j - 1)``; a component with ``α_k < 1`` has its mode at weight zero.

        If all α are 1, every point is a mode; this is the one with equal weights. Below, there is none: NaN.
        """
        alpha = jnp.asarray(self.concentration)
        excess = jnp.maximum(alpha - 1.0, 0.0)
        equal = jnp.all(alpha == 1.0)
        excess = jnp.where(equal, 1.0, excess)
        return excess / jnp.sum(excess)

    def to_power(self, power: Any) -> "Dirichlet":
        """The distribution whose density is this one's to a power."""
        return Dirichlet(power * (jnp.asarray(self.concentration) - 1.0) + 1.0)

    @property
    def rows_behind(self) -> Float[Array, ""]:
        """Effective number of rows behind the mode."""
        return jnp.sum(jnp.maximum(jnp.asarray(self.concentration) - 1.0, 0.0))

    def put(self, weights: Float[Array, "K"]) -> Float[Array, "K"]:
        """The weights themselves: none is known."""
        return weights

    def sample(self, key: PRNGKeyArray) -> Float[Array, "K"]:
        """Draw weights. A weight that underflows is set to the smallest positive normal number: its log is finite.

        Raises
        ------
        ArgumentError, PriorError
            Outside of compiled code, if the key is no seed or the concentrations are not positive numbers (K,).
        """
        if on_device_already((self.concentration, key)):
            return self._drawn(key)
        alpha, key = self._positive(), as_key(key)
        if alpha.ndim == 0:
            raise PriorError("This prior has no component axis yet. Give one concentration for each component.")
        with scope("float64"):
            return to_numpy(Dirichlet(alpha)._drawn(key))

    def _positive(self) -> np.ndarray:
        alpha = as_floats("concentration", self.concentration, PriorError)
        if alpha.ndim > 1 or not alpha.size or not (np.isfinite(alpha) & (alpha > 0)).all():
            raise PriorError(f"The concentration must be above 0 and finite, got {shown(self.concentration)}.")
        return alpha

    def _drawn(self, key: PRNGKeyArray) -> Float[Array, "K"]:
        alpha = jnp.asarray(self.concentration)
        weights = jax.nn.softmax(jr.loggamma(key, alpha, dtype=alpha.dtype))
        return jnp.maximum(weights, jnp.finfo(alpha.dtype).tiny)

    @double_on_host
    def log_kernel(self, log_weights: Float[Array, "K"]) -> Float[Array, ""]:
        """``Σ (α_k - 1) log π_k``, with 0 · log 0 = 0."""
        excess = self.concentration - 1.0
        return jnp.sum(jnp.where(excess == 0.0, 0.0, excess * jnp.where(excess == 0.0, 0.0, log_weights)))

    @double_on_host
    def expected_log(self) -> Float[Array, "K"]:
        """``E[log π_k] = ψ(α_k) - ψ(Σ α)`` (Bishop 2006, eq. 10.66)."""
        return digamma(self.concentration) - digamma(jnp.sum(jnp.asarray(self.concentration)))

    @double_on_host
    def expected_log_tails(self) -> Float[Array, "K"]:
        """``E[log Σ_{j≥k} π_j]``."""
        alpha = jnp.asarray(self.concentration)
        return digamma(jnp.cumsum(alpha[::-1])[::-1]) - digamma(jnp.sum(alpha))

    def expected_log_kernel(self, q: Any) -> Float[Array, ""]:
        """``E_q[log_kernel]`` under another distribution of the weights."""
        return self.log_kernel(q.expected_log())

    def numpyro_site(self) -> Any:
        """NumPyro statement of the weights."""
        import numpyro
        from numpyro import distributions as dist

        return numpyro.sample("weights", dist.Dirichlet(jnp.asarray(self.concentration)))

    def occupied(self, num_rows: int, num_components: int | None = None) -> np.ndarray:
        """Prior probabilities ``P(K₊ = k)``, k = 0 … K, of the number of components that `num_rows` rows occupy.

        They follow from the Pólya urn: after n rows in k components the next row enters an empty one with probability
        ``(K - k) α / (n + K α)`` (Frühwirth-Schnatter, Malsiner-Walli & Grün 2021, section 2).

        Raises
        ------
        ArgumentError, PriorError
            If an argument is no count, the concentrations differ or are not positive, or their number is not known.
        """
        num_rows = check_count("num_rows", num_rows, least=0, most=MOST_ROWS, why="the time grows with it")
        alpha = self._positive()
        if num_components is not None:
            check_count("num_components", num_components, most=MOST_ROWS)
        if alpha.ndim == 0 and num_components is None:
            raise PriorError("Say how many components there are: occupied(num_rows, num_components).")
        if alpha.ndim == 1 and num_components not in (None, len(alpha)):
            raise PriorError(f"This prior has {len(alpha)} components, not {num_components}.")
        if np.ptp(alpha) > 0:
            raise PriorError(
                "The components of this prior differ in concentration. occupied() needs equal concentrations."
            )
        num = int(num_components or len(alpha))
        most = min(num, num_rows)
        if num_rows * most > MOST_STEPS:
            raise ArgumentError(
                f"{num_rows} rows times {most} components that they may occupy are more than {MOST_STEPS:.0e} steps. "
                "Use fewer rows: with the concentration fixed, few of the last rows enter an empty component."
            )
        chances = np.zeros(num + 1)
        chances[min(num_rows, 1)] = 1.0
        with scope("float64"), np.errstate(over="ignore"):  # 1 / α may be infinite: then no row enters another
            inverse = 1.0 / np.float64(alpha.flat[0])
            chances[: most + 1] = _URN(chances[: most + 1], float(num), inverse, num_rows)
        return chances

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """``log Γ(Σ α) - Σ log Γ(α)``: the constant that makes the density integrate to one over the simplex."""
        alpha = jnp.asarray(self.concentration)
        return gammaln(jnp.sum(alpha)) - jnp.sum(gammaln(alpha))

    def constant_on_host(self) -> float:
        """The log normaliser, without a program."""
        alpha = np.asarray(self.concentration, float)
        return float(special.gammaln(alpha.sum()) - special.gammaln(alpha).sum())  # pyright: ignore


def urn(chances: Any, num: Any, inverse: Any, num_rows: Any) -> Any:
    """Chances of the number of occupied components after all rows, from those after the first row."""
    free = num - jnp.arange(len(chances))

    def add_row(n: Any, chances: Any) -> Any:
        moved = chances * free / (n * inverse + num)
        return chances - moved + jnp.roll(moved, 1).at[0].set(0.0)

    return jax.lax.fori_loop(1, num_rows, add_row, chances)


def total_constant(of_components: float, weights: Any) -> float:
    """The log of the whole prior's constant: that of the components and that of the weights, on the host.

    Raises
    ------
    PriorError
        If it is so large that a log posterior in double precision cannot hold the data beside it.
    """
    total = of_components + weights.constant_on_host()
    if not abs(total) * np.finfo(float).eps < DIGITS:
        raise PriorError(
            f"The log density of this prior is of size {abs(total):.0e}. In double precision a log posterior of that "
            f"size is rounded to more than {DIGITS:g}, so the data would be lost in it. Hyperparameters so large "
            "(concentration, df) leave θ no freedom: use smaller ones, at most about 1e9."
        )
    return total


_URN = Program(urn)
