"""Priors as users call them: improper and extreme hyperparameters are refused, and arguments are checked once."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.types import Params, Stats, check_params
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.stick_breaking import StickBreaking
from bayesgmm.runtime.arguments import as_floats, as_key, shown
from bayesgmm.runtime.dtypes import in_users_precision, on_device_already, scope, to_numpy

SMALLEST, LARGEST = 1e-300, 1e300
"""Hyperparameters between these have determinants, ratios and constants in double precision."""


def beyond_precision(weights: Any, components: Any) -> str | None:
    """Why double precision does not suffice for the hyperparameters of a (full) prior; None if it does."""
    leaves = [np.asarray(leaf, float) for leaf in jax.tree.leaves((weights, components)) if leaf is not components.loc]
    # What stands beside the diagonal of a matrix may be small.
    leaves = [np.diagonal(leaf, axis1=-2, axis2=-1) if leaf.ndim == 3 else leaf for leaf in leaves]
    values = np.concatenate([np.abs(leaf[leaf != 0]).ravel() for leaf in leaves])
    if (values < SMALLEST).any():
        return f"a hyperparameter is {values.min():.3g}, too close to 0"
    return f"a hyperparameter is {values.max():.3g}, too large" if (values > LARGEST).any() else None


def for_users[**P, R](method: Callable[P, R]) -> Callable[P, R]:
    """Make a method of `Belief` check its arguments on the host, and compute there in double precision.

    With arrays of JAX or in compiled functions it runs unchanged.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        belief: Any = args[0]
        for name, value in list(bound.arguments.items())[1:]:
            check_type(name, value)
        if on_device_already((args, kwargs)):
            return method(*in_users_precision(args), **in_users_precision(kwargs))
        size = belief._full_size()
        taken = {name: _checked(name, value, size) for name, value in list(bound.arguments.items())[1:]}
        given = belief.expand(*size) if hasattr(belief.components, "expand") else belief
        if method.__name__ == "sample" and hasattr(given.components, "fault"):
            refuse_improper(given)
        with scope("float64"):
            found = to_numpy(cast("Callable[..., R]", method)(given, **taken))
        if method.__name__ == "sample":
            refuse_overflow(found)
        elif any(np.isnan(leaf).any() for leaf in jax.tree.leaves(found)):
            raise PriorError(f"{method.__name__} is not defined here: {_undefined_because(given)}.")
        return found

    return wrapped


def _undefined_because(belief: Any) -> str:
    """Why a method of a prior gave NaN."""
    if belief.weights.unbounded_at_zero:
        return f"the density is unbounded where a weight is 0. Use {belief.weights.mode_needs()}"
    return improper_because(belief) or "an argument is beyond double precision"


def check_type(name: str, value: Any) -> None:
    """Refuse an argument of a method of `Belief` that is not of its type."""
    if name == "key" or (name == "present" and value is None):
        return
    kind = {"stats": Stats, "other": tuple}.get(name, Params)
    if not isinstance(value, kind) or (name == "other" and not hasattr(value, "components")):
        raise ArgumentError(f"{name} must be a {'prior' if name == 'other' else kind.__name__}, got {shown(value)}.")
    if name == "other" and not hasattr(getattr(value, "weights", None), "expected_log"):
        raise PriorError("The weights of other must be a Dirichlet or a StickBreaking.")


def _checked(name: str, value: Any, size: tuple[int, int]) -> Any:
    """An argument of a method of `Belief`: a seed, statistics or θ of its size, or another belief."""
    if name == "key":
        return as_key(value)
    if name == "stats":
        return Stats(*(as_floats(part, array) for part, array in value._asdict().items()))
    if name == "other":
        return value.expand(*size)
    if value is None:
        return None
    params = check_params(value)
    if np.shape(params.means) != size:
        raise ArgumentError(f"{name} has means of shape {np.shape(params.means)}, but the prior needs {size}.")
    return params


def refuse_parts(weights: Any, components: Any) -> None:
    """Raise a `PriorError` if they are not what a prior consists of."""
    if not isinstance(weights, Dirichlet | StickBreaking):
        got = type(weights).__name__
        raise PriorError(f"The prior's weights must be a Dirichlet or a StickBreaking, got {got}.")
    if not hasattr(components, "expand") or not hasattr(components, "conjugacy"):
        raise PriorError(
            "The prior's components must be a NormalInverseWishart, NormalInverseGamma, NormalTimesInverseWishart, "
            f"HierarchicalInverseWishart or NormalTimesLKJ, got {type(components).__name__}."
        )


def refuse_improper(belief: Any, variances_only: bool = False) -> None:
    """Raise a `PriorError` if a (full) prior is no probability distribution, or beyond double precision."""
    reason = improper_because(belief, variances_only)
    if reason is not None:
        raise PriorError(
            f"The prior is improper: {reason}. Use 'default', change that hyperparameter, or use prior=None (EM only)."
        )
    extreme = beyond_precision(*belief)
    if extreme is not None:
        raise PriorError(f"Under this prior double precision does not suffice: {extreme}. Change that hyperparameter.")


def refuse_overflow(draws: Any) -> None:
    """Raise a `PriorError` if draws from a prior are not finite, or a covariance is 0."""
    params = Params(*map(np.asarray, draws))
    diagonals = np.diagonal(params.scale_trils, axis1=-2, axis2=-1)
    if not all(np.isfinite(part).all() for part in (*params, params.covariances)) or (diagonals**2 <= 0).any():
        raise PriorError(
            "The prior is so wide that draws from it overflow or underflow double precision. Use a narrower prior."
        )


def improper_because(belief: Any, variances_only: bool = False) -> str | None:
    """Why a (full) prior is not a probability distribution; None if it is one.

    ``variances_only``: the covariances have no correlations.
    """
    return belief.weights.fault() or belief.components.fault(variances_only)
