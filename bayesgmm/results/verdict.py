"""Verdict sentences on results, with the numbers that support them."""

import numpy as np

from bayesgmm.data.kinds import NOT_TEMPERED, kinds_of
from bayesgmm.data.noise import num_gaussians
from bayesgmm.model.families import CONJUGATE
from bayesgmm.numerics.arrays import sd
from bayesgmm.numerics.mixing import FEWEST_DRAWS, GOOD_ESS, GOOD_RHAT, MIXED, SHORT, UNKNOWN, draws_to_add, figures
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.default import prior_of_data
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.priors.semiconjugate import NormalTimesInverseWishart
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.clusters import ClustersPosterior
from bayesgmm.results.convergence import GOOD_BFMI
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.given_posterior import GivenPosterior
from bayesgmm.results.parameters import parameter_names
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.with_noise import of_gaussians
from bayesgmm.runtime.formatting import for_terminal

FAR = 1.0
"""Posterior sds from which on a point estimate is said to lie apart from a posterior mean."""
HALF = 0.5
"""Share of a variance from which on it is the prior's rather than the data's."""
MOST_ERRORS = 4.0
"""Two samplers agree if no quantity differs by more than this many Monte Carlo standard errors."""

EXTEND_RUN = "Extend the run from which these draws were taken, and take them again (at)."
"""Advice for draws of one number of clusters."""


def mixing_line(name: str, posterior: Posterior) -> str:
    """Whether the chains of one sampler agree, and what to do if not."""
    cut = " It was interrupted." if posterior.interrupted else ""
    if posterior.mixing == UNKNOWN:
        return f"{name}: {unknown_words(posterior.num_chains, posterior.num_samples, pooled(posterior))}{cut}"
    if posterior.num_divergences:
        cut += f" {posterior.num_divergences} transitions diverged."
    if posterior.smallest_bfmi < GOOD_BFMI:
        cut += (
            f" E-BFMI {posterior.smallest_bfmi:.2f} in a chain: it explores the tails too slowly. "
            f"Draw more{', or use Gibbs' if gibbs_takes(posterior) else ''}."
        )
    return f"{name}: {mixing_words(posterior)}{cut}"


def mixing_words(posterior: Posterior) -> str:
    """The state of the chains in a sentence or two; the state is not unknown."""
    rhat, ess = posterior.worst_rhat, posterior.smallest_ess
    shown = figures(rhat, ess)
    if posterior.mixing == MIXED:
        return f"the chains have mixed: they agree on label-invariant quantities ({shown})."
    if posterior.mixing == SHORT:
        return f"the chains are slightly short ({shown}). {short_words(posterior, rhat, ess)}"
    several = "They stay in different modes, or move too slowly: bg.diagnose tells which."
    return (
        f"the chains have not mixed ({shown}). {several if num_gaussians(posterior) > 1 else 'They move too slowly.'} "
        f"Do not use their draws as the posterior. {unmixed_advice(posterior)}"
    )


def pooled(posterior: Posterior | None) -> bool:
    """Whether the draws of several chains stand in one, as those of one K₊ do that chains have in unequal numbers."""
    return isinstance(posterior, ClustersPosterior) and posterior.num_chains == 1 < posterior.settings["num_chains"]


def unknown_words(num_chains: int, num_samples: int, pooled: bool = False) -> str:
    """Why mixing cannot be assessed, and what to do."""
    if pooled:
        return (
            "mixing cannot be assessed: some chains have few of these draws, so that all stand in one chain. Diagnose "
            "the whole run (bg.diagnose of the result of sample_telescoping), and extend it."
        )
    if num_samples >= FEWEST_DRAWS and num_chains == 1:
        return "mixing cannot be assessed: R-hat compares chains, and there is a single one. Run four (num_chains=4)."
    if num_samples < FEWEST_DRAWS:
        return "mixing cannot be assessed: there are too few draws. Draw more."
    return "mixing cannot be assessed: no quantity changes in the draws, or some are not finite."


def short_words(posterior: Posterior, rhat: float, ess: float) -> str:
    """What slightly short chains lack, and how to get it."""
    chains, num = posterior.num_chains, posterior.num_samples
    more = draws_to_add(rhat, ess, chains, num)
    way = f"extend({more})" if posterior.continuation is not None else f"Sampling with num_samples={num + more}"
    way = "Longer chains" if isinstance(posterior, GivenPosterior) else way
    if isinstance(posterior, ClustersPosterior):
        return f"Good are R-hat below {GOOD_RHAT} and ESS above {GOOD_ESS * chains}. {EXTEND_RUN}"
    return (
        f"Good are R-hat below {GOOD_RHAT} and ESS above {GOOD_ESS * chains}. {way} should reach them: about {more:,} "
        "more draws per chain."
    )


