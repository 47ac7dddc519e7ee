"""Directions that separate components: the eigenproblem, units, known subspaces; the picture and the pairs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from oracles.extents import assert_readable
from scipy.linalg import eigh, subspace_angles

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.plots.components import features_shown
from bayesgmm.plots.directions import directions_of, moments_of, most_separating, separation_of, words_of
from bayesgmm.plots.ellipses import RADIUS, gaussians_of
from bayesgmm.plots.projection import projected
from bayesgmm.plots.style import component_color

DIM = 6


def mixture(rng, num: int, dim: int = DIM) -> bg.Params:
    roots = rng.normal(size=(num, dim, dim)) / 2.0
    covariances = roots @ roots.swapaxes(1, 2) + np.eye(dim)
    return bg.Params.of(rng.dirichlet(np.full(num, 5.0)), 2.0 * rng.normal(size=(num, dim)), covariances)


def by_hand(params: bg.Params) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B, W and Σ with loops."""
    mean = sum(w * m for w, m in zip(params.weights, params.means, strict=True))
    between = sum(w * np.outer(m - mean, m - mean) for w, m in zip(params.weights, params.means, strict=True))
    within = sum(w * s for w, s in zip(params.weights, np.asarray(params.covariances), strict=True))
    return np.asarray(between), np.asarray(within), np.asarray(between + within)


@pytest.mark.parametrize("num", [3, 5])
def test_directions_solve_the_eigenproblem(rng, num):
    """M v = l Σ v with M = B Σ⁻¹ B (Scrucca 2010, λ = 1), for the largest eigenvalues."""
    params = mixture(rng, num)
    between, within, total = by_hand(params)
    kernel = between @ np.linalg.solve(total, between)
    values, vectors = eigh(kernel, total)
    found = directions_of(params)
    for i in range(2):
        one, other = found.basis[:, i], vectors[:, -1 - i]
        np.testing.assert_allclose(np.abs(one @ other) / np.linalg.norm(one) / np.linalg.norm(other), 1.0, rtol=1e-8)
        np.testing.assert_allclose(kernel @ one, values[-1 - i] * total @ one, atol=1e-8)
    np.testing.assert_allclose(found.shares, values[::-1][:2] / values.sum())
    np.testing.assert_allclose(found.basis.T @ within @ found.basis, np.eye(2), atol=1e-9)
    assert found.sources == ("means", "means")


def test_two_components_differ_along_fishers_discriminant_and_in_covariances(rng):
    params = mixture(rng, 2)
    _, within, total = by_hand(params)
    found = directions_of(params)
    fisher = np.linalg.solve(within, params.means[1] - params.means[0])
    assert found.sources == ("means", "covariances")
    assert np.abs(subspace_angles(found.basis[:, :1], fisher[:, None])).max() < 1e-7
    assert found.shares[0] == pytest.approx(1.0)
    away = np.asarray(params.covariances) - within
    unequal = sum(w * a @ np.linalg.solve(total, a) for w, a in zip(params.weights, away, strict=True))
    np.testing.assert_allclose(moments_of(params).unequal, unequal)
    assert abs(found.basis[:, 0] @ total @ found.basis[:, 1]) < 1e-9
    # no other direction that is orthogonal in Σ has more of the differences of covariances
    ratio = lambda v: (v @ unequal @ v) / (v @ total @ v)  # noqa: E731
    others = rng.normal(size=(500, DIM))
    first = found.basis[:, 0]
    others = others - np.outer(others @ total @ first / (first @ total @ first), first)
    assert max(map(ratio, others)) <= ratio(found.basis[:, 1]) * (1 + 1e-9)


def test_units_do_not_matter(rng):
    params, scale = mixture(rng, 4), np.array([1e-4, 1.0, 30.0, 1e5, 2.0, 0.1])
    scaled = bg.Params.of(params.weights, params.means * scale, params.covariances * np.outer(scale, scale))
    one, other = directions_of(params), directions_of(scaled)
    np.testing.assert_allclose(other.basis * scale[:, None], one.basis, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.shares, one.shares)
    np.testing.assert_allclose(separation_of(scaled), separation_of(params))
    assert words_of(one, params, tuple("abcdef"), 2) == words_of(other, scaled, tuple("abcdef"), 2)


def test_spherical_components_far_apart_give_the_plane_of_their_means(rng):
    """The negative control is principal components, which a feature with much noise leads away."""
    plane = np.linalg.qr(rng.normal(size=(DIM, 2)))[0]
    means = np.array([[0.0, 0.0], [20.0, 0.0], [5.0, 18.0]]) @ plane.T
    params = bg.Params.of(np.full(3, 1 / 3), means, np.broadcast_to(np.eye(DIM), (3, DIM, DIM)))
    found = directions_of(params)
    assert np.abs(subspace_angles(found.basis, plane)).max() < 1e-7
    noisy = bg.Params.of(np.full(3, 1 / 3), means, np.broadcast_to(np.diag([1e4, 1, 1, 1, 1, 1]), (3, DIM, DIM)))
    moments = moments_of(noisy)
    principal = np.linalg.eigh(moments.between + moments.within)[1][:, -2:]

    def apart(basis: np.ndarray) -> float:
        between, within = (basis.T @ part @ basis for part in (moments.between, moments.within))
        return float(np.linalg.det(between) / np.linalg.det(within))

    assert apart(directions_of(noisy).basis) > 100.0 * apart(principal)


