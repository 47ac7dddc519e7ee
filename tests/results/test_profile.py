"""Profile intervals against closed forms, and against SciPy's constrained maximum of an independent likelihood."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from oracles.effort import SOME, WHOLE
from oracles.two_features import LONG, clusters, eta_of, log_likelihood, parts_of
from scipy.optimize import brentq, minimize

import bayesgmm as bg
from bayesgmm.curvature.profile import highest_with
from bayesgmm.errors import ArgumentError, FitError
from bayesgmm.model.families import FAMILIES
from bayesgmm.problem import to_problem
from bayesgmm.results.profile import known_name, scalar_of
from bayesgmm.runtime.dtypes import scope


@pytest.fixture(scope="module")
def x():
    return clusters()


def test_one_component_has_closed_forms():
    """Mean: N log(1 + (m - x̄)²/s²) = q, whatever the other features. Variance: N (log(v/s²) + s²/v - 1) = q."""
    x = np.random.default_rng(0).normal(size=(30, 2)) @ [[2.0, 0.5], [0.0, 1.0]] + [100.0, 0.0]
    fit = bg.fit_em(x, 1)
    mean, sd, n = x[:, 0].mean(), x[:, 0].std(), len(x)
    found = fit.profile("means[0, x0]", level=0.95)
    q = 2 * found.drop
    assert q == pytest.approx(3.841459, abs=1e-6)
    half = sd * np.sqrt(np.exp(q / n) - 1)
    np.testing.assert_allclose([found.lower, found.upper], [mean - half, mean + half], rtol=1e-8)
    assert found.wald[1] - found.wald[0] < 2 * half  # the parabola is too narrow
    found = fit.profile("covariances[0, x0, x0]", level=0.95)
    equation = lambda r: n * (np.log(r) + 1 / r - 1) - q  # noqa: E731
    ends = brentq(equation, 0.2, 1.0), brentq(equation, 1.0, 5.0)
    np.testing.assert_allclose([found.lower, found.upper], np.array(ends) * sd**2, rtol=1e-7)
    top = fit.log_likelihood - 0.5 * (n * (np.log(found.curve["value"] / sd**2) + sd**2 / found.curve["value"] - 1))
    np.testing.assert_allclose(found.curve["objective"], top, atol=1e-7)
    assert found.notes == ()


@pytest.mark.parametrize("name", [pytest.param(n, marks=SOME) for n in FAMILIES])
def test_the_profile_is_the_constrained_maximum(x, name):
    """SLSQP in other coordinates of the family, from the fit; a weight, a mean and a variance."""
    family = FAMILIES[name]
    fit = bg.fit_em(x, 2, covariance_type=name, tol=1e-9, n_init=4, max_iter=5000)
    at, zero = parts_of(fit, family), np.zeros(fit.n_parameters)
    eta = lambda psi: eta_of(np.asarray(psi, LONG), family, fit, at).astype(float)  # noqa: E731
    minus = lambda psi: -float(log_likelihood(eta_of(np.asarray(psi, LONG), family, fit, at), x))  # noqa: E731
    with scope("float64"):
        problem = to_problem(fit.model, "float64")
        for parameter, index in (("weights[0]", 0), ("means[1, x0]", 3), ("covariances[0, x1, x1]", 7)):
            value = eta(zero)[index] * 1.1
            held = highest_with(scalar_of(parameter, fit.model), value, fit.params, problem)
            constraint = {"type": "eq", "fun": lambda psi, i=index, v=value: eta(psi)[i] / v - 1.0}
            theirs = minimize(
                minus,
                zero,
                jac="3-point",
                method="SLSQP",
                constraints=constraint,
                options={"ftol": 1e-11, "maxiter": 300},
            )
            assert theirs.success or theirs.status == 8
            assert held.settled
            assert held.objective - problem.log_volume == pytest.approx(-theirs.fun, abs=2e-5), parameter
            assert scalar_of(parameter, fit.model).of(held.params) == pytest.approx(value, rel=1e-10)
            assert held.objective - problem.log_volume < fit.log_likelihood - 1e-3  # the constraint costs


@pytest.mark.parametrize("prior", [pytest.param(None, marks=WHOLE), "default"])
def test_twice_the_fall_at_the_ends_is_the_quantile(x, prior):
    fit = bg.fit_em(x, 2, prior=prior)
    for parameter in ("weights[1]", "means[0, x1]", "covariances[1, x0, x0]"):
        found = fit.profile(parameter)
        assert found.lower < found.estimate < found.upper
        curve = found.curve.set_index("value")["objective"]
        np.testing.assert_allclose(curve[[found.lower, found.upper]], fit.objective - 1.352772, atol=1e-5)
        assert curve.max() <= fit.objective + 1e-6
        assert curve.index.is_monotonic_increasing
        assert found.notes == ()
        wald = fit.intervals().table.loc[parameter]
        assert found.wald == (wald["lower"], wald["upper"])
        np.testing.assert_allclose([found.lower, found.upper], found.wald, rtol=0.2)


def test_the_profile_under_a_prior_holds_the_prior_too(x):
    """A prior that pulls a mean moves the interval with it: negative control against the likelihood alone."""
    strong = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart([4.0, 4.0], 10.0, 5.0, np.eye(2)))
    free, pulled = (bg.fit_em(x, 2, prior=prior).profile("means[0, x0]") for prior in (None, strong))
    assert pulled.lower > free.upper


def test_an_open_end_and_exchanged_roles_are_told():
    """Two components that overlap: each mean can pass the other, and the smaller weight reach 0."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=40), rng.normal(size=40) + 2.2])
    fit = bg.fit_em(x, 2, covariance_type="E")
    found = fit.profile("weights[0]", level=0.99)
    assert found.lower == 0.0 or found.lower < 0.02
    wide = fit.profile("means[0, x0]", level=0.9999)
    assert any("exchanged their roles" in note for note in wide.notes)
    assert np.isneginf(wide.lower)
    assert any("lower end is open" in note for note in wide.notes)


