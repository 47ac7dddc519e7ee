"""The verdict on draws with an unknown number of components, in sentences."""

from typing import Any

import numpy as np

from bayesgmm.numerics.mixing import SHORT, UNKNOWN, UNMIXED, draws_to_add, figures
from bayesgmm.results.verdict import unknown_words
from bayesgmm.runtime.formatting import fitting, for_terminal

SHOWN = 0.05
"""Numbers of clusters with a smaller share of the draws are not listed."""
EMPTY = 0.5
"""Mean number of components without rows from which K and K₊ are said to differ."""
NAMES = {"num_components": "K", "num_clusters": "K₊", "concentration": "the concentration"}


def words(found: Any) -> list[str]:
    """The sentences of the verdict, the most important first."""
    return [_mixing(found), *_chains(found), *_truncation(found), _clusters(found), *_empty(found), *_next(found)]


def _mixing(found: Any) -> str:
    draws = found.posterior
    if found.mixing == UNKNOWN:
        words = unknown_words(draws.num_chains, draws.num_samples)
        return f"{words[0].upper()}{words[1:]}"
    shown = figures(found.worst_rhat, found.smallest_ess)
    if found.mixed:
        return f"The chains have mixed: they agree on K, K₊ and every label-invariant quantity ({shown})."
    worst = str(found.judged["r_hat"].idxmax())
    shown += f", R-hat is worst in {for_terminal(NAMES.get(worst, worst))}"
    if found.mixing == SHORT:
        more = draws_to_add(found.worst_rhat, found.smallest_ess, draws.num_chains, draws.num_samples)
        return (
            f"The chains are slightly short ({shown}). About {more:,} more draws per chain should suffice "
            f"(extend({more}))."
        )
    if found.stuck:
        return (
            f"The chains have not mixed ({shown}): they stay apart, in {len(found.groups)} groups, and none moves "
            "between them. Do not average over the chains. Longer runs rarely help. A narrower prior of the means may: "
            "empty components are drawn from it, and must fall near rows to become clusters."
        )
    return (
        f"The chains have not mixed ({shown}): they move, but too slowly for their length. K₊ changes only when an "
        "empty component gains rows or a cluster loses its last, which is rare under a wide prior. Run much "
        "longer (extend), or narrow the prior of the means."
    )


def _chains(found: Any) -> list[str]:
    """Chains that differ in their most frequent K₊; within their errors they may differ if they have mixed."""
    drawn = found.posterior.num_clusters
    modes = [int(np.bincount(chain).argmax()) for chain in drawn]
    sizes = sorted(set(modes))
    if found.mixing != UNMIXED or len(sizes) < 2:
        return []
    listed = ", ".join(
        f"{size} in chain{'s' * (modes.count(size) > 1)} {_joined([i for i, one in enumerate(modes) if one == size])}"
        for size in sizes
    )
    return [
        f"The chains differ in their most frequent number of clusters: {listed} (diagnosis.by_chain() has the shares)."
    ]


def _joined(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _truncation(found: Any) -> list[str]:
    draws = found.posterior
    share = draws.share_at_most
    if draws.truncated:
        return [
            f"K is max_components={draws.max_components} in {share:.1%} of the draws, and its prior goes beyond: the "
            "posterior depends on the truncation. Use a larger max_components, or a prior that ends there "
            f"(UniformComponents({draws.max_components}))."
        ]
    largest = draws.components.largest
    if share > 0.05 and largest == draws.max_components and not draws.number_known:
        return [f"K is {largest}, the largest of its prior, in {share:.0%} of the draws: more may be supported."]
    return []


def _clusters(found: Any) -> str:
    table = found.posterior.posterior_of_k()
    share, error = table["posterior_clusters"], table["error_clusters"]
    order = share.sort_values(ascending=False, kind="stable").index
    order = order[: max(1, int((share >= SHOWN).sum()))]
    if share[order[0]] == 1.0:
        return f"Every draw has K₊ = {order[0]} clusters."
    listed = ", ".join(f"{k} in {_percent(share[k], error[k])}" for k in order)
    return f"The number of clusters K₊ is {listed} of the draws (± Monte Carlo errors)."


def _percent(share: float, error: float) -> str:
    if not error > 0:
        return f"{share:.0%}".replace("%", " %")
    return f"{' ± '.join(fitting([100 * share, 100 * error], 100 * error))} %"


def _empty(found: Any) -> list[str]:
    draws = found.posterior
    empty = float((draws.num_components - draws.num_clusters).mean())
    if empty < EMPTY:
        return []
    return [
        f"On average {empty:.1f} components have no rows: K is about the population, and K₊ about these rows. Read K₊ "
        "for the number of clusters."
    ]


def _next(found: Any) -> list[str]:
    size = found.posterior.most_probable[1]
    if size == 1:
        return []
    num = int((found.posterior.num_clusters == size).sum())
    return [f"The components one by one: bg.diagnose(posterior.at({size})), of {num:,} draws."]
