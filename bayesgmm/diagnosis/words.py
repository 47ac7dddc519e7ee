"""The verdict of a diagnosis in sentences: what the draws support, the numbers behind it, and what to do next."""

from typing import Any

import numpy as np

from bayesgmm.diagnosis.missed_modes import MissedMode
from bayesgmm.numerics.importance import GOOD_K
from bayesgmm.numerics.mixing import SHORT, UNKNOWN, draws_to_add, figures
from bayesgmm.relabelling.result import WHOSE, numbering_of, told_apart
from bayesgmm.results.convergence import GOOD_BFMI
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import (
    basins,
    gibbs_takes,
    pooled,
    short_words,
    tempered,
    tempering_takes,
    unknown_words,
    unmixed_advice,
)
from bayesgmm.runtime.formatting import for_terminal

DOUBTFUL_PAIR = 0.05
"""Two components are reported as not distinguishable if their pair ambiguity exceeds this share of draws."""


def words(found: Any) -> list[str]:
    """The sentences of the verdict, the most important first."""
    lines = [_mixing(found), *_modes(found)]
    if found.missed is not None:
        lines.append(_missed(found))
    elif not found.searched and found.pareto_k is None and found.mixed:
        lines.append(
            "EM did not search for modes that no chain reached. The search needs a Posterior, and search=True."
        )
    lines += [_labels(found), *_components(found), *_number(found), *_sampler(found)]
    return [line for line in lines if line]


