"""The option ``--save`` of the command line."""

from pathlib import Path
from typing import Any

from bayesgmm.comparison.terminal import say
from bayesgmm.errors import ArgumentError, visible
from bayesgmm.runtime.files import Output
from bayesgmm.saving.container import MANIFEST


def draws_of(path: str) -> Any:
    """The draws in a file: a DataTree as ArviZ writes it, or a saved posterior (also in a folder ``….zarr``).

    Raises
    ------
    ArgumentError, LoadError, DrawsError
        If it is none of them, or damaged.
    """
    from bayesgmm.results.draws_file import read_tree
    from bayesgmm.results.of_chains import OfChains

    if not path.lower().endswith(".zarr"):
        tree = read_tree(path)
        if MANIFEST not in tree.attrs:
            return tree
    from bayesgmm.saving.results import load

    found = load(path)
    if not isinstance(found, OfChains):
        raise ArgumentError(
            f"{visible(path[:200])} holds a saved {type(found).__name__}, which has no draws. Give a posterior, as "
            "bayesgmm sample … --save FILE.nc writes."
        )
    return found


def check_save(path: str | None) -> Path | None:
    """The path of ``--save``, checked before the run; None if it was not given.

    Raises
    ------
    ArgumentError
        If it has another suffix than .nc and .zarr, or its folder takes no files.
    """
    if path is None:
        return None
    from bayesgmm.saving.container import checked_path

    place = checked_path(path, "--save")
    Output(place.parent, "--save")
    return place


def save_to(place: Path | None, result: Any, output: Output) -> None:
    """Save a result where ``--save`` says. A failure is one of the problems of the output, and loses nothing else."""
    if place is None:
        return
    from bayesgmm.saving.results import save

    try:
        say(f"Saved, for bayesgmm.load: {visible(str(save(result, place)))}")
    except ArgumentError as error:
        output.problems.append(str(error))
