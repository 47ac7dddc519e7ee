"""Known classes from a column of a file: numbers or words, blank where unknown."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8
"""Classes that are listed in the note on their numbers."""


def number_classes(column: "pd.Series") -> tuple[np.ndarray, str]:
    """Classes (N,) as integers from 0 with -1 for unknown, and a note that tells which number each has.

    Whole numbers from 0 on stay as they are (-1 is unknown). Other numbers are numbered in ascending order, words in
    alphabetical order. Blank values are unknown.

    Raises
    ------
    DataError
        If the column holds no class.
    """
    texts = column.map(str).str.strip().mask(column.isna(), "").to_numpy(str)
    values = _as_numbers(texts)
    texts = texts if values is None else values
    known = texts != "" if values is None else ~(np.isnan(values) | (values == -1))
    if not known.any():
        raise DataError(f"The column {column.name} holds no class. Give the name of a column of classes.")
    names, numbers = np.unique(texts[known], return_inverse=True)
    unknown = len(texts) - int(known.sum())
    rest = f"; {unknown} rows unknown" if unknown else ""
    labels = np.full(len(texts), -1)
    if values is not None and names[0] == 0 and (names == np.round(names)).all():
        labels[known] = texts[known].astype(int)
        return labels, f"classes {column.name}: 0 to {int(names[-1])}, as in the file{rest}"
    labels[known] = numbers
    said = ", ".join(f"{_shown(name)} is {k}" for k, name in enumerate(names[:SHOWN]))
    return labels, f"classes {column.name}: {said}{', …' if len(names) > SHOWN else ''}{rest}"


def _as_numbers(texts: np.ndarray) -> np.ndarray | None:
    """The texts as numbers, NaN where blank; None if one of them is no number."""
    try:
        return np.array([float(text) if text else np.nan for text in texts])
    except ValueError:
        return None


def _shown(name: Any) -> str:
    return f"{name:g}" if isinstance(name, float) else str(name)
