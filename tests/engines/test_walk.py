"""The dial between Gibbs and EM: its ends are the engines themselves, and SAME has the stated stationary density."""

import itertools
import math

import jax
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
import pytest
from oracles.effort import mostly_slow
from scipy.special import gammaln

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.engines.dial import kernel_at, sharpened
from bayesgmm.engines.step import KERNELS
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.plots import paths
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.e_step import draw_copies

X = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 20, axis=0)
START = bg.Params.of([0.5, 0.5], [[0.5, 0.0], [2.0, 2.5]], [np.eye(2), np.eye(2)])


def test_the_ends_of_the_dial_are_the_rows_of_the_table():
    """At m = 1 the kernel is that of Gibbs, bit for bit, and in the limit that of EM: the same functions."""
    assert kernel_at("same", 1, 1) == kernel_at("gibbs", 1, 1) == KERNELS["gibbs"]
    assert kernel_at("em", math.inf, math.inf) == KERNELS["em"]
    assert kernel_at("sem", 1, math.inf) == KERNELS["sem"]
    assert kernel_at("cem", math.inf, math.inf) == KERNELS["cem"]
    assert kernel_at("same", 5, 5) is kernel_at("same", 5, 5)  # one program


@pytest.mark.parametrize("prior", [None, "default"])
def test_the_walk_of_em_is_plain_em(prior):
    found = bg.walk(X, 2, engine="em", prior=prior, start=START, num_steps=12)
    fit = bg.fit_em(X, 2, prior=prior, init=START, accelerate=False, tol=0.0, max_iter=12)
    np.testing.assert_allclose(found.objective, fit.trace, rtol=1e-10)
    np.testing.assert_allclose(found.params.means[-1], fit.params.means, rtol=1e-6)
    assert (np.diff(found.objective) > -1e-9).all()
    np.testing.assert_allclose(found.params.means[0], START.means)


def test_many_copies_step_as_em_does():
    """One step from the same θ: the gap shrinks as one over the root of the number of copies."""
    target = bg.walk(X, 2, engine="em", start=START, num_steps=1).params.means[1]
    gaps = [
        np.abs(bg.walk(X, 2, engine="same", copies=m, start=START, num_steps=1, seed=s).params.means[1] - target).max()
        for m in (10**2, 10**6) for s in range(3)
    ]  # fmt: skip
    assert max(gaps[3:]) < 0.01
    assert np.mean(gaps[3:]) < np.mean(gaps[:3]) / 20


def test_copies_are_multinomial():
    scores = np.log(np.array([[0.2, 0.7], [0.5, 0.1], [0.3, 0.2]]))
    with scope("float64"):
        draws = np.asarray(jax.vmap(lambda key: draw_copies(key, scores, num=8)[0])(jr.split(jr.key(0), 3000)))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0)
    np.testing.assert_array_equal(draws * 8, np.round(draws * 8))
    p = np.exp(scores)
    np.testing.assert_allclose(draws.mean(axis=0), p, atol=4.5 * np.sqrt(0.25 / 8 / 3000))
    np.testing.assert_allclose(draws.var(axis=0), p * (1 - p) / 8, rtol=0.2)


def test_a_sharpened_density_is_the_power_of_the_density():
    """log density × power is the log density of the sharpened belief, both without constants."""
    prior = bg.Prior(bg.Dirichlet([1.5, 3.0]), bg.NormalInverseWishart([0.0, 1.0], 0.5, 6.0, [[2.0, 0.3], [0.3, 1.0]]))
    belief = prior.expand(2, 2)
    with scope("float64"):
        sharp = jax.tree.map(np.asarray, sharpened(belief, 3.0))
    rng = np.random.default_rng(1)
    gaps = []
    for _ in range(4):
        w = rng.dirichlet([2.0, 2.0])
        covariances = [np.cov(rng.normal(size=(2, 9))) for _ in range(2)]
        theta = bg.Params.of(w, rng.normal(size=(2, 2)), covariances)
        gaps.append(3.0 * float(belief.log_kernel(theta)) - float(sharp.log_kernel(theta)))
    np.testing.assert_allclose(gaps, 0.0, atol=1e-9)


ALPHA, LOC, STRENGTH, DF, SCALE = np.array([2.0, 3.0]), np.array([0.0, 2.0]), 1.0, 4.0, np.array([2.0, 1.0])
TINY = np.array([-0.3, 0.8, 2.1])


def normaliser(strength, df, scale):
    """log ∫ of σ^-(df + 3) exp(-(scale + strength (μ - m)²) / 2σ²) over (μ, σ²): a normal inverse gamma."""
    return 0.5 * np.log(2 * np.pi / strength) + gammaln(df / 2) - df / 2 * np.log(scale / 2)