def test_one_component_has_its_principal_components(rng):
    params = mixture(rng, 1)
    covariance = np.asarray(params.covariances)[0]
    scale = np.sqrt(np.diagonal(covariance))
    found = directions_of(params)
    assert found.sources == ("spread", "spread")
    vectors = np.linalg.eigh(covariance / np.outer(scale, scale))[1][:, [-1, -2]]
    for i in range(2):
        assert np.abs(subspace_angles((found.basis[:, i] * scale)[:, None], vectors[:, [i]])).max() < 1e-7


def test_features_are_chosen_by_separation(made):
    fit = made[8]["em"]
    weights, means, covariances = (np.asarray(part) for part in (*fit.params[:2], fit.params.covariances))
    away = means - weights @ means
    ratio = [weights @ away[:, d] ** 2 / (weights @ covariances[:, d, d]) for d in range(8)]
    np.testing.assert_allclose(separation_of(fit.params), ratio)
    chosen, why = features_shown({"em": fit}, None, 5)
    assert chosen == sorted(np.argsort(ratio)[-5:].tolist()) == most_separating(fit.params, 5)
    assert "separate the components most" in why
    assert features_shown({"em": fit}, [7, 0], 5) == ([7, 0], "")
    assert features_shown({"em": made[2]["em"]}, None, 5) == ([0, 1], "")


def test_the_picture_shows_projected_rows_and_ellipses(made):
    results = made[8]
    fit = results["em"]
    ax = plots.plot_projection(results)
    found = directions_of(fit.params)
    points = next(one for one in ax.collections if isinstance(one, PathCollection))
    center = fit.params.weights @ fit.params.means
    expected = (np.asarray(fit.table.values) - center) @ found.basis
    offsets = np.asarray(points.get_offsets())
    np.testing.assert_allclose(offsets[np.lexsort(offsets.T)], expected[np.lexsort(expected.T)])
    colors = {tuple(color[:3]) for color in np.round(points.get_facecolor(), 6)}
    assert colors == {tuple(np.round(to_rgb(component_color(k)), 6)) for k in range(3)}
    ellipses = [one for one in ax.patches if isinstance(one, Ellipse)]
    assert len(ellipses) == 6  # of both engines
    for k, one in enumerate(ellipses[:3]):
        np.testing.assert_allclose(one.center, (fit.params.means[k] - center) @ found.basis)
        values = np.linalg.eigvalsh(found.basis.T @ fit.params.covariances[k] @ found.basis)
        np.testing.assert_allclose((one.width, one.height), 2.0 * RADIUS * np.sqrt(values))
    assert {"0", "1", "2"} <= {text.get_text() for text in ax.texts}
    assert "direction 1 (means, " in ax.get_xlabel()
    assert "column" in ax.get_ylabel()
    assert "8 features" in ax.get_title(loc="left")
    assert_readable(ax.figure)


def test_draws_are_projected_one_by_one(made):
    draws = made[8]["gibbs"]
    basis = directions_of(gaussians_of(draws)).basis
    seen = projected(draws, basis, np.zeros(8))
    np.testing.assert_allclose(seen.params.means, draws.params.means @ basis)
    np.testing.assert_allclose(
        seen.params.covariances, basis.T @ draws.params.covariances @ basis, rtol=1e-7, atol=1e-9
    )


def test_rows_of_the_user_and_what_is_refused(made):
    fit = made[8]["em"]
    x = np.asarray(fit.table.values)[:7]
    ax = plots.plot_projection(fit, x)
    assert len(next(one for one in ax.collections if isinstance(one, PathCollection)).get_offsets()) == 7
    with pytest.raises(DataError, match="8 features"):
        plots.plot_projection(fit, x[:, :3])
    with pytest.raises(ArgumentError, match="two features or more"):
        plots.plot_projection(made[1]["em"])
    with pytest.raises(ArgumentError, match="ax must be"):
        plots.plot_projection(fit, ax=3)
    with pytest.raises(ArgumentError, match="same features"):
        plots.plot_projection({"a": fit, "b": made[2]["em"]})


def test_results_of_many_features_draw_their_projection(made):
    assert "direction 1" in made[8]["em"].plot().get_xlabel()
    assert "direction 1" in made[8]["gibbs"].plot().get_xlabel()
    assert made[8]["em"].plot(features=[0, 7]).get_ylabel() == "column 7"
    assert made[2]["em"].plot().get_xlabel() == "column 0"


@pytest.mark.parametrize("dim", [2, 8])
def test_a_column_of_a_paper_is_wide_enough(made, dim):
    """3.4 inches: the legend stands below, the axes keep their width, and nothing is cut off."""
    for draw in (plots.plot_projection, *[plots.plot_components] * (dim == 2)):
        _, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
        draw(made[dim]["em"], ax=ax)
        assert_readable(ax.figure)
        assert ax.get_position().width > 0.7
