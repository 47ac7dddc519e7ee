"""Rows with what else is known of them: weights, known classes, errors of measurement, gaps."""

from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.data.convert import as_doubles
from bayesgmm.data.covariances import refuse_indefinite
from bayesgmm.data.noise import noise_of
from bayesgmm.data.of_processes import rows_of_processes
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.runtime.arguments import as_key, check_flag
from bayesgmm.runtime.devices import mesh_of


def rows(
    x: Any, *, weights: Any = None, labels: Any = None, errors: Any = None, noise: Any = False, devices: Any = None,
    processes: bool = False, seed: Any = 0,
) -> Table:  # fmt: skip
    """Data together with what else is known of the rows. Every function takes the result as its data.

    The engines and `compare` take the same four arguments by themselves: ``fit_em(x, 2, weights=w)`` is
    ``fit_em(rows(x, weights=w), 2)``.

    Parameters
    ----------
    x
        Data (N, D), as for `fit_em`. NaN marks a value that was not seen; it is integrated out, not imputed.
    weights
        How often each row counts, (N,), or the name of a column of x, which is then no feature. The likelihood of row
        n is taken to the power ``weights[n]``: k for a row that was seen k times. Zero leaves a row out of the fit.
        Engines that draw classes (Gibbs, SEM) take whole numbers only.
    labels
        Known classes, (N,) integers from 0 to K - 1 with -1 for unknown; or (N, K) probabilities that what is known of
        a row would have under each class: 0 excludes a class, and equal numbers say nothing.
    errors
        Standard deviations of the errors of measurement in the units of x, (N, D), or their covariances, (N, D, D):
        each row is a true value plus a Gaussian error of known covariance (extreme deconvolution: Bovy, Hogg & Roweis
        2011). The mixture is then that of the true values. An infinite standard deviation is a gap.
    noise
        True: besides the K Gaussians there is a component of rows that belong to no cluster, uniform over the
        hypervolume of the data (Banfield & Raftery 1993). A number: over this volume. True and False for each row,
        (N,): over the hypervolume, and these rows are noise at the start. It is component K, the last.
    devices
        The devices that share the rows: a number, a list or a mesh (`bayesgmm.runtime.devices.mesh_of`). None: one.
    processes
        True: the data are the rows of all processes of `jax.distributed` (or `join_processes`), in their order, and x
        those of this one, complete. Each process makes the same calls and gets the same results; EM, CAVI, Gibbs
        and NUTS.
    seed
        int or JAX key: for the sample of the rows of all processes from which starts are made.

    Returns
    -------
    Table

    Raises
    ------
    ArgumentError
        If what is known of the rows cannot be, noise meets gaps, errors or labels, or devices are missing.
    DataError
        If x is no table of numbers; in all processes, if it is none in one of them.
    """
    if check_flag("processes", processes):
        if any(part is not None for part in (weights, labels, errors, devices)) or noise not in (None, False):
            raise ArgumentError("Rows of several processes take no weights, labels, errors, noise or devices.")
        return rows_of_processes(lambda: as_table(x), as_key(seed))
    if isinstance(weights, str):
        x, weights = _without_column(x, weights)
    mesh, table, said = mesh_of(devices), as_table(x), noise is not None and noise is not False
    if table.on_disk and (said or any(part is not None for part in (weights, labels, errors, mesh))):
        raise ArgumentError(f"Rows {table.place} take no weights, labels, errors, noise or devices.")
    table = table if devices is None else replace(table, mesh=mesh)
    if weights is not None:
        table = replace(table, weights=_checked_weights(weights, table.num_rows))
    table = table if labels is None else replace(table, labels=_checked_labels(labels, table))
    table = table if errors is None else _with_errors(table, errors)
    if said or table.noise is not None:
        _refuse_with_noise(table)
    return replace(table, noise=noise_of(noise, table.values, table.counted)) if said else table


def _refuse_with_noise(table: Table) -> None:
    for there, what in (
        (table.gaps > 0, "gaps (NaN). Drop or impute these rows"),
        (table.errors is not None, "errors of measurement. Leave out one of the two"),
        (table.labels is not None, "known classes. Leave out one of the two"),
    ):
        if there:
            raise ArgumentError(f"A noise component is not taken together with {what}.")


