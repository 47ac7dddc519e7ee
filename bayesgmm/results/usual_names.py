"""The names that Stan, PyMC and NumPyro programs usually give to the parts of a mixture."""

from typing import Any

import numpy as np

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
    shapes = {name: array.shape[2:] for name, array in variables.items() if array.size and array.dtype.kind in "iuf"}
    weights = [name for name in WEIGHTS if len(shapes.get(name, ())) == 1 and _simplex(variables[name])]
    if len(weights) != 1:
        return {}
    (num,) = shapes[weights[0]]
    means = [name for name in MEANS if shapes.get(name, ())[:1] == (num,) and len(shapes[name]) <= 2]
    if len(means) != 1:
        return {}
    dim = (*shapes[means[0]], 1)[1]
    spreads = [
        (form, name)
        for form, names in SPREADS.items() for name in names
        if name in shapes and shapes[name] in _shapes_of(form, num, dim)
    ]  # fmt: skip
    if len(spreads) != 1:
        return {}
    form, spread = spreads[0]
    found = {"weights": weights[0], "means": means[0], form: spread}
    return {ours: theirs for ours, theirs in found.items() if ours != theirs}


def why_unclear(variables: dict[str, np.ndarray]) -> str:
    """Why usual names do not say which variables are θ, in a sentence."""
    shapes = {name: array.shape[2:] for name, array in variables.items() if array.size and array.dtype.kind in "iuf"}
    named = [name for name in WEIGHTS if len(shapes.get(name, ())) == 1]
    weights = [name for name in named if _simplex(variables[name])]
    if not weights:
        why = f"{named[0]} is not at least 0 with sum 1 in each draw" if named else "no variable (K,) has a usual name"
        return f"The weights are not clear: {why}."
    if len(weights) > 1:
        return f"Two variables could be the weights: {weights[0]} and {weights[1]}."
    (num,) = shapes[weights[0]]
    means = [name for name in MEANS if shapes.get(name, ())[:1] == (num,) and len(shapes[name]) <= 2]
    if len(means) != 1:
        several = f"{means[0]} and {means[1]} could be the means" if means else f"no means ({num}, D) have a usual name"
        return f"The means are not clear: {several}."
    usual = [name for names in SPREADS.values() for name in names if name in shapes]
    found = ", ".join(f"{name} {shapes[name]}" for name in dict.fromkeys(usual))
    return (
        f"The spread is not clear: it needs one of {', '.join(SPREADS)} for each of {num} components. Of usual names "
        f"there is {found or 'none'}."
    )


def draws_in(dataset: Any) -> dict[str, np.ndarray]:
    """The variables (chain, draw, …) of a dataset."""
    return {str(name): array.values for name, array in dataset.data_vars.items() if array.dims[:2] == ("chain", "draw")}


def _simplex(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= 0 and np.abs(values.sum(axis=-1) - 1).max() <= 1e-4)


def _shapes_of(form: str, num: int, dim: int) -> tuple[tuple[int, ...], ...]:
    if form in ("covariances", "scale_trils"):
        return ((num, dim, dim),)
    # As many numbers as components and as features: one for each of which?
    return ((num, dim),) if num == dim > 1 else ((num,), (num, dim))