def power_of_posterior(power):
    """E of the weights and means under p(θ | x)^m, by enumeration of the labellings of m copies of the rows."""
    logs, values = [], []
    for z in itertools.product((0, 1), repeat=len(TINY) * power):
        z, x = np.array(z), np.tile(TINY, power)
        counts = np.bincount(z, minlength=2)
        alpha = power * (ALPHA - 1) + 1 + counts
        log, centres = gammaln(alpha).sum() - gammaln(alpha.sum()), []
        for k in (0, 1):
            rows, n = x[z == k], counts[k]
            strength, df = power * STRENGTH + n, power * (DF + 3) - 3 + n
            mean = rows.mean() if n else 0.0
            loc = (power * STRENGTH * LOC[k] + n * mean) / strength
            scale = power * SCALE[k] + ((rows - mean) ** 2).sum()
            scale += power * STRENGTH * n / strength * (mean - LOC[k]) ** 2
            log += normaliser(strength, df, scale) - 0.5 * n * np.log(2 * np.pi)
            centres.append(loc)
        logs.append(log)
        values.append([alpha[0] / alpha.sum(), *centres])
    shares = np.exp(np.array(logs) - max(logs))
    return shares @ np.array(values) / shares.sum()


@pytest.mark.parametrize("power", mostly_slow([2, 1, 3], 1))
def test_the_stationary_density_of_same_is_the_power_of_the_posterior(power):
    """Long-run averages against enumeration, within 4.5 Monte Carlo errors from batches."""
    prior = bg.Prior(bg.Dirichlet(ALPHA), bg.NormalInverseWishart(LOC[:, None], STRENGTH, DF, SCALE[:, None, None]))
    found = bg.walk(TINY, 2, engine="same", copies=power, prior=prior, num_steps=20_000, seed=4)
    path = np.c_[found.params.weights[:, 0], found.params.means[..., 0]][1000:20_000]
    batches = path.reshape(50, -1, 3).mean(axis=1)
    error = batches.std(axis=0, ddof=1) / np.sqrt(50)
    assert (np.abs(path.mean(axis=0) - power_of_posterior(power)) < 4.5 * error).all()


def test_a_walk_is_reproducible_and_shows_itself():
    one, two = (bg.walk(X, 2, engine="same", copies=4, num_steps=5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.objective, two.objective)
    assert one.to_frame().shape == (6, 2 + 4 + 6 + 2)
    assert "5 steps with 4 copies of z, sharpness 4" in repr(one)
    assert "sharpness ∞" in bg.walk(X, 2, engine="mcem", copies=3, num_steps=2)._repr_html_()
    np.testing.assert_allclose(
        one.log_likelihood[2], bg.log_likelihood(bg.Params(*(leaf[2] for leaf in one.params)), X), rtol=1e-10
    )


def test_what_is_not_on_the_dial_is_refused():
    with pytest.raises(PriorError, match="needs a proper prior"):
        bg.walk(X, 2, engine="gibbs", prior=None)
    with pytest.raises(ArgumentError, match="copies is for mcem and same"):
        bg.walk(X, 2, engine="gibbs", copies=3)
    with pytest.raises(ArgumentError, match="engine must be one of"):
        bg.walk(X, 2, engine="nuts")
    with pytest.raises(ArgumentError, match="not for VVE"):
        bg.walk(X, 2, engine="same", covariance_type="VVE")
    with pytest.raises(ArgumentError, match="num_steps must"):
        bg.walk(X, 2, num_steps=0)


def test_paths_are_drawn_over_the_log_posterior():
    """The surface is the objective: at the end of the first walk it has the value of the walk."""
    walks = {name: bg.walk(X, 2, engine=name, start=START, num_steps=8) for name in ("em", "gibbs")}
    places, (low, high) = [(0, 0), (1, 1)], (walks["em"].params.means[-1, 0, 0], walks["em"].params.means[-1, 1, 1])
    grid = [np.linspace(low, low + 1, paths.GRID), np.linspace(high, high + 1, paths.GRID)]
    surface = paths._surface(walks["em"], places, grid)
    constant = walks["em"].model.prior_constant
    assert surface[0, 0] + constant == pytest.approx(walks["em"].objective[-1], abs=1e-8)
    beside = walks["em"].params._replace(means=walks["em"].params.means.copy())
    beside.means[-1, 0, 0] += grid[0][3] - low
    theta = bg.Params(*(leaf[-1] for leaf in beside))
    with scope("float64"):
        value = float(bg.log_likelihood(theta, X)) + walks["em"].model.log_prior(theta)
    assert surface[0, 3] + constant == pytest.approx(value, abs=1e-8)
    ax = plots.plot_paths(walks, coordinates=[(0, "x0"), (1, 1)])
    assert ax.get_xlabel() == "mean of x0, component 0"
    assert ax.get_ylabel() == "mean of x1, component 1"
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), walks["em"].params.means[:, 0, 0])
    assert "as at the end of em" in ax.get_title(loc="left")
    plt.close("all")
    with pytest.raises(ArgumentError, match="two different means"):
        plots.plot_paths(walks, coordinates=[(0, "x0"), (0, 0)])
    with pytest.raises(ArgumentError, match="a path needs two"):
        bg.walk(X[:, :1], 1, engine="em", num_steps=2).plot()
