"""Words of titles about the mixing of chains."""

from bayesgmm.numerics.mixing import UNKNOWN, mixing_state


def mixing_title(rhat: float, ess: float, num_chains: int) -> str:
    """The state of chains, from the worst R-hat and the smallest ESS, and these figures."""
    state = mixing_state(rhat, ess, num_chains)
    return "R-hat is not defined" if state == UNKNOWN else f"{state} (R-hat {rhat:.3f}, ESS {ess:,.0f})"
