"""Covariance families: the M-step against independent formulas, fits of mclust, invariances and bad input."""

import contextlib
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.effort import SOME, WHOLE, some_and_slow
from oracles.mclust import STRICT, column_major, mclust_estimates, prior_entries, stays_at
from scipy.linalg import solve_triangular

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, CollapseError, DataError
from bayesgmm.model.families import FAMILIES, read_out, resolve_family

NAMES = list(FAMILIES)
TWO_FIRST = [pytest.param(name, marks=() if name in ("VEI", "EVE") else SOME) for name in NAMES]
"""Two types of covariance update in the default suite, because a family costs several compilations."""
READ_OUT = jax.jit(read_out, static_argnums=0)


def scatters(rng, k=3, d=3, n=40):
    counts = rng.uniform(0.5, 1.5, size=k) * n
    roots = rng.normal(size=(k, d, 2 * d)) * rng.uniform(0.3, 2.0, size=(k, d, 1))
    return counts, roots @ roots.swapaxes(1, 2) * n / (2 * d)


def m_step_objective(counts, scatter, covariances):
    """``-½ Σ n_k log|Σ_k| + tr(Σ_k⁻¹ W_k)``, term by term."""
    triples = zip(counts, covariances, scatter, strict=True)
    return -0.5 * sum(n * np.linalg.slogdet(s)[1] + np.trace(np.linalg.solve(s, w)) for n, s, w in triples)


def solve(name, counts, scatter, start=None, turns=60):
    """Repeat the covariance update until it converges; return the path."""
    with jax.enable_x64(True):
        trils = np.linalg.cholesky(scatter / counts[:, None, None]) if start is None else start
        step = partial(
            READ_OUT, FAMILIES[name], jnp.asarray(counts), jnp.asarray(scatter), active=jnp.ones(len(counts), bool)
        )
        path = [jnp.asarray(trils)]
        for _ in range(turns):
            path.append(step(trils=path[-1]))
        return [np.asarray(t @ t.swapaxes(-1, -2)) for t in path]


def member(name, rng, k=3, d=3):
    """A random member of the family, from its definition: Σ_k = λ_k D_k A_k D_kᵀ."""
    volume, shape, orientation = name
    volumes = np.exp(rng.normal(size=k if volume == "V" else 1)) * np.ones(k)
    shapes = (
        np.exp(rng.normal(size=(k if shape == "V" else 1, d))) * np.ones((k, 1)) if shape != "I" else np.ones((k, d))
    )
    shapes /= np.exp(np.log(shapes).mean(axis=1, keepdims=True))
    axes = np.array([np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(k)])
    if orientation == "E":
        axes[:] = axes[0]
    if orientation == "I":
        axes[:] = np.eye(d)
    return np.einsum("k,kde,ke,kfe->kdf", volumes, axes, shapes, axes)


@pytest.mark.parametrize("name", NAMES)
def test_read_out_is_in_the_family_and_best_in_it(rng, name):
    """No random member of the family has a larger M-step objective (each is scaled to its best volume)."""
    counts, scatter = scatters(rng)
    found = solve(name, counts, scatter)[-1]
    best = m_step_objective(counts, scatter, found)
    again = solve(name, counts, found * counts[:, None, None])[-1]
    np.testing.assert_allclose(again, found, rtol=1e-6, atol=1e-9)  # a member of the family is a fixed point
    for _ in range(300):
        other = member(name, rng)
        dim = len(other[0])
        if FAMILIES[name].volume == "V":
            size = [np.trace(np.linalg.solve(s, w)) / (dim * n) for s, w, n in zip(other, scatter, counts, strict=True)]
            other = other * np.array(size)[:, None, None]
        else:
            other = (
                other
                * sum(np.trace(np.linalg.solve(s, w)) for s, w in zip(other, scatter, strict=True))
                / (dim * counts.sum())
            )
        assert m_step_objective(counts, scatter, other) <= best + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_read_out_is_stationary_within_the_family(rng, name):
    """A small step from the update, projected back into the family, does not raise the objective."""
    counts, scatter = scatters(rng)
    found = solve(name, counts, scatter)[-1]
    best = m_step_objective(counts, scatter, found)
    for _ in range(20):
        noise = rng.normal(size=found.shape)
        near = found + 1e-4 * (noise + noise.swapaxes(1, 2))
        inside = solve(name, counts, near * counts[:, None, None])[-1]
        assert m_step_objective(counts, scatter, inside) <= best + 1e-9


