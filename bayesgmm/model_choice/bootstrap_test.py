"""The parametric bootstrap likelihood-ratio test of K against K + 1 components, in sequence (McLachlan 1987)."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from bayesgmm.model.families import FAMILIES
from bayesgmm.model.types import Params
from bayesgmm.model_choice.null_ratios import ratios
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import prepare, to_problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import derived_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.selection.grid_search import restricted_model


class Step(NamedTuple):
    """One test: K components (the null) against K + 1."""

    size: int
    """K."""
    ratio: float
    """``2 (log L(K + 1) - log L(K))`` of the data."""
    replicates: np.ndarray
    """The same of data drawn from the fit with K components, (B,); without searches that failed."""
    failed: int
    """Number of data sets whose search failed."""

    @property
    def p_value(self) -> float:
        """``(1 + #{replicates ≥ ratio}) / (B + 1)`` (Davison & Hinkley 1997, eq. 4.11); NaN if a search failed."""
        if not len(self.replicates) or self.ratio != self.ratio:
            return float("nan")
        return (1.0 + float((self.replicates >= self.ratio).sum())) / (len(self.replicates) + 1.0)


def steps(
    fits: dict[int, MixtureFit], prior: Belief | str | None, widest: int, num: int, level: float, key
) -> Iterator[Step]:
    """The tests in sequence, up to the first that does not reject: its p-value is above `level`.

    Parameters
    ----------
    fits
        The fits of one family by K, for consecutive K.
    prior
        None (maximum likelihood), ``"default"`` or a `Prior`: both models of each test are fitted under it.
    widest
        The largest number of components of any test: all tests share programs of this size.
    num
        Number of data sets drawn for each test.
    level
        Level of each test.
    key
        Of the draws and starts.
    """
    for size in sorted(fits):
        if size < widest:
            step = test(fits[size], prior, widest, num, derived_key(key, size))
            yield step
            if not step.p_value <= level:
                return


def test(fit: MixtureFit, prior: Belief | str | None, widest: int, num: int, key) -> Step:
    """The test of the number of components of a fit against one more."""
    with scope(fit.settings["dtype"]) as dtype:
        problem = prepare(fit.table, widest, None, dtype, "full")
        own, size = to_problem(fit.model, dtype), fit.n_components
        family = FAMILIES[fit.family.name]
        models = [restricted_model(problem.model, family, number, prior) for number in (size, size + 1)]
        padded = [model.family_prior.standardise(model.frame).padded(widest) for model in models]
        priors = [one._replace(components=one.components.among((family,))) for one in padded]
        theta = _padded(own.frame.standardise(fit.params), widest)
        ratio, replicates = ratios(key, theta, problem, priors, size, num)
    good = np.isfinite(replicates)
    return Step(size, ratio, replicates[good], int((~good).sum()))


def _padded(params: Params, widest: int) -> Params:
    """θ with components of weight 0, mean 0 and covariance I up to the largest number."""
    missing = widest - len(params.weights)
    weights, means, trils = (
        np.pad(np.asarray(leaf, float), [(0, missing), *[(0, 0)] * (np.ndim(leaf) - 1)]) for leaf in params
    )
    trils[widest - missing :] = np.eye(trils.shape[-1])
    return jax.tree.map(np.asarray, Params(weights, means, trils))  # pyright: ignore[reportArgumentType]
