"""The names that Stan, PyMC and NumPyro programs usually give to the parts of a mixture."""

from typing import Any

import numpy as np

from bayesgmm.results.theta_of_draws import is_simplex

WEIGHTS = ("weights", "w", "pi", "theta", "phi", "p", "probs", "mix", "mixing", "proportions", "lambda")
MEANS = ("means", "mu", "mean", "mus", "loc", "locs", "centers", "centres", "component_means")
SPREADS = {
    "covariances": ("covariances", "Sigma", "Sigmas", "cov", "covs", "covariance", "covariance_matrix", "sigma"),
    "scale_trils": ("scale_trils", "L", "L_Sigma", "chol", "chols", "scale_tril", "cholesky", "chol_cov"),
    "variances": ("variances", "sigma2", "sigmasq", "sigma_sq", "var", "vars", "variance"),
    "sds": ("sds", "sigma", "sigmas", "sd", "scale", "scales", "std", "stds"),
}
"""Names by form. A name that is in two forms (``sigma``) is read by its shape."""


def usual_names(variables: dict[str, np.ndarray]) -> dict[str, str]:
    """The argument ``names`` for variables (chain, draw, …) with usual names; empty if it is not clear what is what.

    It is read from shapes, too: weights (K,) are at least 0 and sum to 1 in each draw, means (K,) or (K, D), spreads
    (K,), (K, D) or (K, D, D). If two variables could be one part of θ, none is.
    """
    return _found(variables)[0]


def why_unclear(variables: dict[str, np.ndarray]) -> str:
    """Why usual names do not say which variables are θ, in a sentence; empty if they do."""
    return _found(variables)[1]


def _found(variables: dict[str, np.ndarray]) -> tuple[dict[str, str], str]:
    """Names by part of θ where they are not ours; or none, and why."""
    shapes = {name: array.shape[2:] for name, array in variables.items() if array.size and array.dtype.kind in "iuf"}
    named = [name for name in WEIGHTS if len(shapes.get(name, ())) == 1]
    weights = [name for name in named if is_simplex(variables[name], 1e-4)]
    if not weights:
        why = f"{named[0]} is not at least 0 with sum 1 in each draw" if named else "no variable (K,) has a usual name"
        return {}, f"The weights are not clear: {why}."
    if len(weights) > 1:
        return {}, f"Two variables could be the weights: {weights[0]} and {weights[1]}."
    (num,) = shapes[weights[0]]
    means = [name for name in MEANS if shapes.get(name, ())[:1] == (num,) and len(shapes[name]) <= 2]
    if len(means) != 1:
        several = f"{means[0]} and {means[1]} could be the means" if means else f"no means ({num}, D) have a usual name"
        return {}, f"The means are not clear: {several}."
    dim = (*shapes[means[0]], 1)[1]
    usual = [(form, name) for form, names in SPREADS.items() for name in names if name in shapes]
    spreads = [(form, name) for form, name in usual if shapes[name] in _shapes_of(form, num, dim)]
    if len(spreads) != 1:
        there = ", ".join(f"{name} {shapes[name]}" for name in dict.fromkeys(name for _, name in usual))
        return {}, (
            f"The spread is not clear: it needs one of {', '.join(SPREADS)} for each of {num} components. Of usual "
            f"names there is {there or 'none'}."
        )
    form, spread = spreads[0]
    found = {"weights": weights[0], "means": means[0], form: spread}
    return {ours: theirs for ours, theirs in found.items() if ours != theirs}, ""


def draws_in(dataset: Any) -> dict[str, np.ndarray]:
    """The variables (chain, draw, …) of a dataset."""
    return {str(name): array.values for name, array in dataset.data_vars.items() if array.dims[:2] == ("chain", "draw")}


def _shapes_of(form: str, num: int, dim: int) -> tuple[tuple[int, ...], ...]:
    if form in ("covariances", "scale_trils"):
        return ((num, dim, dim),)
    # As many numbers as components and as features: one for each of which?
    return ((num, dim),) if num == dim > 1 else ((num,), (num, dim))