def unmixed_advice(posterior: Posterior | None) -> str:
    """What to do about chains that have not mixed, from the most promising to the least."""
    if posterior is None or isinstance(posterior, GivenPosterior):
        return (
            "Run longer, or start from other places; with bayesgmm, use Gibbs with tempering=12, or fewer components."
        )
    if isinstance(posterior, ClustersPosterior):
        return f"{EXTEND_RUN} Or sample this number of components alone (sample_gibbs)."
    ways = ["run longer (extend)" if posterior.continuation is not None else "run longer"]
    if num_gaussians(posterior) > 1:
        ways.append(f"use {tempered(posterior)}" if tempering_takes(posterior) else basins(posterior))
        ways += [] if posterior.model.in_order else ["try fewer components"]
    ways = [way for way in ways if way]
    text = ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return f"{text[0].upper()}{text[1:]}."


def tempered(posterior: Posterior | None) -> str:
    """Gibbs with tempering, with more replicas than the draws were made with."""
    replicas = 1 if posterior is None else posterior.settings.get("tempering", 1)
    if isinstance(replicas, int) and replicas > 1:
        return f"more replicas (tempering={2 * replicas})"
    return "Gibbs with tempering=12"


def basins(posterior: Posterior) -> str:
    """Starts in different modes, unless the draws were made from such."""
    tried = isinstance(posterior.settings.get("init"), str) and posterior.settings["init"] == "basins"
    return "" if tried else "start chains in different modes (init='basins')"


def gibbs_takes(posterior: Posterior) -> bool:
    """Whether Gibbs can sample this model: θ given z has a closed form under the prior."""
    prior = posterior.model.prior
    return (
        prior is not None and prior.components.conjugacy >= Conjugacy.CONDITIONAL and posterior.family.name in CONJUGATE
    )


def tempering_takes(posterior: Posterior) -> bool:
    """Whether Gibbs with tempering takes this model and these data."""
    taken = gibbs_takes(posterior) and not set(NOT_TEMPERED).intersection(kinds_of(posterior.table))
    return taken and not posterior.model.in_order  # tempered chains make no moves of the order of sticks


def khat_line(name: str, approximation: ApproximatePosterior, other: str | None, sampled: Posterior | None) -> str:
    """Whether an approximation is acceptable, and how its sds compare with those of a sampler that has mixed."""
    if np.isnan(approximation.pareto_k):
        return f"{name}: too few draws for Pareto k-hat, so the approximation cannot be assessed. Draw more."
    verdict = "acceptable (at most 0.7)" if approximation.trusted else "above 0.7, not reliable"
    line = f"{name}: Pareto k-hat {approximation.pareto_k:.2f}, {verdict}"
    if np.isneginf(approximation.pareto_k):
        line = f"{name}: independent draws of the posterior itself, which need no correction (Pareto k-hat -∞)"
    if sampled is None or not usable(sampled):
        return f"{line}."
    ours, theirs = (
        np.concatenate([part[0], part[1].ravel()]) for part in (moments(approximation)[1], moments(sampled)[1])
    )
    moving = (ours > 0) & (theirs > 0)
    if not moving.any():
        return f"{line}."
    ratios = ours[moving] / theirs[moving]
    return f"{line}; its sds of weights and means are {ratios.min():.2f} to {ratios.max():.2f} times those of {other}."


def agreement_line(first: str, one: Posterior, second: str, two: Posterior) -> str:
    """Whether two samplers agree on label-invariant quantities, in Monte Carlo standard errors.

    Chains that have not mixed can neither confirm nor refute one another: their Monte Carlo errors are too small.
    """
    a, b = one.convergence, two.convergence
    gap = np.asarray(a["mean"]) - np.asarray(b["mean"])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(gap) / np.hypot(np.asarray(a["mcse"]), np.asarray(b["mcse"]))
    if not np.isfinite(z).any():
        return f"{first} and {second}: too few draws, or constant chains, so they cannot be compared."
    worst, quantity = np.nanmax(z), for_terminal(str(a.index[np.nanargmax(z)]))
    doubts = [_doubt(name, result) for name, result in ((first, one), (second, two)) if not usable(result)]
    if doubts:
        return f"{first} and {second}: no comparison, since {' and '.join(doubts)} (largest z {worst:.1f}, {quantity})."
    if worst < MOST_ERRORS:
        return (
            f"{first} and {second} agree on every label-invariant quantity within Monte Carlo error "
            f"(largest z {worst:.1f})."
        )
    return (
        f"{first} and {second} disagree: {quantity} differs by {worst:.1f} Monte Carlo standard errors. R-hat sees no "
        "mode that all chains of a sampler miss: at least one of the two misses a part of the posterior."
        + (" Run bg.diagnose on both." if num_gaussians(one) > 1 else "")
    )


