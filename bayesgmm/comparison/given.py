"""Further columns of a comparison: results of the user, checked before any engine runs, relabelled after it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.engines.engine import engine_names, find_engine
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.model.types import Params
from bayesgmm.problem import Model
from bayesgmm.results.draws import Draws, as_draws
from bayesgmm.results.external_draws import features_of
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.given_posterior import check_family, given_posterior, seconds_of, stats_of
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.checks import shown

REFERENCE = "reference"
"""Name of the column of a reference that is not one of the other columns."""
RESERVED = ("summary", "report", "manifest", "errors", "errors_by_quantity", "held_out", "held_out_by_row", REFERENCE)
"""Names of files of a comparison, and of its reference."""
LONGEST_NAME = 40
SAME = 1e-5
"""Relative difference up to which two data sets are the same: other software may store single precision."""
ABOUT = ("names", "component_dim")


def check_given(also: Any) -> dict[str, Any]:
    """The argument ``also``: results by the name of their column.

    Raises
    ------
    ArgumentError
        If it is no mapping, or a name cannot be that of a column and a file.
    """
    if also is None:
        return {}
    if not isinstance(also, Mapping):
        raise ArgumentError(f"also must map names of columns to results, such as {{'stan': tree}}, got {shown(also)}.")
    for name in also:
        plain = isinstance(name, str) and name[:1].isalnum() and all(c.isalnum() or c in "-_." for c in name)
        if not plain or len(name) > LONGEST_NAME:
            raise ArgumentError(
                f"also has the name {shown(name)}. A name is a column and a file: use at most {LONGEST_NAME} letters, "
                "digits, '-', '_' and '.', such as 'stan'."
            )
        if name in engine_names() or name in RESERVED:
            raise ArgumentError(
                f"also has the name {name!r}, which an engine or a file has. Choose another, 'my-{name}'."
            )
    return dict(also)


def read_given(what: str, name: str, value: Any, model: Model) -> MixtureFit | Posterior:
    """A result of the user beside this model, in its own numbering.

    Parameters
    ----------
    what
        The argument that it is, for messages.
    name
        Name of the column.
    value
        A `Posterior`, a `MixtureFit`, draws of other software (see `as_draws`), or a pair of such draws and a mapping
        of ``names`` and ``component_dim``.
    model
        The model of the comparison.

    Raises
    ------
    ArgumentError, DrawsError, DataError, PriorError
        If it is none of these, or is about other data, other features or another number of components.
    """
    if isinstance(value, Posterior | MixtureFit):
        _check_size(what, value.n_components, value.table.dim, model)
        if _order(what, value.table.features, value.table.named, model.table) is not None:
            raise DataError(
                f"{what} has the features in another order ({', '.join(value.table.features)}). Use the order of the "
                "data."
            )
        _check_data(what, value.table, model.table)
        return value
    try:
        about = {}
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
            value, about = value
            unknown = [key for key in about if key not in ABOUT]
            if unknown:
                raise ArgumentError(f"it has the key {shown(unknown[0])}. The keys are {', '.join(ABOUT)}.")
        draws = as_draws(value, **about, fewest_components=1)
    except (DrawsError, ArgumentError, DataError) as error:
        raise type(error)(f"{what}: {error}") from None
    return _from_draws(what, name, draws, model)


def describe(result: MixtureFit | Posterior) -> str:
    """What a column of the user is."""
    if result.algorithm not in engine_names():
        return "given draws of other software"
    return f"{find_engine(result.algorithm).describe(result.model.prior)}, given"


def _from_draws(what: str, name: str, draws: Draws, model: Model) -> Posterior:
    params = draws.params
    if params is None:
        raise DrawsError(
            f"{what} must hold weights, means and covariances (or scale_trils, variances, sds); it has "
            f"{', '.join(draws.variables)}. If they have other names, give a pair: "
            "(draws, {'names': {'means': 'mu'}})."
        )
    table = model.table
    _check_size(what, draws.num_components, params.means.shape[-1], model)
    _check_rows(what, draws, table)
    order = _order(what, *_features(draws), table)
    if draws.table is not None:
        _check_data(what, draws.table, table)
    params = params if order is None else _with_features(params, order)
    check_family(what, params, model)
    return given_posterior(params, model, name, seconds_of(draws.source), stats_of(draws))


def _check_size(what: str, num: int, dim: int, model: Model) -> None:
    if num != model.num_components:
        raise ArgumentError(
            f"{what} has {num} components, the comparison {model.num_components}. Use one number of components."
        )
    if dim != model.table.dim:
        raise DataError(
            f"{what} has {dim} features, the data have {model.table.dim} ({', '.join(model.table.features)}). Use the "
            "features that were fitted."
        )


def _check_rows(what: str, draws: Draws, table: Table) -> None:
    """Refuse another number of rows where the group of the data has several variables."""
    tree: Any = draws.source
    if draws.table is not None or tree is None or "observed_data" not in tree.children:
        return
    rows = {array.shape[0] for array in tree["observed_data"].to_dataset().data_vars.values() if array.ndim}
    if len(rows) == 1 and table.num_rows not in rows:
        raise DataError(f"{what} is about {rows.pop()} rows, the data have {table.num_rows}. Use the same data.")


def _check_data(what: str, theirs: Table, ours: Table) -> None:
    if theirs.num_rows != ours.num_rows:
        raise DataError(f"{what} is about {theirs.num_rows} rows, the data have {ours.num_rows}. Use the same data.")
    order = _order(what, theirs.features, theirs.named, ours)
    values = theirs.values if order is None else theirs.values[:, order]
    for first in range(0, ours.num_rows, 65_536):
        here, there = ours.values[first : first + 65_536], values[first : first + 65_536]
        apart = np.abs(here - there) > SAME * np.maximum(np.abs(here), np.abs(there))
        if apart.any():
            row, column = np.argwhere(apart)[0]
            raise DataError(
                f"{what} is about other data: in row {first + row}, {ours.features[column]} is "
                f"{there[row, column]:.6g} there and {here[row, column]:.6g} here. Use the same rows "
                "in the same order and units."
            )


def _features(draws: Draws) -> tuple[tuple[str, ...], bool]:
    """The names of the features of the draws, and whether they are names of the user."""
    table, source = draws.table, draws.source
    dim = draws.params.means.shape[-1]  # pyright: ignore[reportOptionalMemberAccess]
    empty = Table(np.zeros((1, dim)), tuple(f"x{d}" for d in range(dim)), named=False)
    if draws.means_name is not None and source is not None and not isinstance(source, Posterior):
        names, own = features_of(source["posterior"][draws.means_name], empty)
        if own:
            return names, True
    return (empty.features, False) if table is None else (table.features, table.named)


def _order(what: str, features: tuple[str, ...], named: bool, ours: Table) -> list[int] | None:
    """The place of each of our features among theirs; None if they are in the same order, or one has no names."""
    plain = features == tuple(f"x{d}" for d in range(len(features)))
    if plain or not named or not ours.named or features == ours.features:
        return None
    if set(features) != set(ours.features):
        raise DataError(
            f"{what} has the features {', '.join(features)}, the data have {', '.join(ours.features)}. Use the same "
            "features."
        )
    return [features.index(name) for name in ours.features]


def _with_features(params: Params, order: list[int]) -> Params:
    """θ with its features in another order; a Cholesky factor is that of the permuted covariance."""
    covariances = np.asarray(params.covariances)[..., order, :][..., order]
    return params._replace(means=params.means[..., order], scale_trils=np.linalg.cholesky(covariances))
