"""What the report says in words: the question, the mixture, the data, the model, and how the results were made."""

import re
from typing import Any

import numpy as np

from bayesgmm.comparison.conclusions import measure_of
from bayesgmm.model.types import Params
from bayesgmm.results.given_posterior import GivenPosterior
from bayesgmm.results.parameters import estimates_of, parameter_names
from bayesgmm.runtime.formatting import listed, placed, plus_minus, shortened, significant

MOST_COMPONENTS, MOST_FEATURES = 6, 4
"""Components and features of a mixture that is described in words."""
ENGINES = {
    "em": "EM (posterior mode)", "mle": "EM (maximum likelihood)", "cem": "classification EM", "sem": "stochastic EM",
    "mcem": "Monte Carlo EM", "same": "SAME", "daem": "deterministic annealing EM", "cavi": "variational Bayes",
    "svi": "stochastic variational inference", "laplace": "the Laplace approximation", "exact": "enumeration",
    "gibbs": "Gibbs sampling", "nuts": "NUTS", "telescoping": "telescoping sampling",
}  # fmt: skip
COSTS = {
    "log-likelihood": "of the data, at the estimate or averaged over the draws",
    "seconds compiling": "preparing programs; paid once for each size of problem",
    "seconds running": "without compiling",
    "worst R-hat": "agreement of the chains; below 1.01 is good",
    "smallest ESS": "independent draws that the chains are worth; above 100 per chain is good",
    "divergences": "transitions of NUTS that failed; 0 is good",
    "ESS per second": "of running",
    "Pareto k-hat": "of an approximation; at most 0.7 is acceptable",
}
"""What each row of the table of costs is."""


def plural(num: int, word: str) -> str:
    """A number of things."""
    return f"{num:,} {word}{'' if num == 1 else 's'}"


def title(comparison: Any) -> str:
    """Rows, and the mixture that is fitted to them."""
    noise = " and noise" if comparison.table.noise is not None else ""
    return f"{plural(comparison.table.num_rows, 'row')} as {_mixture(comparison)}{noise}"


def _mixture(comparison: Any) -> str:
    num = comparison.model.num_gaussians
    return "one Gaussian" if num == 1 else f"a mixture of {num} Gaussians"


def question(comparison: Any) -> str:
    """What is asked of the data, and of the engines."""
    table = comparison.table
    features = [shortened(name) for name in table.features[:MOST_FEATURES]]
    more = table.dim - len(features)
    named = listed([*features, plural(more, "more feature")]) if more > 0 else listed(features)
    names = [_engine(comparison, name) for name in (*comparison.results, *comparison.failures)]
    ask = f"The answer is that of {names[0]}." if len(names) == 1 else f"Do {listed(names)} give the same answer?"
    return (
        f"Which {_mixture(comparison).removeprefix('a ').removeprefix('one ')} describes the distribution of {named}, "
        f"and how surely do {plural(table.num_rows, 'row')} tell? {ask[0].upper()}{ask[1:]}"
    )


def _engine(comparison: Any, name: str) -> str:
    """An engine as it is called in a sentence; a column of the user by its name."""
    known = name in ENGINES and name not in comparison.descriptions
    return ENGINES[name] if known else shortened(name)


def mixture(comparison: Any) -> tuple[str, str, list[tuple[int, str]]] | None:
    """The estimated mixture: from which column, what its numbers are, a sentence with its number for each component.

    None where a component has no meaning across draws, or where nothing can be relied on.
    """
    name, result = _best(comparison)
    if result is None or getattr(result, "by_stick", False):
        return None
    model, params = comparison.model, result.params
    weights, means, names = _cells(params)
    own = model.num_gaussians
    order = sorted(range(comparison.n_components), key=lambda k: -float(np.mean(np.asarray(params.weights)[..., k])))
    kept = sorted(order[:MOST_COMPONENTS])
    lines = []
    for k in kept:
        features = zip(comparison.table.features, means[k], strict=True) if k < own else ()
        where = [f"{shortened(feature)} {mean}" for feature, mean in features]
        centre = f", centred at {listed(where)}" if where and len(where) <= MOST_FEATURES else ""
        lines.append((k, f"{weights[k]} of the rows{centre}."))
    rest = comparison.n_components - len(kept)
    if rest:
        lines.append((-1, f"The other {rest} are smaller: see the table of weights."))
    return name, names, lines


def _best(comparison: Any) -> tuple[str, Any]:
    """The column that the words are about: a sampler that has mixed, a point estimate, an accepted approximation."""
    measure = measure_of(comparison)
    if measure is not None and measure[1].mixed:
        return measure
    trusted = {name: one for name, one in comparison.approximations.items() if one.trusted}
    return next(iter((comparison.fits | trusted).items()), ("", None))


def _cells(params: Params) -> tuple[list[str], list[list[str]], str]:
    """Weights in per cent and means, with sds where there are draws; and what they are."""
    found = estimates_of(params, None)
    num, dim = np.asarray(params.means).shape[-2:]
    estimate, spread = found["estimate"], found["sd"]
    shares = [f"{cell} %" for cell in plus_minus(100 * estimate[:num], 100 * spread[:num])]
    means = estimate[num : num + num * dim].reshape(num, dim)
    if np.isnan(spread).all():
        sds = np.sqrt(np.diagonal(np.asarray(params.covariances), axis1=-2, axis2=-1))
        cells = [[placed(*pair) for pair in zip(*row, strict=True)] for row in zip(means, sds, strict=True)]
        return shares, cells, "estimate"
    errors = spread[num : num + num * dim].reshape(num, dim)
    return shares, [plus_minus(*row) for row in zip(means, errors, strict=True)], "posterior mean ± sd"


