"""Roots of many increasing functions at once, each in its bracket: Newton steps, with bisection where they fail."""

from collections.abc import Callable

import numpy as np

MOST_STEPS = 1200
"""More bisections than doubles lie in any bracket."""


def bracketed_roots(
    function: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray | None = None,
    tolerance: float = 1e-14,
) -> np.ndarray:
    """Where each function is zero, for functions with ``f(low) ≤ 0 ≤ f(high)``.

    Parameters
    ----------
    function
        Takes places (n,) and the numbers of their functions (n,); returns values and slopes. A slope of 0 or NaN asks
        for a bisection. Values may be ±∞.
    low, high
        Brackets, (m,).
    start
        First places; else the middles.
    tolerance
        A value of at most this size ends the search. It also ends where the bracket has no double inside.
    """
    low, high = np.array(low, float), np.array(high, float)
    at = 0.5 * low + 0.5 * high if start is None else np.clip(start, low, high)
    active, last = np.arange(len(at)), np.full(len(at), np.inf)
    for _ in range(MOST_STEPS):
        if not len(active):
            break
        here = at[active]
        values, slopes = function(here, active)
        below = values < 0
        low[active], high[active] = np.where(below, here, low[active]), np.where(below, high[active], here)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            steps = -values / slopes
        middle = 0.5 * low[active] + 0.5 * high[active]
        new = here + np.where(np.isfinite(steps), steps, np.inf)
        good = (new > low[active]) & (new < high[active]) & (np.abs(steps) < 0.5 * last[active])
        new = np.where(good, new, middle)
        last[active] = np.abs(new - here)
        done = (np.abs(values) <= tolerance) | (new <= low[active]) | (new >= high[active]) | (new == here)
        at[active] = np.where(np.abs(values) <= tolerance, here, new)
        active = active[~done]
    return at
