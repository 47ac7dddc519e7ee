"""Weights by breaking a stick: a Dirichlet process cut off at K components (Ishwaran & James 2001)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.scipy.special import digamma, gammaln
from jaxtyping import Float, PRNGKeyArray
from scipy import special, stats

from bayesgmm.errors import PriorError
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.hyperparameters import in_full
from bayesgmm.runtime.arguments import as_floats, as_key, check_count, shown
from bayesgmm.runtime.dtypes import double_on_host, on_device_already, scope, to_numpy
from bayesgmm.runtime.formatting import array_words

MOST_ROWS = 2000
"""Most rows for `StickBreaking.occupied`: it multiplies matrices of so many rows and columns."""


MOST = 1e9
"""Largest parameter of a stick: a larger one leaves its weight no freedom in double precision."""


class StickBreaking(NamedTuple):
    """``V_k ~ Beta(first, alpha)`` for k < K, ``V_K = 1``, and ``weights_k = V_k Π_{j<k} (1 - V_j)``.

    With ``first=1`` it is a Dirichlet process of concentration ``alpha``, cut off at K components. Each component has a
    share of what the components before it leave, so that weights decrease in expectation, and the order of the
    components has a meaning. Both are one number, or one for each of the K - 1 sticks; a Pitman-Yor process has
    ``first = 1 - d`` and ``alpha_k = α + k d``.

    The density of the weights is a generalised Dirichlet (Connor & Mosimann 1969).
    """

    alpha: Any
    """(K - 1,) in full shape: the second parameter of each Beta."""
    first: Any = 1.0
    """(K - 1,) in full shape: the first parameter of each Beta."""

    @property
    def num_components(self) -> int:
        """K of a prior in full shape."""
        return np.shape(self.alpha)[-1] + 1

    def expand(self, num_components: int) -> "StickBreaking":
        """The same with one ``alpha`` and one ``first`` for each stick."""
        return StickBreaking(*(self._each(name, num_components) for name in self._fields))

    def _each(self, name: str, num_components: int) -> np.ndarray:
        value = as_floats(f"The prior's {name}", getattr(self, name), PriorError)
        if value.ndim and value.shape != (num_components - 1,):
            raise PriorError(
                f"The prior's {name} has shape {value.shape}. {num_components} components have {num_components - 1} "
                f"sticks: give one number, or one for each stick."
            )
        if (value[np.isfinite(value)] > MOST).any():
            most = value[np.isfinite(value)].max()
            raise PriorError(
                f"The prior's {name} is {most:.3g}: so large a parameter leaves its stick no freedom in double "
                f"precision. Use a smaller one, at most about {MOST:.0e}."
            )
        return in_full(name, value, (num_components - 1,))

    def fault(self) -> str | None:
        """Why this is no distribution; None if it is one."""
        values = np.append(*map(np.ravel, map(np.asarray, self)))
        if not np.isfinite(values).all():
            return "a hyperparameter is not finite"
        return "alpha and first of the sticks must be above 0" if (values <= 0).any() else None

    @property
    def exchangeable(self) -> bool:
        """Whether all orders have one distribution: only if it is a Dirichlet with equal concentrations."""
        alpha, first = (np.asarray(part, float) for part in self)
        return bool((first == first[:1]).all() and (alpha == first * np.arange(len(alpha), 0, -1)).all())

    @property
    def unbounded_at_zero(self) -> bool:
        """Whether the density of the weights is unbounded where some are 0.

        Where the last m weights go to 0 together, it grows like their sum to the power ``alpha_(K-m) - m``.
        """
        alpha, first = (np.asarray(part, float) for part in self)
        return bool((first < 1).any() or (alpha < np.arange(len(alpha), 0, -1)).any())

    def unbounded_with(self) -> str:
        """What makes the density unbounded, for messages."""
        return "so small an alpha (or first) of its sticks"

    def mode_needs(self) -> str:
        """What a bounded density needs, for messages."""
        return f"alpha of at least K - 1 = {self.num_components - 1}, and first of at least 1,"

    def describe(self) -> list[str]:
        """The distribution in mathematical notation."""
        same = [
            part if np.size(part) < 2 or np.ptp(part) > 0 else np.ravel(part)[0] for part in (self.first, self.alpha)
        ]
        parameters = ", ".join(map(array_words, same))
        return [f"V_k ~ Beta({parameters}) for k < K, V_K = 1", "weights_k = V_k Π_{j<k} (1 - V_j)"]

    @double_on_host
    def update(self, counts: Float[Array, "K"]) -> "StickBreaking":
        """The posterior given the number of rows in each component (Ishwaran & James 2001, section 5.2)."""
        counts = jnp.asarray(counts)
        return StickBreaking(jnp.asarray(self.alpha) + tails(counts)[1:], jnp.asarray(self.first) + counts[:-1])

    @double_on_host
    def mode(self) -> Float[Array, "K"]:
        """The mode of the weights: a stick is ``(first - 1) / (first - 1 + alpha - (K - k))``.

        The density of the weights has a factor for each stick. Where it is flat in a stick, the rest is divided
        equally; where it has no highest value without rows, NaN. Raises `PriorError` if it has no component axis yet.
        """
        if not np.ndim(self.alpha):
            return self._checked(None).mode()
        after = jnp.arange(self.num_components - 1, 0, -1)
        one, rest = jnp.asarray(self.first) - 1.0, jnp.asarray(self.alpha) - after
        flat = (one <= 0.0) & (rest == 0.0)
        one, rest = jnp.where(flat, 1.0, jnp.maximum(one, 0.0)), jnp.where(flat, after, jnp.maximum(rest, 0.0))
        return _from_logs(jnp.log(one / (one + rest)), jnp.log(rest / (one + rest)))

    def to_power(self, power: Any) -> "StickBreaking":
        """The distribution whose density of the weights is this one's to a power."""
        after = jnp.arange(self.num_components - 1, 0, -1)
        return StickBreaking(power * (self.alpha - after) + after, power * (self.first - 1.0) + 1.0)

    @property
    def rows_behind(self) -> Float[Array, ""]:
        """Effective number of rows behind the mode."""
        if self.num_components == 1:
            return jnp.ones(())
        return jnp.maximum(self.first[0] - 1.0 + self.alpha[0] - (self.num_components - 1.0), 0.0)

    def put(self, weights: Float[Array, "K"]) -> Float[Array, "K"]:
        """The weights themselves: none is known."""
        return weights

    def sample(self, key: PRNGKeyArray) -> Float[Array, "K"]:
        """Draw weights. A weight that underflows is set to the smallest positive normal number: its log is finite.

        Raises
        ------
        ArgumentError, PriorError
            Outside of compiled code, if the key is no seed or the parameters are not positive numbers (K - 1,).
        """
        if on_device_already((self.alpha, self.first, key)):
            return self._drawn(key)
        prior, key = self._checked(None), as_key(key)
        with scope("float64"):
            return to_numpy(prior._drawn(key))

    def _drawn(self, key: PRNGKeyArray) -> Float[Array, "K"]:
        alpha, first = jnp.asarray(self.alpha), jnp.asarray(self.first)
        first = jnp.broadcast_to(first, alpha.shape)
        logs = jr.loggamma(key, jnp.stack([first, alpha]), dtype=alpha.dtype)
        weights = _from_logs(*(logs - jnp.logaddexp(*logs)))
        return jnp.maximum(weights, jnp.finfo(alpha.dtype).tiny)

    def _checked(self, num_components: int | None) -> "StickBreaking":
        """The prior in full shape, if its parameters are positive."""
        sizes = {np.size(part) for part in map(np.asarray, self) if np.ndim(part) == 1}
        if num_components is None and len(sizes) != 1:
            raise PriorError("This prior has no component axis yet. Give one alpha for each stick, or call expand(K).")
        prior = self.expand(sizes.pop() + 1 if num_components is None else num_components)
        if prior.fault() is not None:
            raise PriorError(f"alpha and first must be above 0 and finite, got {shown(tuple(self))}.")
        return prior

    @double_on_host
    def log_kernel(self, log_weights: Float[Array, "K"]) -> Float[Array, ""]:
        """``Σ_{k<K} (first_k - 1) log π_k + (alpha_k - 1) log R_(k+1) - (first_k + alpha_k - 1) log R_k``.

        ``R_k = Σ_{j≥k} π_j`` is what the sticks before k leave.
        """
        logs = jnp.asarray(log_weights)
        return self._kernel(logs, lax.cumlogsumexp(logs, reverse=True))

    def _kernel(self, logs: Float[Array, "K"], log_tails: Float[Array, "K"]) -> Float[Array, ""]:
        alpha = jnp.asarray(self.alpha)
        first = jnp.broadcast_to(jnp.asarray(self.first), alpha.shape)
        # R_1 = 1, whatever rounding makes of its log. The other tails have one factor each: two could be -∞ and ∞.
        of_tails = jnp.append(alpha[:-1] - first[1:] - alpha[1:], alpha[-1:] - 1.0)
        return jnp.sum(_times(first - 1.0, logs[:-1]) + _times(of_tails, log_tails[1:]))

    def expected_log_kernel(self, q: Any) -> Float[Array, ""]:
        """``E_q[log_kernel]`` under another distribution of the weights."""
        return self._kernel(jnp.asarray(q.expected_log()), jnp.asarray(q.expected_log_tails()))

    @double_on_host
    def expected_log(self) -> Float[Array, "K"]:
        """``E[log π_k] = E[log V_k] + Σ_{j<k} E[log(1 - V_j)]`` (Blei & Jordan 2006, section 3.2)."""
        alpha, first = jnp.asarray(self.alpha), jnp.asarray(self.first)
        own = digamma(first) - digamma(first + alpha)
        return jnp.append(own, 0.0) + self.expected_log_tails()

    @double_on_host
    def expected_log_tails(self) -> Float[Array, "K"]:
        """``E[log Σ_{j≥k} π_j] = Σ_{j<k} E[log(1 - V_j)]``."""
        alpha, first = jnp.asarray(self.alpha), jnp.asarray(self.first)
        left = digamma(alpha) - digamma(first + alpha)
        return jnp.concatenate([jnp.zeros(1, left.dtype), jnp.cumsum(left)])

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """``Σ log Γ(first + alpha) - log Γ(first) - log Γ(alpha)``: the constant of the density over the simplex."""
        alpha, first = jnp.asarray(self.alpha), jnp.asarray(self.first)
        return jnp.sum(gammaln(first + alpha) - gammaln(first) - gammaln(alpha))

    def constant_on_host(self) -> float:
        """The log normaliser, without a program."""
        alpha, first = (np.asarray(part, float) for part in self)
        return -float(special.betaln(first, alpha).sum())

    def numpyro_site(self) -> Any:
        """NumPyro statements of the sticks, and the weights."""
        import numpyro
        from numpyro import distributions as dist

        sticks: Any = dist.Beta(jnp.asarray(self.first), jnp.asarray(self.alpha))
        broken: Any = numpyro.sample("sticks", sticks.to_event(1))
        return numpyro.deterministic("weights", _from_logs(jnp.log(broken), jnp.log1p(-broken)))

    def occupied(self, num_rows: int, num_components: int | None = None) -> np.ndarray:
        """Prior probabilities ``P(K₊ = k)``, k = 0 … K, of the number of components that `num_rows` rows occupy.

        Of the rows that sticks before leave, a stick takes a beta-binomial number. With many components they are
        those of the Dirichlet process (Antoniak 1974).

        Raises
        ------
        ArgumentError, PriorError
            If an argument is no count, there are more than 2000 rows, the parameters are not positive, or the number
            of components is not known.
        """
        num_rows = check_count("num_rows", num_rows, least=0, most=MOST_ROWS, why="the memory grows with its square")
        if num_components is not None:
            num_components = check_count("num_components", num_components, most=MOST_ROWS, why="the time grows with it")
        prior = self._checked(num_components)
        chances = np.zeros((prior.num_components + 1, num_rows + 1))  # components with rows so far, rows left
        chances[0, num_rows], passing, last = 1.0, np.empty(0), None
        for alpha, first in zip(*map(np.asarray, prior), strict=True):
            passing = passing if (alpha, first) == last else _passing(num_rows, alpha, first)
            stay, last = np.diagonal(passing), (alpha, first)
            chances = chances * stay + np.roll(chances @ (passing - np.diag(stay)), 1, axis=0)
        return chances[:, 0] + np.roll(chances[:, 1:].sum(axis=1), 1)