def data_facts(comparison: Any) -> list[tuple[str, str]]:
    """What the data are, and what else is known of them: a term and its words."""
    table = comparison.table
    facts = [("Rows", f"{table.num_rows:,}"), ("Features", str(table.dim))]
    facts.append(("Units", "as in the data: nothing is rescaled in this report"))
    if table.gaps:
        share = 100.0 * table.gaps / (table.num_rows * table.dim)
        rows = sum(int(np.isnan(block).any(axis=1).sum()) for block in table.chunks())
        facts.append((
            "Gaps", f"{plural(table.gaps, 'value')} missing in {plural(rows, 'row')} ({significant(share, 3)} % of all "
            "values). They are integrated out, not filled in",
        ))  # fmt: skip
    if table.weights is not None:
        low, high = (significant(float(end), 3) for end in (table.weights.min(), table.weights.max()))
        facts.append(("Weights", f"rows count {low} to {high} times, {table.total:g} in all"))
    if table.labels is not None:
        facts.append(("Known classes", _classes(table.labels)))
    if table.errors is not None:
        facts.append(("Errors of measurement", "known for each row; the components are those of the true values"))
    if table.noise is not None:
        kind = "given" if table.noise.given else "around the data"
        volume = significant(float(np.exp(table.noise.log_volume)))
        facts.append(("Noise", f"rows of no component are uniform over a volume of {volume} ({kind})"))
    if comparison.model.fixed is not None:
        facts.append(("Held", f"{comparison.model.fixed.words()} known, not estimated"))
    return facts


def _classes(labels: np.ndarray) -> str:
    """How many rows have each known class."""
    if labels.ndim == 2:
        return "probabilities of the classes are given for each row; component k is class k"
    names, counts = np.unique(labels, return_counts=True)
    known = [f"{count:,} of class {name}" for name, count in zip(names, counts, strict=True) if name >= 0]
    unknown = int(counts[names < 0].sum())
    rest = f"; {unknown:,} unknown" if unknown else ""
    return f"rows: {listed(known)}{rest}. Component k is class k"


def feature_rows(comparison: Any) -> list[tuple[str, list[str]]]:
    """Mean, sd, smallest and largest value and gaps of each feature."""
    table = comparison.table
    mean, covariance = table.moments()
    found = []
    source = table.sample if table.on_disk else table
    for d, (centre, spread) in enumerate(zip(mean, np.sqrt(np.diagonal(covariance)), strict=True)):
        own = source.values[:, d]
        numbers = [centre, spread, np.nanmin(own), np.nanmax(own)]
        gaps = int(np.isnan(own).sum())
        found.append((table.features[d], [*map(_number, numbers), f"{gaps:,}"]))
    return found


def _number(value: Any) -> str:
    return significant(float(value))


def model_lines(comparison: Any) -> list[str]:
    """The model of a row, in the notation of `report_math.formula`."""
    table = comparison.table
    seen = " + E_n" if table.errors is not None else ""
    lines = ["z_n ~ Categorical(weights),  n = 1, …, N", f"x_n | z_n = k ~ N(μ_k, Σ_k{seen}),  k = 0, …, K − 1"]
    if table.noise is not None:
        lines.append("x_n | z_n = noise ~ uniform over the volume")
    return lines


def settings(comparison: Any) -> list[str]:
    """Chains, draws and starts of each column."""
    lines = []
    for name, post in comparison.posteriors.items():
        if name not in comparison.samplers:
            lines.append(f"{name}: {post.num_chains * post.num_samples} independent draws from the approximation")
            continue
        cut = " (interrupted)" if post.interrupted else ""
        if isinstance(post, GivenPosterior):
            lines.append(f"{name}: {post.num_chains} chains × {post.num_samples} draws, given")
            continue
        lines.append(f"{name}: {post.num_chains} chains × ({post.num_warmup} warm-up + {post.num_samples} kept){cut}")
    for name, fit in comparison.fits.items():
        starts = sum(basin.hits for basin in fit.basins)
        lines.append(f"{name}: best of {starts} starts, {fit.status} after {fit.n_iter} M-steps")
    return lines


def correlation_note(comparison: Any) -> str:
    """Why there are no correlations, if the family has none."""
    if comparison.table.dim > 1 and comparison.family.orientation == "I":
        return "In this covariance family every correlation is 0."
    return ""


def without_code(comparison: Any, lines: list[str]) -> list[str]:
    """Sentences in which parameters are called by words: “the mean of width in component 0” for ``means[0, width]``."""
    num, features = comparison.n_components, comparison.table.features
    named = dict(zip(parameter_names(comparison.table, num), _words_of_parameters(num, features), strict=True))
    pattern = re.compile("|".join(map(re.escape, sorted(named, key=len, reverse=True))))
    return [pattern.sub(lambda found: named[found[0]], line) for line in lines]


def _words_of_parameters(num: int, features: tuple[str, ...]) -> list[str]:
    """Parameters in words, in the order of `parameter_names`."""
    names = [shortened(name) for name in features]
    pairs = [
        f"variance of {a}" if i == j else f"covariance of {a} and {b}"
        for i, a in enumerate(names) for j, b in enumerate(names[i:], i)
    ]  # fmt: skip
    means = [f"the mean of {name} in component {k}" for k in range(num) for name in names]
    return [
        *(f"the weight of component {k}" for k in range(num)), *means,
        *(f"the {pair} in component {k}" for k in range(num) for pair in pairs),
    ]  # fmt: skip