@pytest.mark.parametrize("name", ["VEI", "VEE", "VEV", "EVE", "VVE"])
def test_inner_iterations_never_fall(rng, name):
    counts, scatter = scatters(rng, k=4, d=4)
    start = np.linalg.cholesky(member(name, rng, k=4, d=4))
    values = [m_step_objective(counts, scatter, s) for s in solve(name, counts, scatter, start, turns=30)]
    assert min(b - a for a, b in pairwise(values)) > -1e-9
    assert values[-1] - values[1] > 0.0


def graded(rng, kind, k=3, d=3):
    """Scatters with condition numbers near 1e20 (features in other units) or 1e11 (nearly collinear features)."""
    counts, scatter = scatters(rng, k, d)
    if kind == "units":
        units = np.array([1e6, 1e-4, 1e3])
        return counts, scatter * np.outer(units, units)
    roots = np.linalg.cholesky(scatter)
    roots[:, -1] = roots[:, 0] + 1e-5 * roots[:, -1]
    return counts, roots @ roots.swapaxes(1, 2)


def singular_values(factor):
    """Singular values of a square matrix, each to its own digits: one-sided Jacobi (Demmel & Veselić 1992)."""
    columns = np.array(factor, np.longdouble).T.copy()
    for _ in range(30):
        for i, j in zip(*np.triu_indices(len(columns), 1), strict=True):
            p, q, r = columns[i] @ columns[i], columns[i] @ columns[j], columns[j] @ columns[j]
            angle = 0.5 * np.arctan2(2.0 * q, r - p)
            cos, sin = np.cos(angle), np.sin(angle)
            columns[[i, j]] = cos * columns[i] - sin * columns[j], sin * columns[i] + cos * columns[j]
    return np.sort(np.sqrt((columns**2).sum(axis=1))).astype(float)


@pytest.mark.parametrize("kind", ["units", "collinear"])
@pytest.mark.parametrize("name", ["EVE", "VVE", "EEV", "VEV"])
def test_small_axes_keep_their_digits(rng, name, kind):
    """Where the axes of a component differ by 10 orders of magnitude, constraints and ascent hold as elsewhere."""
    counts, scatter = graded(rng, kind)
    roots = np.linalg.cholesky(scatter)
    heights = []
    with jax.enable_x64(True):
        trils = jnp.asarray(roots / np.sqrt(counts)[:, None, None])
        for _ in range(40):
            trils = READ_OUT(FAMILIES[name], jnp.asarray(counts), jnp.asarray(scatter), trils, jnp.ones(3, bool))
            white = [solve_triangular(tril, root, lower=True) for tril, root in zip(trils, roots, strict=True)]
            traces = np.array([np.square(part).sum() for part in white])
            logs = 2.0 * np.log(np.diagonal(trils, axis1=1, axis2=2)).sum(axis=1)
            heights.append(-0.5 * (counts @ logs + traces.sum()))
    assert np.diff(heights).min() > -1e-6
    assert abs(traces.sum() - 3.0 * counts.sum()) < 1e-4 * counts.sum()  # stationary in the common scale
    sds = np.array([singular_values(tril) for tril in trils])
    volumes = np.exp(np.log(sds).mean(axis=1, keepdims=True))
    if name[0] == "E":
        np.testing.assert_allclose(volumes, volumes[0, 0], rtol=1e-10)
    if name[1] == "E":
        np.testing.assert_allclose(sds / volumes, (sds / volumes)[[0] * 3], rtol=1e-4)
        spreads = np.array([singular_values(root) for root in roots]) ** 2
        if name == "EEV":  # closed form: the mean of the eigenvalues of the scatters, in their order
            np.testing.assert_allclose(sds**2, (spreads.sum(axis=0) / counts.sum())[None].repeat(3, 0), rtol=1e-4)


@pytest.mark.parametrize("name", TWO_FIRST)
def test_objective_never_falls_in_any_family(rng, name):
    x = np.concatenate([rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) * [0.4, 2.0, 1.0] + 1.5])
    for prior in (None, "default"):
        fit = bg.fit_em(x, 2, covariance_type=name, prior=prior, n_init=1, accelerate=False, max_iter=200, tol=1e-5)
        assert np.diff(fit.trace).min() > -1e-9 * abs(fit.objective)
        quick = bg.fit_em(x, 2, covariance_type=name, prior=prior, n_init=1, max_iter=200, tol=1e-5)
        assert np.diff(quick.trace).min() > -1e-9 * abs(fit.objective)
        assert quick.objective > fit.objective - 1e-3


