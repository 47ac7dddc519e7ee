"""Save a result to one file or folder, and load it again."""

from os import PathLike
from pathlib import Path
from typing import Any

from bayesgmm.comparison.manifest import versions
from bayesgmm.data.left_out import RowsLeftOut, totals_of
from bayesgmm.data.paths import short
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError, LoadError
from bayesgmm.problem import Model
from bayesgmm.runtime.checks import check_flag
from bayesgmm.runtime.files import reason
from bayesgmm.saving.classes import KINDS, name_of
from bayesgmm.saving.container import checked_path, read_container, refuse_foreign, write_container
from bayesgmm.saving.reading import Reader
from bayesgmm.saving.records import Writer


def save(result: Any, path: str | PathLike, *, data: bool = True) -> Path:
    """Save a result to one file. `load` gives it back, with the same methods and the same numbers to the last bit.

    The file holds arrays and a manifest in JSON (settings, seed, prior, versions, a digest of each array), and no
    pickle: to load it runs nothing that stands in it.

    Parameters
    ----------
    result
        A `MixtureFit`, `Posterior` (of any engine), `Comparison`, `FitTable`, `ClassMixtures`, `Study`, `Mixture`,
        `Partition`, `Relabelling` or `Evidence`.
    path
        Ends in ``.nc`` (NetCDF, one file) or ``.zarr`` (Zarr, a folder; needs the extra ``zarr``). An earlier result
        there is replaced, once the new one is complete.
    data
        Whether the rows of the data are saved too, with their weights, labels and errors. Without them a loaded result
        predicts new rows; what needs its own rows says so, and takes them from ``load(path, data=x)``.

    Returns
    -------
    pathlib.Path
        Where it is.

    Raises
    ------
    ArgumentError
        If this is nothing that can be saved, the suffix is another, something else has this name, or the path cannot be
        written.
    """
    place, rows = checked_path(path), check_flag("data", data)
    kind = name_of(type(result))
    if kind not in KINDS:
        raise ArgumentError(
            f"A {type(result).__name__} cannot be saved. These can: {', '.join(KINDS)}. Arrays and tables have methods "
            "of their own (numpy.save, to_csv)."
        )
    refuse_foreign(place)
    writer = Writer(rows)
    content = writer.record(result, kind.lower())
    manifest = {"kind": kind, "about": _about(result), "versions": versions(), "content": content}
    try:
        write_container(place, manifest, writer.arrays)
    except OSError as error:
        raise ArgumentError(
            f"The result could not be written to {short(place)} ({reason(error)}). Choose another path."
        ) from None
    return place


def load(path: str | PathLike, *, data: Any = None) -> Any:
    """Load a result that `save` wrote. Nothing in the file is run, and every array is checked by its digest.

    Parameters
    ----------
    path
        The file ``….nc`` or the folder ``….zarr``.
    data
        The rows of the result, if they were left out; as `fit_em` takes them, with what else was known by `rows`.

    Returns
    -------
    MixtureFit, Posterior, Comparison, FitTable, ClassMixtures, Study, Mixture, Partition, Relabelling or Evidence
        As it was saved.

    Raises
    ------
    ArgumentError
        If the path has another suffix, or ``data`` is given for a result that lacks no rows.
    LoadError
        If there is no saved result, it is damaged or changed, or a newer bayesgmm wrote it.
    DataError
        If ``data`` has other rows than the result.
    """
    place = checked_path(path)
    manifest, arrays = read_container(place)
    without: list[RowsLeftOut] = []

    def with_data(table: RowsLeftOut) -> Table:
        without.append(table)
        return table.with_rows(data)

    content = manifest.get("content")
    if manifest.get("kind") not in KINDS or not isinstance(content, dict) or content.get("!") != manifest["kind"]:
        raise LoadError(f"{short(place)} cannot be loaded: its manifest does not say what it holds.")
    try:
        found = Reader(arrays, None if data is None else with_data).result(content)
    except LoadError as error:
        raise LoadError(f"{short(place)} cannot be loaded: {error}") from None
    if data is not None and not without:
        raise ArgumentError(f"{short(place)} lacks no rows, so data has no use. Leave it out.")
    return found


def _about(result: Any) -> dict[str, Any]:
    """What the result is, for those who read the manifest."""
    model = getattr(result, "model", None)
    if not isinstance(model, Model):
        return {}
    table, prior = model.table, model.prior
    return {
        "engine": getattr(result, "algorithm", None), "rows": table.num_rows, "features": list(table.features),
        "known of the rows": table.about, "covariance_type": model.family.name,
        "components": model.num_gaussians, "noise": table.noise is not None,
        "prior": None if prior is None else prior.describe(model.family),
        "fixed": None if model.fixed is None else model.fixed.code(),
        "fingerprint of the data": totals_of(table).fingerprint,
    }  # fmt: skip
