"""Why the covariance of the rows is singular, in words: collinear features, far rows, too few rows."""

import numpy as np

FAR = 1e5
"""Rows are far if a feature is so many interquartile ranges away from its median."""


def _far_rows(values: np.ndarray) -> np.ndarray:
    """Numbers of rows, at most a twentieth of all, that lie far from the others."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    spread = np.where(high > low, high - low, np.inf)
    far = np.flatnonzero((np.abs(values - middle) / spread).max(axis=1) > FAR)
    return far if len(far) <= max(1, len(values) // 20) else far[:0]


def _involved(covariance: np.ndarray) -> np.ndarray | None:
    """Which features are linearly dependent; None if the covariance is not singular."""
    scale = np.sqrt(np.diagonal(covariance))
    if not (scale > 0).all():
        return np.flatnonzero(scale == 0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    singular = values[0] <= 16 * len(scale) * np.finfo(float).eps
    return np.flatnonzero(np.abs(vectors[:, 0]) > 0.05) if singular else None


def dependence(values: np.ndarray, features: tuple[str, ...], covariance: np.ndarray) -> str | None:
    """Why the covariance of all rows is singular, and what to do, in words; None if it is not singular."""
    simple = "or use covariance_type='diag' or 'spherical'"
    num, dim = values.shape
    if num <= dim:
        return (
            f"There are {num} rows for {dim} features. Use more rows than features, drop or combine "
            f"features (for example by PCA); {simple}, with prior='default'"
        )
    involved = _involved(covariance)
    if involved is None:
        return None
    far = _far_rows(values)
    if len(far) and _involved(np.cov(np.delete(values, far, axis=0).T, bias=True)) is None:
        return far_rows(values)
    names = ", ".join(features[i] for i in involved)
    return (
        f"Collinear features: {names} are linearly dependent. "
        f"Drop one of them, replace them by fewer linear combinations (for example by PCA); {simple}"
    )


def far_rows(values: np.ndarray) -> str | None:
    """Which rows lie so far out that the others look alike beside them, and what to do; None if there are none."""
    far = _far_rows(values)
    shown = ", ".join(map(str, far[:8])) + (", …" if len(far) > 8 else "")
    return (
        f"Far rows (counting from 0: {shown}): beside them all other rows look alike. "
        "Check these rows (a wrong unit?), and correct or drop them"
        if len(far)
        else None
    )