def _doubt(name: str, posterior: Posterior) -> str:
    """Why draws cannot stand beside other results."""
    return f"mixing of {name} cannot be assessed" if posterior.mixing == UNKNOWN else f"{name} has not mixed"


def usable(posterior: Posterior) -> bool:
    """Whether chains are long enough to stand beside other results: mixed, or slightly short."""
    return posterior.mixing in (MIXED, SHORT)


def point_line(name: str, fit: MixtureFit, other: str, posterior: Posterior) -> str:
    """How far a point estimate lies from a posterior mean, in posterior standard deviations."""
    means, sds = (np.concatenate([part[0], part[1].ravel()]) for part in moments(posterior))
    point = np.concatenate([fit.params.weights, fit.params.means.ravel()])
    moving = sds > 0  # a single weight is 1 in every draw
    if not moving.any():
        return f"{name} and {other}: no comparison, since the draws of {other} are constant."
    names = parameter_names(posterior.table, posterior.n_components)
    own = [of_gaussians(one, posterior.table, posterior.n_components) for one in names[: len(point)]]
    moving = moving & np.array(own)
    z = np.where(moving, np.abs(point - means) / np.where(moving, sds, 1.0), 0.0)
    worst = int(z.argmax())
    if not usable(posterior):
        return f"{name} and {other}: no comparison, since {_doubt(other, posterior)}."
    where = for_terminal(names[worst])
    if z[worst] > FAR:
        return f"{name} lies {z[worst]:.2f} posterior sd from the posterior mean of {other} in {where}."
    return (
        f"{name} is within {z[worst]:.2f} posterior sd of the posterior means of {other} in every weight and mean. "
        f"The largest difference is in {where}."
    )


def prior_line(name: str, result: MixtureFit | Posterior) -> str | None:
    """Where an inverse-Wishart prior makes up more than half of a component's variance; None if nowhere.

    Given z, Σ_k is the scale of the prior and the scatter of about N π_k rows, over N π_k + df. Components with no more
    than D + 1 rows are left out: there the prior has to speak.
    """
    components, table = result.prior and result.prior.components, result.table
    if not isinstance(components, NormalInverseWishart | NormalTimesInverseWishart):
        return None
    (weights, _, covariances), _ = moments(result)
    weights = weights[: result.model.num_gaussians]
    variances = np.diagonal(covariances[: len(weights)], axis1=1, axis2=2)
    rows = table.total * weights[:, None]
    scales = np.diagonal(np.asarray(components.scale), axis1=1, axis2=2)
    counted = np.full_like(rows, table.total) if result.family.pooled else rows
    shares = np.minimum(scales / ((counted + np.asarray(components.df)[:, None]) * variances), 1.0)
    shares[rows[:, 0] <= table.dim + 1] = 0.0
    k, d = np.unravel_index(shares.argmax(), shares.shape)
    if not shares[k, d] > HALF:
        return None
    more = int((shares > HALF).sum()) - 1
    others = f" (and more than half of {more} other variance{'s' if more > 1 else ''})" if more else ""
    default = prior_of_data(table, len(weights), result.family).expand(*variances.shape).components
    why = (
        "The default prior takes its scale from all rows, gaps and far rows included, and is not weak on these data. "
        if type(default) is type(components) and np.allclose(default.scale, components.scale)
        else ""
    )
    return (
        f"prior: it makes up {_percent(shares[k, d])} of the variance of {for_terminal(table.features[d])} in "
        f"component {k} of {name}{others}. {why}To let the rows decide, give a "
        f"{type(components).__name__} whose scale is of the size of one cluster's covariance."
    )


def _percent(share: float) -> str:
    return "over 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def fit_line(name: str, fit: MixtureFit) -> str:
    """Log-likelihood, status and starts of a point estimate."""
    starts, optima = sum(basin.hits for basin in fit.basins), sum(basin.status == fit.status for basin in fit.basins)
    found = f"{fit.basins[0].hits} of {starts} starts found this optimum, the best of {optima}"
    if not fit.converged:  # where it stopped is no optimum
        found = f"the highest of {starts} start{'s' if starts > 1 else ''}"
    return f"{name}: log-likelihood {fit.log_likelihood:.3f}, {fit.status} after {fit.n_iter} M-steps; {found}."


def moments(result: MixtureFit | Posterior) -> tuple[tuple, tuple]:
    """Estimates and posterior standard deviations of weights, means and covariances; NaN where there are none."""
    params = result.params
    parts = (params.weights, params.means, params.covariances)
    if isinstance(result, Posterior):
        return tuple(p.mean(axis=(0, 1)) for p in parts), tuple(sd(np.asarray(p), axis=(0, 1)) for p in parts)
    return parts, tuple(np.full_like(p, np.nan) for p in parts)
