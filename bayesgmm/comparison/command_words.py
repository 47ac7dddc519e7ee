"""What the words of the command line mean: lists, numbers of components, pairs, files of draws."""

import os
from pathlib import Path
from typing import Any

from bayesgmm.engines.engine import engine_names
from bayesgmm.errors import ArgumentError
from bayesgmm.results.draws_file import read_tree

MOST_SIZES = 1000
"""Most numbers of components of one table."""


def split(text: str | None) -> list[str] | None:
    """The parts of a comma-separated list; None for no text."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def sizes(text: str) -> list[int]:
    """Numbers of components: ``3``, ``1:9`` or ``2,4,6``.

    Raises
    ------
    ArgumentError
        If the text is none of these, or there are more than `MOST_SIZES`.
    """
    try:
        parts = [[int(end) for end in part.split(":")] for part in text.split(",")]
        if any(part[-1] - part[0] >= MOST_SIZES for part in parts):
            raise ArgumentError(f"-k {text} asks for more than {MOST_SIZES} numbers of components. Each is a fit.")
        if down := [part for part in parts if len(part) == 2 and part[0] > part[1]]:
            low, high = down[0][1], down[0][0]
            raise ArgumentError(f"-k {text} counts down. Give the smaller number first: {low}:{high}.")
        found = [size for part in parts for size in range(part[0], part[-1] + 1) if len(part) <= 2]
    except ArgumentError:
        raise
    except ValueError:
        found = []
    if not found:
        raise ArgumentError(f"-k must be a number, a range or a list, such as 3, 1:9 or 2,4,6; got {text!r}.")
    return found


def pairs(text: str | None) -> dict[str, str]:
    """Names of variables, by what they are: ``weights=w,means=mu``.

    Raises
    ------
    ArgumentError
        If a part is no pair, or a name stands twice.
    """
    found: dict[str, str] = {}
    for part in split(text) or []:
        ours, equals, theirs = map(str.strip, part.partition("="))
        if not equals:
            raise ArgumentError(f"--names takes pairs such as weights=w,means=mu,variances=s2; got {part!r}.")
        if ours in found:
            raise ArgumentError(f"--names has {ours} twice, as {found[ours]} and as {theirs}. Keep one of them.")
        found[ours] = theirs
    return found


def given_results(also: list[str], reference: str | None, names: dict[str, str]) -> tuple[dict[str, Any], Any]:
    """The further columns by name, and the reference: the name of an engine or of a column, or draws.

    Raises
    ------
    ArgumentError
        If ``--also`` has a word that is no pair, or `names` are given without a file.
    DrawsError
        If a file cannot be read.
    """
    columns = _columns(also, names)
    truth = _reference(reference, columns, names)
    if names and not columns and (truth is None or isinstance(truth, str)):
        raise ArgumentError("--names is about files of draws, and there are none. Add --also NAME=FILE.nc.")
    return columns, truth


def _columns(also: list[str], names: dict[str, str]) -> dict[str, Any]:
    """The files of ``--also NAME=FILE.nc`` by name."""
    found: dict[str, Any] = {}
    for word in also:
        name, equals, path = map(str.strip, word.partition("="))
        if not equals or not name or not path:
            raise ArgumentError(f"--also takes a name and a file, such as stan=draws.nc; got {word!r}.")
        if name in found:
            raise ArgumentError(f"--also has {name} twice. Give each file a name of its own.")
        found[name] = _draws(path, names)
    return found


def _reference(text: str | None, columns: dict[str, Any], names: dict[str, str]) -> Any:
    """What ``--reference`` says: a name as it is, or the draws of a file."""
    if text is None or text in columns or text in engine_names():
        return text
    is_file = (
        text.endswith(".nc") or Path(text).name != text or os.path.exists(text)
    )  # Path.exists raises on long names
    return _draws(text, names) if is_file else text


def _draws(path: str, names: dict[str, str]) -> Any:
    tree = read_tree(path)
    return (tree, {"names": names}) if names else tree