def test_parameters_are_counted_as_mclust_counts_them(truth, reference_data):
    for name, entry in truth("mclust_families")["data"].items():
        dim = reference_data[name].shape[1]
        for model, size, df, _ in entry["fits"]:
            family = resolve_family(model, dim)
            assert size - 1 + size * dim + family.num_parameters(size, dim) == df


@pytest.mark.parametrize(("name", "model", "size"), some_and_slow(mclust_estimates(), 32))
def test_mclusts_estimates_are_fixed_points(truth, reference_data, name, model, size):
    """Started at mclust's estimate (tolerance 1e-12), EM stays there or improves on it, in every family."""
    x = reference_data[name].to_numpy()
    dim = x.shape[1]
    theirs = next(p for p in truth("mclust_families")["data"][name]["params"] if (p["model"], p["G"]) == (model, size))
    means = np.asarray(theirs["mean"], float).reshape(size, dim)
    sigma = np.asarray(theirs["sigma"], float)
    covariances = sigma.reshape(size, 1, 1) if dim == 1 else sigma
    fit, _ = stays_at(x, size, model, np.atleast_1d(theirs["pro"]), means, covariances)
    assert fit.trace[0] == pytest.approx(theirs["loglik"], rel=1e-7)
    assert fit.log_likelihood >= theirs["loglik"] - 1e-6 * abs(theirs["loglik"])
    if fit.log_likelihood < theirs["loglik"] + 1e-6 * abs(theirs["loglik"]):
        assert fit.bic() == pytest.approx(-theirs["bic"], rel=1e-6)


@pytest.mark.parametrize("theirs", [*prior_entries(strict=True)[::2], *some_and_slow(prior_entries(strict=False), 0)])
def test_map_equals_mclust(reference_data, theirs):
    """Fraley & Raftery's prior as mclust applies it: the estimate of mclust is the mode of our objective.

    There are exceptions. For EII and EEI the estimate of mclust is not a fixed point of the published update (for EEI
    mclust omits the priors of the means from the denominator). For EVI, VEI, EEV and VEV mclust uses another penalty.
    In these families EM must only raise the objective.
    """
    x = reference_data[theirs["dataset"]].to_numpy()
    size, dim = theirs["G"], x.shape[1]
    scale = np.cov(x.T) / size ** (2 / dim)
    if theirs["model"] in ("EII", "VII", "EEI", "VVI", "EVI", "VEI"):
        scale = np.trace(scale) / dim * np.eye(dim)
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(x.mean(axis=0), 0.01, dim + 2.0, scale))
    means = column_major(theirs["mean"], dim, size).T
    covariances = np.moveaxis(column_major(theirs["sigma"], dim, dim, size), -1, 0)
    fit, order = stays_at(x, size, theirs["model"], theirs["pro"], means, covariances, prior=prior)
    assert fit.trace[-1] >= fit.trace[0] - 1e-9
    if theirs["model"] in STRICT:
        assert fit.log_likelihood == pytest.approx(theirs["loglik"], rel=1e-7)
        np.testing.assert_allclose(fit.params.weights, np.asarray(theirs["pro"])[order], rtol=1e-4)
        np.testing.assert_allclose(fit.params.means, means[order], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "prior"),
    some_and_slow([(name, prior) for name in ("EII", "VEE", "EVE", "VEV", "EVV") for prior in (None, "default")], 3),
)
def test_estimates_are_equivariant_to_units_where_the_family_is(rng, name, prior):
    """All families: a shift and one common scale. Scale-free families: also a separate unit for each feature."""
    x = np.concatenate([rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) * [0.5, 1.5, 1.0] + 3])
    units = np.array([1e3, 1e-2, 7.0]) if FAMILIES[name].scale_free else np.full(3, 40.0)
    start = {"labels_init": np.repeat([0, 1], 80)}
    one = bg.fit_em(x, 2, covariance_type=name, prior=prior, **start)
    two = bg.fit_em(x * units + 1e3, 2, covariance_type=name, prior=prior, **start)
    np.testing.assert_allclose(two.params.covariances, one.params.covariances * np.outer(units, units), rtol=1e-4)
    assert two.log_likelihood == pytest.approx(one.log_likelihood - 160 * np.log(units).sum(), abs=1e-4)


def test_scikit_learns_names_are_aliases(rng):
    for alias, name in {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}.items():
        assert resolve_family(alias, 2) is FAMILIES[name]
    x = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 4])
    assert bg.fit_em(x, 2, covariance_type="tied", n_init=1).family.name == "EEE"