def _passing(num_rows: int, alpha: float, first: float) -> np.ndarray:
    """Chances that of so many rows (row) a stick leaves so many (column)."""
    left = np.arange(num_rows + 1)
    with np.errstate(all="ignore"):
        chances = stats.betabinom.pmf(left, left[:, None], alpha, first)
    return np.where(left <= left[:, None], np.nan_to_num(chances), 0.0)


def refuse_sticks(weights: Any, what: str, why: str, instead: str = "") -> None:
    """Raise a `PriorError` if the prior of the weights is by breaking sticks."""
    if isinstance(weights, StickBreaking):
        remedy = instead or "Use a Dirichlet: with a small concentration it leaves components empty, too."
        raise PriorError(f"{what} a StickBreaking prior: {why}. {remedy}")


def tails(counts: Float[Array, "K"]) -> Float[Array, "K"]:
    """``Σ_{j≥k} counts_j``."""
    return jnp.cumsum(counts[::-1])[::-1]


def _times(factor: Array, logs: Array) -> Array:
    """``factor · log``, with 0 · log 0 = 0."""
    return jnp.where(factor == 0.0, 0.0, factor * jnp.where(factor == 0.0, 0.0, logs))


def _from_logs(taken: Float[Array, "K1"], left: Float[Array, "K1"]) -> Float[Array, "K"]:
    """Weights from ``log V_k`` and ``log(1 - V_k)``."""
    before = jnp.concatenate([jnp.zeros(1, left.dtype), jnp.cumsum(left)])
    return jnp.exp(jnp.append(taken, 0.0) + before)
