"""A prior is one file: one with no more than the protocol asks for is taken by every engine that follows gradients."""

import inspect
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.errors import PriorError
from bayesgmm.model.families import FAMILIES
from bayesgmm.priors import protocol
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.hyperparameters import in_full
from bayesgmm.priors.inverse_wishart import log_constant, sample_inverse_wishart


class LaplaceMeans(NamedTuple):
    """``μ_kj ~ Laplace(loc_j, spread_j)``, ``Σ_k ~ IW(df, scale)``: nothing that `bayesgmm` ships."""

    loc: Any
    spread: Any
    df: Any
    scale: Any

    conjugacy = Conjugacy.NONE
    sites_are_theta = True
    family = FAMILIES["VVV"]
    metric = 1.0

    def expand(self, num_components, dim):
        k, d = num_components, dim
        return LaplaceMeans(
            in_full("loc", self.loc, (k, d)), in_full("spread", self.spread, (k, d)), in_full("df", self.df, (k,)),
            in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self, variances_only=False):
        return None

    def taken_by(self, family):
        return self

    def within(self, family):
        if family.name != "VVV":
            raise PriorError("LaplaceMeans is a prior of free covariances.")
        constant = float(np.sum(np.asarray(log_constant(self.df, self.scale)))) - np.log(2.0 * self.spread).sum()
        return self, constant

    def describe(self, family):
        return ["means ~ Laplace"]

    def unbounded_because(self, family, values):
        return None

    def numpyro_sites(self):
        raise NotImplementedError

    def standardise(self, frame):
        units = frame.scale[:, None] * frame.scale
        return LaplaceMeans(
            (self.loc - frame.center) / frame.scale, self.spread / frame.scale, self.df, self.scale / units
        )

    def project(self, params):
        return params

    def log_kernel(self, means, whiteners, log_diagonals):
        means_part = -jnp.sum(jnp.abs(means - self.loc) / self.spread)
        spreads = jnp.sum((whiteners @ jnp.asarray(self.scale)) * whiteners, axis=(-2, -1))
        return means_part - jnp.sum((self.df + means.shape[-1] + 1.0) * log_diagonals + 0.5 * spreads)

    def sample(self, key, present=None):
        noise = jnp.asarray(np.random.default_rng(0).laplace(size=self.loc.shape))
        return self.loc + self.spread * noise, sample_inverse_wishart(
            key, jnp.asarray(self.df), jnp.asarray(self.scale)
        )


PRIOR = bg.Prior(bg.Dirichlet(2.0), LaplaceMeans([3.5, 70.0], [2.0, 20.0], 5.0, [[0.5, 0.0], [0.0, 50.0]]))
FEW = {"num_samples": 100, "num_chains": 2, "prior": PRIOR}


def test_a_new_prior_is_taken_by_engines_that_follow_gradients(reference_data):
    x = reference_data["faithful"]
    laplace = bg.fit_laplace(x, 2, **FEW)
    nuts = bg.sample_nuts(x, 2, num_warmup=150, init="em", reference=laplace.reference, **FEW)
    np.testing.assert_allclose(nuts.params.means.mean((0, 1)), laplace.params.means.mean((0, 1)), rtol=0.02)
    comparison = bg.compare(x, 2, engines=("laplace",), **FEW)
    assert comparison.prior.describe(comparison.family)[1] == "means ~ Laplace"


def test_engines_that_need_more_refuse_it(reference_data):
    for function in (bg.sample_gibbs, bg.fit_cavi, bg.fit_em):
        with pytest.raises(PriorError, match="svi, laplace, nuts do"):
            function(reference_data["faithful"], 2, prior=PRIOR)


def methods(cls):
    names = {name for base in cls.__mro__ if base.__module__ == protocol.__name__ for name in vars(base)}
    fields = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
    return {name for name in names | fields if not name.startswith("_")}


@pytest.mark.parametrize(
    "prior",
    [
        bg.NormalInverseWishart(0.0, 1.0, 5.0, 1.0),
        bg.NormalInverseGamma(0.0, 1.0, 3.0, 1.0),
        bg.NormalTimesInverseWishart(0.0, 1.0, 5.0, 1.0),
        bg.HierarchicalInverseWishart(0.0, 1.0, 5.0, 5.0, 1.0),
        bg.NormalTimesLKJ(0.0, 1.0, 1.0, bg.HalfNormal(1.0)),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_every_prior_keeps_the_protocol(prior):
    """Whatever the protocol asks for is there, at every level of conjugacy that the prior claims."""
    family = FAMILIES["VVI" if isinstance(prior, bg.NormalInverseGamma) else "VVV"]
    full = prior.expand(2, 2)
    assert methods(protocol.ComponentPrior) <= set(dir(full))
    assert full.describe(family)
    taken = full.taken_by(family)
    assert methods(protocol.ComponentPrior) <= set(dir(taken))
    within, constant = taken.within(family)
    assert np.isfinite(constant)
    levels = {
        Conjugacy.NONE: protocol.FamilyPrior, Conjugacy.CONDITIONAL: protocol.PosteriorGivenZ,
        Conjugacy.JOINT: protocol.ConjugatePosterior,
    }  # fmt: skip
    assert methods(levels[taken.conjugacy]) <= set(dir(within))
    for name in ("log_kernel", "sample"):
        expected = list(inspect.signature(getattr(protocol.FamilyPrior, name)).parameters)[1:]
        assert list(inspect.signature(getattr(within, name)).parameters) == expected