def _mixing(found: Any) -> str:
    if found.pareto_k is not None and np.isnan(found.pareto_k):
        return "Independent draws of an approximation: too few draws for Pareto k-hat. Draw more."
    if found.pareto_k is not None:
        trust = (
            "acceptable (at most 0.7)"
            if found.pareto_k <= GOOD_K
            else "too large (above 0.7): sample the posterior instead"
        )
        return f"Independent draws of an approximation. Pareto k-hat {found.pareto_k:.2f} is {trust}."
    chains, num = found.relabelling.draws.shape
    if found.mixing == UNKNOWN:
        return _capital(unknown_words(chains, num, pooled(_posterior(found))))
    shown = figures(found.worst_rhat, found.smallest_ess)
    if found.mixed:
        return f"The chains have mixed: they agree on every label-invariant quantity ({shown}).{_elsewhere(found)}"
    worst, source = for_terminal(str(found.judged["r_hat"].idxmax())), _posterior(found)
    shown += f", R-hat is worst in {worst}"
    if found.mixing == SHORT:
        if source is not None:
            lack = short_words(source, found.worst_rhat, found.smallest_ess)
        else:
            more = draws_to_add(found.worst_rhat, found.smallest_ess, chains, num)
            lack = f"About {more:,} more draws per chain should be enough."
        return f"The chains are slightly short ({shown}). {lack}{_elsewhere(found)}"
    if found.stuck:
        return (
            f"The chains have not mixed ({shown}): they stay in {len(found.groups)} different modes, and none moves "
            "between them. Label switching is not the cause: the quantities are label-invariant. Do not average over "
            f"the chains.{_elsewhere(found)} {_stuck_advice(source)}"
        )
    return (
        f"The chains have not mixed ({shown}): they move, but too slowly for their length.{_elsewhere(found)} "
        f"{unmixed_advice(source)}"
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _elsewhere(found: Any) -> str:
    """The figures of ``posterior.convergence``, where they differ from those of the diagnosis, and why they do."""
    source = _posterior(found)
    if source is None:
        return ""
    if "thinned" in found.view.attrs:
        return f" These are figures of {found.view.attrs['thinned'].split(',')[0]}."
    theirs = figures(source.worst_rhat, source.smallest_ess)
    if theirs == figures(found.worst_rhat, found.smallest_ess):
        return ""
    return f" Without the entropy of the classes, as in the table of convergence: {source.mixing}, {theirs}."


def _posterior(found: Any) -> Posterior | None:
    """The posterior whose draws were diagnosed; None for draws of other software."""
    source = found.relabelling.draws.source
    return source if isinstance(source, Posterior) else None


def _stuck_advice(source: Posterior | None) -> str:
    if source is not None and not tempering_takes(source):
        fewer = "" if source.model.in_order else ", or try fewer components"
        return f"Longer runs rarely help: compare the modes{fewer}."
    return f"Use {tempered(source)} to estimate the share of each mode."


def _modes(found: Any) -> list[str]:
    if not found.stuck:
        return []
    lines = []
    log_posteriors = found.by_group()["log_posterior"] if "log_posterior" in found.view else None
    for i, (group, weight) in enumerate(zip(found.groups, found.stacking, strict=True)):
        log_posterior = "" if log_posteriors is None else f": mean log posterior {log_posteriors.iloc[i]:.1f}"
        share = "" if np.isnan(weight) else f", stacking weight {weight:.2f}"
        lines.append(f"Mode {i + 1}, chain{'s' * (len(group) > 1)} {', '.join(map(str, group))}{log_posterior}{share}.")
    if np.isfinite(found.stacking).all():
        lines.append(
            "Stacking weights give the mixture of these modes that predicts best. They are not shares of the posterior."
        )
    return lines


def _missed(found: Any) -> str:
    missed: MissedMode = found.missed
    side = "above" if missed.higher_by >= 0 else "below"
    start = (
        f"EM finds a mode that the draws do not show. Its log posterior density is {abs(missed.higher_by):.1f} {side} "
        "that of their highest mode"
    )
    if np.isnan(missed.log_mass_ratio):
        return f"{start}. Its share of the posterior is unknown. Start chains from it (init=diagnosis.missed.fit)."
    share = 1.0 / (1.0 + np.exp(-missed.log_mass_ratio))
    percent = f"{share:.0%}" if 0.01 <= share <= 0.99 else "less than 1%" if share < 0.5 else "more than 99%"
    mass = f"By the Laplace approximation it has {percent} of the mass of these modes together"
    if missed.matters:
        source, start_there = _posterior(found), "start chains from it (init=diagnosis.missed.fit)"
        ways = [start_there if source is None or found.pareto_k is not None else basins(source) or start_there]
        ways += [f"use {tempered(source)}"] if source is None or tempering_takes(source) else []
        return f"{start}. {mass}. The draws show a wrong mode, or not all: {', or '.join(ways)}."
    return f"{start}. {mass}: too little to matter."


def _labels(found: Any) -> str:
    if found.pareto_k is not None:
        return ""
    if told_apart(found.relabelling.draws.source):
        numbering = str(numbering_of(found.relabelling.draws.source))
        by = {"labels": "Known classes tell", "fixed": "Held parameters tell"}.get(numbering, "The prior tells")
        return f"{by} the components apart: component k is {WHOSE[numbering]} in every draw, and is not relabelled."
    if numbering_of(found.relabelling.draws.source) == "sticks" and found.num_permutations == 1:
        return (
            "The prior numbers the components by stick, and a stick is another cluster from draw to draw. "
            "Do not read it as one component: posterior.by_cluster() and bg.relabel number the draws by cluster."
        )
    if found.num_permutations == 1:
        return "Labels did not switch."
    how = f"switched {found.num_switches} times within" if found.num_switches else "differed between"
    corrected = (
        "Relabelling corrected it only where components can be told apart."
        if found.relabelling.share_in_doubt > DOUBTFUL_PAIR
        else "This is harmless: relabelling corrected it."
    )
    return f"Labels {how} chains ({found.num_permutations} permutations). {corrected}"


def _components(found: Any) -> list[str]:
    relabelling = found.relabelling
    ambiguity = (
        f"mean ambiguity {relabelling.overall_ambiguity:.2f}, {relabelling.share_in_doubt:.1%} of draws in doubt"
    )
    if told_apart(relabelling.draws.source):
        return []
    pairs = np.argwhere(np.triu(relabelling.pair_ambiguity > DOUBTFUL_PAIR, 1))
    if not len(pairs):
        if found.pareto_k is not None:
            return [f"Components are distinguishable in the draws ({ambiguity})."]
        rhat = found.component_rhat
        if numbering_of(relabelling.draws.source) == "sticks":
            return [f"Numbered by cluster, the components are distinguishable in the draws ({ambiguity})."]
        if found.mixed and rhat < 1.05:
            return [
                f"Components are distinguishable in the draws ({ambiguity}). They can be read one by one "
                f"(R-hat of their parameters is at most {rhat:.3f})."
            ]
        return [f"Components are distinguishable in the draws ({ambiguity})."]
    shown = ", ".join(f"{k} and {j} ({relabelling.pair_ambiguity[k, j]:.0%})" for k, j in pairs[:4])
    more = f" and {len(pairs) - 4} more pairs" if len(pairs) > 4 else ""
    return [
        f"Components {shown}{more} are not distinguishable in that share of draws ({ambiguity}): do not read them one "
        "by one. Use label-invariant quantities, such as densities, partitions and the posterior of z."
    ]


def _number(found: Any) -> list[str]:
    occupied, modes, num = found.occupied, found.modes, found.relabelling.draws.num_gaussians
    if occupied is None or modes is None:
        return []
    if found.by_sticks:
        return _cut_off(occupied, num)
    if not found.too_many:
        return []
    empty, humps = float(occupied[occupied.index < num].sum()), modes.idxmax()
    doubt = found.relabelling.share_in_doubt
    fault = f"{empty:.0%} of draws leave a component empty" + (
        f"; labels are in doubt in {doubt:.0%}" if doubt > 0.05 else ""
    )
    return [
        f"K = {num} is too large for these data: {fault}. Most often {occupied.idxmax()} components are occupied, and "
        f"the density has {humps} modes. Fit fewer components, or read K₊ and the density instead of the components."
    ]


def _cut_off(occupied: Any, num: int) -> list[str]:
    """Whether the sticks end too early. Components without rows are what a prior by breaking sticks expects."""
    share = float(occupied.get(num, 0.0))
    if share <= 0.05:
        return []
    return [f"All {num} components have rows in {share:.0%} of the draws: the process is cut off too early. Raise K."]


def _sampler(found: Any) -> list[str]:
    source, lines = _posterior(found), []
    gibbs = source is None or gibbs_takes(source)
    if found.num_divergences:
        compare = ", or compare with Gibbs" if gibbs else ""
        lines.append(f"{found.num_divergences} transitions diverged: raise target_accept_prob{compare}.")
    if found.smallest_bfmi < GOOD_BFMI:
        lines.append(
            f"E-BFMI {found.smallest_bfmi:.2f} in a chain (below 0.3): it explores the tails too slowly. "
            f"Draw more{', or use Gibbs' if gibbs else ''}."
        )
    return lines
