"""When chains have mixed: one classification, from which every sentence, title and table about mixing comes."""

import math

GOOD_RHAT = 1.01
GOOD_ESS = 100
"""Thresholds of Vehtari et al. (2021): R-hat below 1.01, at least 100 effective draws (bulk and tail) per chain."""
CLEARLY = 1.05
"""R-hat from which chains clearly have not mixed."""
MOST_TIMES = 10
"""Chains that need at most this many times their draws are called slightly short."""
FEWEST_DRAWS = 4
"""R-hat is not defined with fewer draws per chain."""
COUNTS = ("occupied", "num_modes")
"""Counts: they do not assess mixing, because R-hat is meaningless for rare events."""
UNKNOWN, MIXED, SHORT, UNMIXED = "unknown", "mixed", "slightly short", "not mixed"


def mixing_state(rhat: float, ess: float, num_chains: int) -> str:
    """Whether chains have mixed, from the worst R-hat and the smallest ESS (bulk or tail); NaN: unknown."""
    if math.isnan(rhat) or math.isnan(ess):
        return UNKNOWN
    if rhat < GOOD_RHAT and ess > GOOD_ESS * num_chains:
        return MIXED
    return SHORT if rhat < CLEARLY and ess * MOST_TIMES >= GOOD_ESS * num_chains else UNMIXED


def figures(rhat: float, ess: float) -> str:
    """The two figures of chains, as every sentence and title shows them."""
    return f"worst R-hat {f'{rhat:.3f}' if rhat < 100 else 'above 100'}, smallest ESS {ess:.0f}"


def draws_to_add(rhat: float, ess: float, num_chains: int, num_samples: int) -> int:
    """Draws per chain that short chains lack, in hundreds: ESS grows as the draws do, and R-hat - 1 falls as they do.

    A fifth is added, since both figures are noisy.
    """
    times = max(GOOD_ESS * num_chains / ess, (rhat - 1.0) / (GOOD_RHAT - 1.0), 1.0)
    return max(100, math.ceil((1.2 * times - 1.0) * num_samples / 100) * 100)
