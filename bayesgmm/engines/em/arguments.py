"""Checks of the arguments of `fit_em` that need no data."""

from typing import Any

from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.em.online import Schedule
from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.arguments import check_choice, check_count, check_flag, check_number

ALGORITHMS = ("em", "cem", "sem", "daem")
MAX_ITERATIONS = 1000
"""M-steps with all rows, at most, by default."""


def check_arguments(
    algorithm: Any, max_iter: Any, tol: Any, n_init: Any, accelerate: Any, schedule: Schedule | None, checkpoint: Any
) -> tuple[int, float, int]:
    """Largest number of iterations, tolerance and number of starts.

    Raises
    ------
    ArgumentError
        If one is out of its range, or two contradict each other.
    """
    check_choice("algorithm", algorithm, ALGORITHMS)
    check_flag("accelerate", accelerate)
    if schedule is not None and algorithm != "em":
        raise ArgumentError(f"batch_size is for algorithm='em', and not for {algorithm!r}. Leave one of the two out.")
    if schedule is not None and checkpoint is not None:
        raise ArgumentError(
            "checkpoint saves passes over all rows, and no batches. Leave it out; then go on from the result "
            "(init=fit) with a checkpoint."
        )
    least, usual = (1, MAX_ITERATIONS) if schedule is None else (0, 0)
    most = check_count("max_iter", usual if max_iter is None else max_iter, least=least)
    counts = most, check_count("n_init", n_init, most=MOST_CHAINS)
    return counts[0], check_number("tol", tol, low=0.0), counts[1]