def described(x: Any, weights: Any, labels: Any, errors: Any, noise: Any = False) -> Any:
    """`rows`, or x itself if nothing more was said."""
    if weights is None and labels is None and errors is None and (noise is None or noise is False):
        return x
    if not isinstance(x, Table) and hasattr(x, "table") and not hasattr(x, "columns"):
        raise ArgumentError("weights, labels, errors and noise describe data; give them where the data are given.")
    return rows(x, weights=weights, labels=labels, errors=errors, noise=noise)


def _without_column(x: Any, name: str) -> tuple[Table, np.ndarray]:
    """The other columns of x, and this one."""
    table = as_table(x)
    if name not in table.features or not table.named:
        known = ", ".join(table.features) if table.named else "without names"
        raise ArgumentError(f"weights names a column {name!r}, which x does not have (its columns: {known}).")
    if table.dim == 1:
        raise ArgumentError(f"weights names {name!r}, the only column of x. Nothing would be left to fit.")
    place = table.features.index(name)
    others = [d for d in range(table.dim) if d != place]
    left = replace(table, values=table.values[:, others], features=tuple(table.features[d] for d in others))
    return left, table.values[:, place]


def _numbers(name: str, values: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Values, and the names of their columns if they have names."""
    try:
        return as_doubles(values)
    except DataError as error:
        raise ArgumentError(f"{name}: {error}") from None


def _checked_weights(weights: Any, num_rows: int) -> np.ndarray:
    weights, _ = _numbers("weights", weights)
    if weights.ndim == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape != (num_rows,):
        raise ArgumentError(f"weights must have shape ({num_rows},), one for each row, got {weights.shape}.")
    for bad, what, advice in (
        (~np.isfinite(weights), "not finite", "Give such a row the weight 0 to leave it out."),
        (weights < 0, "negative", "A row counts 0 times or more."),
    ):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise ArgumentError(f"{bad.sum()} weights are {what} (the first: row {first}). {advice}")
    if not weights.any():
        raise ArgumentError("All weights are 0, so that no row counts.")
    if not np.isfinite(weights.sum()) or weights[weights > 0].min() < np.finfo(float).tiny:
        raise ArgumentError("weights must sum to a finite number, and be 0 or above 1e-307. Divide or multiply them.")
    return weights


def _checked_labels(labels: Any, table: Table) -> np.ndarray:
    num_rows = table.num_rows
    if isinstance(labels, str):
        raise ArgumentError(
            f"labels must hold a class for each row, got {labels!r}. Take the column: labels=x[{labels!r}]."
        )
    try:
        labels = as_doubles(labels)[0]
    except AttributeError:  # pandas.Categorical
        raise ArgumentError(
            "labels must be numbers, such as the codes of a pandas.Categorical (labels.codes)."
        ) from None
    except DataError as error:
        raise ArgumentError(
            f"labels must be numbers: {error} For classes by name: names, labels = numpy.unique(classes, "
            "return_inverse=True)."
        ) from None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or len(labels) != num_rows:
        raise ArgumentError(
            f"labels must have shape ({num_rows},) or ({num_rows}, K), one for each row, got {labels.shape}."
        )
    if labels.ndim == 1:
        labels = np.where(np.isnan(labels), -1.0, labels)
        if (labels != np.round(labels)).any() or labels.min() < -1:
            raise ArgumentError("labels must be integers: classes from 0 to K - 1, and -1 where unknown.")
        return labels.astype(int)
    if not np.isfinite(labels).all() or (labels < 0).any():
        raise ArgumentError("labels (N, K) must be probabilities of the classes: finite and not negative.")
    labels = np.where(table.counted[:, None] > 0, labels, np.maximum(labels, (labels.max(axis=1) <= 0)[:, None]))
    if not (labels.max(axis=1) > 0).all():
        row = int(np.flatnonzero(labels.max(axis=1) <= 0)[0])
        raise ArgumentError(f"labels exclude every class of row {row}. Allow one, or leave the row out (weight 0).")
    return labels / labels.max(axis=1, keepdims=True)


def _with_errors(table: Table, errors: Any) -> Table:
    """The table with covariances of errors; infinite ones become gaps."""
    num, dim = table.values.shape
    try:
        given = np.asarray(errors, float) if np.ndim(errors) == 3 else None
    except (TypeError, ValueError):
        raise ArgumentError("errors must be numbers: standard deviations (N, D) or covariances (N, D, D).") from None
    given = _by_name(errors, table) if given is None else given
    if given.shape == (num,) and dim == 1:
        given = given[:, None]
    if given.shape not in ((num, dim), (num, dim, dim)):
        raise ArgumentError(
            f"errors must have shape {(num, dim)} (standard deviations) or {(num, dim, dim)} (covariances), got "
            f"{given.shape}."
        )
    seen = ~np.isnan(table.values)
    wanted = seen if given.ndim == 2 else seen[:, :, None] & seen[:, None, :]
    if (np.isnan(given) & wanted).any():
        row = int(np.argwhere(np.isnan(given) & wanted)[0][0])
        raise ArgumentError(f"An error of row {row} is NaN. Where the value was not seen, make the value NaN.")
    if given.ndim == 2:
        if (given < 0).any():
            row = int(np.argwhere(given < 0)[0][0])
            raise ArgumentError(f"An error of row {row} is negative: standard deviations are 0 or more.")
        seen = seen & ~np.isinf(given)
        variances = np.where(seen, np.nan_to_num(given, posinf=0.0), 0.0) ** 2
        covariances = variances[:, :, None] * np.eye(dim)
    else:
        if np.isinf(np.where(wanted, given, 0.0)).any():
            raise ArgumentError("A covariance of errors is infinite. Where a value was not seen, make it NaN in x.")
        covariances = np.where(wanted, np.nan_to_num(given), 0.0)
        refuse_indefinite(covariances)
    if not covariances.any():
        return replace(table, values=np.where(seen, table.values, np.nan))
    return replace(table, values=np.where(seen, table.values, np.nan), errors=covariances)


def _by_name(errors: Any, table: Table) -> np.ndarray:
    """Standard deviations with their columns in the order of the data, if both have names."""
    given, names = _numbers("errors", errors)
    if names is None or not table.named or given.ndim != 2 or tuple(names) == table.features:
        return given
    if set(names) != set(table.features) or len(names) != table.dim:
        raise ArgumentError(
            f"errors has columns {', '.join(names)}; the data have {', '.join(table.features)}. Rename the columns, or "
            "pass a plain array in the order of the data."
        )
    return given[:, [names.index(name) for name in table.features]]


def same_for_labels(table: Table, num_components: int) -> np.ndarray:
    """Which pairs of components the labels do not tell apart, (K, K)."""
    labels = table.labels
    if labels is None:
        return np.ones((num_components, num_components), bool)
    if labels.ndim == 1:
        free = np.bincount(labels[labels >= 0], minlength=num_components) == 0
        return (free[:, None] & free) | np.eye(num_components, dtype=bool)
    columns = labels.T
    return np.array([[np.array_equal(one, other) for other in columns] for one in columns])


def without_rows(table: Table, num_components: int) -> list[int]:
    """Components to which the labels leave no row: all rows are known to be of others."""
    labels = table.labels
    if labels is None:
        return []
    labels = labels if table.weights is None else labels[table.weights > 0]
    if labels.ndim == 2:
        possible = (labels > 0).any(axis=0)
    else:
        possible = (np.bincount(labels[labels >= 0], minlength=num_components) > 0) | (labels < 0).any()
    return np.flatnonzero(~possible).tolist()


def check_occupied(table: Table, num_components: int) -> None:
    """Refuse components to which the labels leave no row: without a prior nothing is known of them.

    Raises
    ------
    ArgumentError
        If there is such a component.
    """
    if empty := without_rows(table, num_components):
        raise ArgumentError(
            f"The labels leave no row to component {', '.join(map(str, empty))}. Use as many components as there are "
            "classes, or a prior."
        )


def fits_labels(table: Table, num_components: int) -> bool:
    """Whether the labels can be those of K components; see `check_classes`."""
    labels = table.labels
    if labels is None:
        return True
    return bool(labels.shape[1] == num_components if labels.ndim == 2 else labels.max() < num_components)


def check_classes(table: Table, num_components: int) -> None:
    """Refuse known classes that are not those of K components.

    Raises
    ------
    ArgumentError
        If a label is K or more, or there are not K probabilities for each row.
    """
    labels = table.labels
    if labels is None or fits_labels(table, num_components):
        return
    if labels.ndim == 2:
        raise ArgumentError(
            f"labels hold probabilities of {labels.shape[1]} classes for {num_components} components. Give one column "
            "for each component."
        )
    raise ArgumentError(
        f"labels go up to {labels.max()}, but there are {num_components} components: classes 0 to "
        f"{num_components - 1}. Use n_components={labels.max() + 1}, or number the classes from 0."
    )
