"""The verdict of a comparison."""

from typing import Any

import numpy as np

from bayesgmm.engines.engine import engine_names, find_engine
from bayesgmm.results.clusters import ClustersPosterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import (
    agreement_line,
    fit_line,
    khat_line,
    mixing_line,
    point_line,
    prior_line,
    usable,
)
from bayesgmm.runtime.formatting import listed

Named = tuple[str, Posterior]
MISSED = 0.01
"""A search ends below another estimate if its log-likelihood is lower by more nats than this."""


def verdict_of(comparison: Any) -> list[str]:
    """The conclusions from the results, in a few sentences."""
    lines = [f"{name}: {reason}" for name, reason in comparison.failures.items()] + comparison.remarks
    samplers: list[Named] = list(comparison.samplers.items())
    of_one_number, measure = _of_one_number(comparison), measure_of(comparison)
    lines += [mixing_line(name, posterior) for name, posterior in samplers]
    lines += _stick_line(comparison)
    lines += [f"{name}: {one.remark()}" for name, one in samplers if isinstance(one, ClustersPosterior)]
    if len(of_one_number) >= 2:
        lines.append(agreement_line(*of_one_number[0], *of_one_number[1]))
    for name, approximation in comparison.approximations.items():
        other, sampled = measure if measure and measure[0] != name else (None, None)
        lines.append(khat_line(name, approximation, other, sampled))
    for name, fit in comparison.fits.items():
        line = point_line(name, fit, *measure) if measure else fit_line(name, fit)
        lines.append(f"{line} {find_engine(name).caveat}".rstrip() if name in engine_names() else line)
    lines += _below(comparison)
    under = [(name, fit) for name, fit in comparison.fits.items() if fit.prior is not None]
    under += [measure] if measure else []
    of_prior = prior_line(*under[0]) if under else None
    return [*lines, of_prior] if of_prior else lines


def _below(comparison: Any) -> list[str]:
    """Searches for the maximum of the likelihood that end below the estimate of another column."""
    searches = [(name, fit) for name, fit in comparison.fits.items() if fit.prior is None and fit.algorithm == "em"]
    lines = []
    for name, fit in searches:
        others = {other: one for other, one in comparison.fits.items() if other != name and _of_one_model(one, fit)}
        if not others:
            continue
        other, best = max(others.items(), key=lambda item: item[1].log_likelihood)
        gap = best.log_likelihood - fit.log_likelihood
        if gap > MISSED:
            lines.append(f"{name} is a local maximum: the log-likelihood of {other} is {gap:.1f} higher{_why(best)}")
    return lines


def _of_one_model(one: Any, other: Any) -> bool:
    """Whether likelihoods can be compared: another family, or one without what is held, may have a higher one."""
    return one.family == other.family and (one.model.fixed is None) == (other.model.fixed is None)


def _why(best: Any) -> str:
    """What a higher likelihood means, by the rows of the lightest component whose covariance is estimated alone."""
    free = best.model.held.free("covariances", best.model.num_gaussians)
    rows = float(np.min(best.params.weights[free], initial=np.inf) * best.table.total)
    if not best.family.pooled and rows <= best.family.rows_needed(best.table.dim):
        return (
            f", with a component of {rows:.1f} rows. There the likelihood has no maximum, and only a prior gives an "
            "estimate. Look at these rows: errors, or a cluster of their own?"
        )
    return ". Start the search more often (n_init=100)."


def _stick_line(comparison: Any) -> list[str]:
    """Under a prior by breaking sticks, what a row of the table is."""
    named = [name for name, one in comparison.posteriors.items() if one.by_stick]
    if not named:
        return []
    return [
        f"Component k of {listed(named)} is stick k of the prior: another cluster from draw to draw, in an order that "
        "differs between engines. So do not read the table component by component. Compare label-invariant quantities, "
        "and results[name].by_cluster()."
    ]


def measure_of(comparison: Any) -> Named | None:
    """The draws beside which the other columns are judged: the reference, or a sampler; None without any."""
    return comparison.truth or _measure(_of_one_number(comparison))


def _of_one_number(comparison: Any) -> list[Named]:
    """The samplers whose number of components is given."""
    return [item for item in comparison.samplers.items() if not isinstance(item[1], ClustersPosterior)]


def _measure(samplers: list[Named]) -> Named | None:
    """The sampler beside which the others are judged: the first that has mixed, or is long enough, or any."""
    mixed = next((item for item in samplers if item[1].mixed), None)
    return mixed or next((item for item in samplers if usable(item[1])), samplers[0] if samplers else None)
