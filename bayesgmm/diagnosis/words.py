"""A diagnosis in words: what the draws support, with the figures it rests on, and what to do next."""

from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.diagnosis.missed_modes import MissedMode
from bayesgmm.numerics.importance import GOOD_K
from bayesgmm.results.convergence import GOOD_BFMI

if TYPE_CHECKING:
    from bayesgmm.diagnosis.diagnosis import Diagnosis

DOUBTFUL_PAIR = 0.05
"""Share of draws from which on two components are said to be hard to tell apart."""


def words(found: "Diagnosis") -> list[str]:
    """The sentences, the most important first."""
    lines = [_mixing(found), *_places(found)]
    if found.missed is not None:
        lines.append(_missed(found.missed))
    elif not found.searched and found.pareto_k is None and found.mixed:
        lines.append(
            "Modes that no chain has been to were not looked for: that takes the posterior itself, and search=True."
        )
    lines += [_labels(found), *_components(found), *_number(found), *_sampler(found)]
    return [line for line in lines if line]


def _mixing(found: "Diagnosis") -> str:
    if found.pareto_k is not None and np.isnan(found.pareto_k):
        return "Independent draws of an approximation, too few for Pareto k-hat. Draw more."
    if found.pareto_k is not None:
        trust = "may be trusted" if found.pareto_k <= GOOD_K else "are not to be trusted: sample the posterior instead"
        return f"Independent draws of an approximation; Pareto k-hat {found.pareto_k:.2f}: they {trust}."
    if not np.isfinite(found.worst_rhat):
        return "Too few draws, or chains that do not move, to tell whether they have mixed. Draw more."
    figures = f"worst R-hat {found.worst_rhat:.3f}, smallest ESS {found.smallest_ess:.0f}"
    if found.mixed:
        single = (
            " One chain alone cannot show that it has been everywhere: run four." if len(found.separation) == 1 else ""
        )
        return f"The chains have mixed: they agree on every label-invariant quantity ({figures}).{single}"
    worst = found.judged["r_hat"].idxmax()
    if found.stuck:
        return (
            f"The chains have not mixed ({figures}, in {worst}): they keep to {len(found.groups)} different places, and none "
            "moves between them. These are modes of the posterior, not labels: what is compared does not depend on labels. Do "
            "not average over the chains; let Gibbs temper (tempering=12) to learn each mode's share."
        )
    return (
        f"The chains have not mixed ({figures}, in {worst}): they move, but too slowly for their length. Run longer "
        "(extend), let Gibbs temper (tempering=12), or try fewer components."
    )


def _places(found: "Diagnosis") -> list[str]:
    if not found.stuck:
        return []
    lines = []
    heights = found.by_group()["log_posterior"] if "log_posterior" in found.view else None
    for i, (group, weight) in enumerate(zip(found.groups, found.stacking, strict=True)):
        height = "" if heights is None else f": mean log posterior {heights.iloc[i]:.1f}"
        share = "" if np.isnan(weight) else f", stacking weight {weight:.2f}"
        lines.append(f"Place {i + 1}, chain{'s' * (len(group) > 1)} {', '.join(map(str, group))}{height}{share}.")
    if np.isfinite(found.stacking).all():
        lines.append(
            "Stacking weights say which mixture of the places predicts best; they are not shares of the posterior."
        )
    return lines


def _missed(missed: MissedMode) -> str:
    start = (
        f"EM finds a mode to which no chain's draws lead: its log posterior density is higher by {missed.higher_by:.1f}"
    )
    if np.isnan(missed.log_mass_ratio):
        return f"{start}. What share of the posterior it holds is not known; start chains from it (init=diagnosis.missed.fit)."
    odds = np.exp(min(missed.log_mass_ratio, 50.0))
    mass = f"by Laplace's method it holds {odds:.2g} times what the mode holds in which the chains are"
    if missed.matters:
        return f"{start}, and {mass}. The chains share a wrong mode: use init='basins' or tempering=12."
    return f"{start}, but {mass}: too little to matter."


def _labels(found: "Diagnosis") -> str:
    if found.pareto_k is not None:
        return ""
    if found.num_switches:
        return (
            f"Labels switched {found.num_switches} times within chains ({found.num_permutations} numberings): harmless, for the "
            "draws here are in one naming."
        )
    if found.num_permutations > 1:
        return (
            f"Each chain kept to a numbering of its own ({found.num_permutations} in all): harmless, for the draws here are in one "
            "naming."
        )
    return "Labels did not switch."


def _components(found: "Diagnosis") -> list[str]:
    names, num = found.relabelling, found.relabelling.draws.num_components
    told = f"mean ambiguity {names.overall_ambiguity:.2f}, {names.share_in_doubt:.1%} of draws in doubt"
    pairs = [(k, j) for k in range(num) for j in range(k + 1, num) if names.pair_ambiguity[k, j] > DOUBTFUL_PAIR]
    if not pairs:
        rhat = found.component_rhat
        if found.mixed and rhat < 1.05:
            return [
                f"Components can be told apart in the draws ({told}) and read one by one (their worst R-hat {rhat:.3f})."
            ]
        return [f"Components can be told apart in the draws ({told})."]
    shown = ", ".join(f"{k} and {j} ({names.pair_ambiguity[k, j]:.0%})" for k, j in pairs[:4])
    more = f" and {len(pairs) - 4} more pairs" if len(pairs) > 4 else ""
    return [
        f"Components {shown}{more} cannot be told apart in that share of draws ({told}): do not read them one by one; rely on "
        "what does not depend on labels, such as densities, partitions and the posterior of z."
    ]


def _number(found: "Diagnosis") -> list[str]:
    occupied, modes, num = found.occupied, found.modes, found.relabelling.draws.num_components
    if occupied is None or modes is None or not found.too_many:
        return []
    empty, humps = float(occupied[occupied.index < num].sum()), modes.idxmax()
    doubt = found.relabelling.share_in_doubt
    fault = f"{empty:.0%} of draws leave a component empty" + (
        f"; names are in doubt in {doubt:.0%}" if doubt > 0.05 else ""
    )
    return [
        f"K = {num} is more than these data fill: {fault}. Most often {occupied.idxmax()} components are occupied, and the "
        f"density has {humps} modes. Fit fewer components, or read K₊ and the density rather than components."
    ]


def _sampler(found: "Diagnosis") -> list[str]:
    lines = []
    if found.num_divergences:
        lines.append(f"{found.num_divergences} transitions diverged: raise target_accept_prob, or compare with Gibbs.")
    if found.smallest_bfmi < GOOD_BFMI:
        lines.append(
            f"E-BFMI {found.smallest_bfmi:.2f} in a chain: the tails are explored too slowly; draw more, or use Gibbs."
        )
    return lines
