"""What a run or a file of draws says of itself."""

from typing import Any

from bayesgmm.relabelling.result import Relabelling
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.convergence import smallest_bfmi
from bayesgmm.results.draws import Draws
from bayesgmm.results.posterior import Posterior

SAMPLE_STATS = ("permutation", "naming", "diverging", "energy")
"""Variables that are read from ``sample_stats`` of a DataTree, if present (``naming`` in files of version 0.1.0)."""


def run_facts(draws: Draws, found: Relabelling) -> dict[str, Any]:
    """Name, permutations, divergences, E-BFMI and k-hat of the run; of a DataTree, as far as it contains them."""
    source = draws.source
    if isinstance(source, Posterior):
        approximate = isinstance(source, ApproximatePosterior)
        return {
            "name": source.algorithm, "permutations": source.permutations, "num_divergences": source.num_divergences,
            "smallest_bfmi": source.smallest_bfmi, "pareto_k": source.pareto_k if approximate else None,
        }  # fmt: skip
    tree = source.children if source is not None else {}
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree else {}
    attrs = source.attrs if source is not None else {}
    recorded = {name: stats[name].transpose("chain", "draw", ...).values for name in SAMPLE_STATS if name in stats}
    permutations = recorded.get("permutation", recorded.get("naming"))
    return {
        "name": str(attrs.get("engine", "draws")),
        "permutations": found.permutations
        if permutations is None or permutations.shape != found.permutations.shape
        else permutations,
        "num_divergences": int(recorded["diverging"].sum()) if "diverging" in recorded else 0,
        "smallest_bfmi": smallest_bfmi(recorded.get("energy")),
        "pareto_k": float(attrs["pareto_k"]) if "pareto_k" in attrs else None,
    }