@pytest.mark.parametrize(
    "kind", ["spherical", *(pytest.param(k, marks=pytest.mark.slow) for k in ("full", "tied", "diag"))]
)
def test_scikit_learn_estimates_are_fixed_points(truth, reference_data, kind):
    """Started at scikit-learn's estimate (tolerance 1e-12), EM stays there, for all four covariance types."""
    entries = [entry for entry in truth("sklearn")["gmm_families"] if entry["covariance_type"] == kind]
    assert entries
    for entry in entries:
        x, size = reference_data[entry["dataset"]].to_numpy(), entry["K"]
        theirs = as_full(np.asarray(entry["covariances"], float), kind, size, x.shape[1])
        means = np.asarray(entry["means"])
        fit, order = stays_at(x, size, kind, entry["weights"], means, theirs, accelerate=False)
        assert fit.trace[0] == pytest.approx(entry["loglik_polished"], rel=1e-7)
        assert fit.log_likelihood == pytest.approx(entry["loglik_polished"], rel=1e-6)
        assert fit.n_parameters == entry["n_parameters"]
        np.testing.assert_allclose(fit.params.means, means[order], rtol=1e-4)


def as_full(values, covariance_type, size, dim):
    if covariance_type == "tied":
        return np.broadcast_to(values, (size, dim, dim))
    if covariance_type == "diag":
        return values[:, :, None] * np.eye(dim)
    if covariance_type == "spherical":
        return values[:, None, None] * np.eye(dim)
    return values


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused_in_every_family(rng, name):
    x = rng.normal(size=(50, 2))
    with pytest.raises(ArgumentError, match="means_init must be"):
        bg.fit_em(x, 2, covariance_type=name, means_init=np.zeros((3, 2)))
    with pytest.raises(ArgumentError, match="without a row"):
        bg.fit_em(x, 3, covariance_type=name, labels_init=np.repeat([0, 2], 25))
    few = np.repeat(rng.normal(size=(3, 2)), 20, axis=0)
    with pytest.raises(DataError, match="distinct rows"):
        bg.fit_em(few, 4, covariance_type=name, init="hierarchical")  # it compiles nothing ahead
    if name in ("EII", "VII", "EEI", "VVI", "EEE", "VVV"):
        assert resolve_family(name, 1).label(1) == name[0]
    else:
        with pytest.raises(ArgumentError, match="more than one feature"):
            bg.fit_em(rng.normal(size=(50, 1)), 1, covariance_type=name)


@pytest.mark.parametrize("name", ["VVV", pytest.param("EEI", marks=WHOLE)])
def test_families_of_one_feature_are_fitted_by_any_name(rng, name):
    assert bg.fit_em(rng.normal(size=(50, 1)), 1, covariance_type=name).family.label(1) == name[0]


def test_unknown_families_are_refused(rng):
    with pytest.raises(ArgumentError, match="Unknown covariance_type 'XYZ'"):
        bg.fit_em(rng.normal(size=(50, 2)), 2, covariance_type="XYZ")
    with pytest.raises(ArgumentError, match="for one feature"):
        bg.fit_em(rng.normal(size=(50, 2)), 2, covariance_type="V")


@pytest.mark.parametrize("name", TWO_FIRST)
def test_a_collapse_is_an_error_or_a_flag_in_every_family(rng, name):
    """Ten copies of one row beside a cluster: the likelihood is unbounded if volumes or shapes vary by component."""
    x = np.concatenate([rng.normal(size=(40, 2)), np.full((10, 2), 8.0)])
    labels = np.repeat([0, 1], [40, 10])
    if FAMILIES[name].volume == "E":
        with contextlib.suppress(CollapseError):
            fit = bg.fit_em(x, 2, covariance_type=name, labels_init=labels)
            assert np.linalg.eigvalsh(fit.params.covariances).min() > 0
    else:
        with pytest.raises(CollapseError, match="prior='default'"):
            bg.fit_em(x, 2, covariance_type=name, labels_init=labels)
    bounded = bg.fit_em(x, 2, covariance_type=name, labels_init=labels, prior="default")
    assert np.isfinite(bounded.objective)


@pytest.mark.parametrize("name", ["EEI", pytest.param("VVI", marks=SOME), pytest.param("EEE", marks=SOME)])
def test_single_precision_makes_no_noise(rng, name):
    """Warnings are errors here: JAX warns where a 64-bit integer is asked for in single precision."""
    x = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 4]).astype(np.float32)
    fit = bg.fit_em(x, 2, covariance_type=name, prior="default", dtype="float32", tol=0.05, n_init=2)
    assert fit.family.name == name
