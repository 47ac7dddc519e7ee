"""Kinds of rows beside complete rows that count once, and their refusal where they are not taken."""

from collections.abc import Collection

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError

WEIGHTS, FRACTIONS, GAPS, ERRORS, LABELS, REPEATED, NOISE, ON_DISK = (
    "weights", "fractional weights", "gaps", "errors", "labels", "repeated incomplete rows", "noise", "rows on disk"
)  # fmt: skip
CLASSES_DRAWN = (FRACTIONS, REPEATED)
"""Not taken by engines that draw z: there is a z for each time that a row counts."""
UNLIKE_SIMULATED = (WEIGHTS, GAPS, ERRORS)
"""Not taken by checks that compare rows with simulated ones, which are complete and count once."""
COPIES_DRAWN = (FRACTIONS, GAPS, ERRORS)
"""Not taken by engines that draw several z of each row: they do not draw a true row for each."""
NOT_TEMPERED = (GAPS, ERRORS, NOISE, ON_DISK)
"""Not taken by Gibbs with replicas at several temperatures."""
WORDS = {
    WEIGHTS: "rows with weights",
    FRACTIONS: "weights that are not whole numbers: it draws a class for each time that a row counts",
    GAPS: "rows with gaps (NaN)",
    ERRORS: "errors of measurement",
    LABELS: "known classes",
    REPEATED: (
        "rows with gaps or errors that count more than once: it draws a true row for each time. Repeat such rows "
        "(numpy.repeat)"
    ),
    NOISE: "a noise component",
    ON_DISK: "rows on disk or of several processes (open_rows, processes=True)",
}


def kinds_of(table: Table) -> list[str]:
    """What is known of the rows beside their values, or is missing."""
    weights = table.weights
    found = {
        WEIGHTS: weights is not None,
        FRACTIONS: weights is not None and bool((weights != np.round(weights)).any()),
        GAPS: table.gaps > 0,
        ERRORS: table.errors is not None,
        LABELS: table.labels is not None,
        REPEATED: weights is not None and not table.complete and bool((weights > 1).any()),
        NOISE: table.noise is not None,
        ON_DISK: table.on_disk,
    }
    return [kind for kind, is_there in found.items() if is_there]


def check_rows(name: str, refused: Collection[str], table: Table, advice: str) -> None:
    """Refuse rows of a kind that an engine or a check does not take, and say what to use instead.

    Raises
    ------
    ArgumentError
        If there are such rows.
    """
    wrong = [kind for kind in kinds_of(table) if kind in refused]
    if wrong:
        raise ArgumentError(f"{name} does not take {WORDS[wrong[0]]}. {advice}")