def test_a_mode_that_is_higher_is_told():
    """Three small clusters, two components: the fit joins the farther pair; its mean can move to the better mode."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=12) * 0.3 + center for center in (0.0, 4.0, 9.0)])
    with pytest.warns(UserWarning, match="not the highest"):
        fit = bg.fit_em(x, 2, means_init=[[0.0], [6.5]], covariances_init=[[[0.1]], [[6.25]]])
    gap = bg.fit_em(x, 2).objective - fit.objective
    assert gap > 1
    found = fit.profile("means[0, x0]", level=1 - 1e-13)
    assert any("is not the highest mode" in note for note in found.notes)
    assert 1 < found.curve["objective"].max() - fit.objective < gap + 1e-6


def test_what_has_no_profile_is_refused(x):
    fit = bg.fit_em(x, 2)
    with pytest.raises(ArgumentError, match="a covariance of two features"):
        fit.profile("covariances[0, x0, x1]")
    with pytest.raises(ArgumentError, match="parameter must be a name"):
        fit.profile("mean")
    with pytest.raises(ArgumentError, match=r"Near it are .*'means\[0, x0\]'"):
        fit.profile("means[0, x9]")
    assert known_name("means[0,x0]", fit.model) == "means[0, x0]"
    with pytest.raises(ArgumentError, match="weight of a single component"):
        bg.fit_em(x, 1).profile("weights[0]")
    with pytest.raises(ArgumentError, match="level must be"):
        fit.profile("weights[0]", level=1.0)
    near = replace(fit, params=fit.params._replace(means=fit.params.means + 0.05))
    with pytest.raises(FitError, match="not at the maximum"):
        near.profile("means[0, x0]")


def test_it_shows_itself(x):
    found = bg.fit_em(x, 2).profile("means[0, x1]")
    assert "0.9 interval from the profile" in repr(found)
    assert "information" in found._repr_html_()
    ax = found.plot()
    assert ax.get_xlabel() == "means[0, x1]"
    assert len(ax.get_lines()[2].get_xdata()) <= len(found.curve)
    plt.close("all")
