"""Partitions: distances, the search against all partitions, probabilities of rows and pairs, credible balls."""

import os
import signal
from dataclasses import replace
from itertools import pairwise
from threading import Event

import jax
import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import adjusted_rand_score

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.partitions import search as partition_search
from bayesgmm.partitions.distance import LOSSES, compact
from bayesgmm.partitions.draws import numbered
from bayesgmm.partitions.search import Search, losses
from bayesgmm.runtime.dtypes import scope

DISTANCES = {"vi": bg.variation_of_information, "binder": bg.binder_distance}
QUIET = {"progress_bar": False}


def noisy_draws(rng, num_draws, truth, num_classes, doubt):
    """Draws that differ from the truth in a share of the rows, each with randomly permuted labels."""
    other = rng.integers(num_classes, size=(num_draws, len(truth)))
    z = np.where(rng.random(other.shape) < doubt, other, truth)
    return shuffled(rng, z, num_classes)


def shuffled(rng, z, num_classes):
    return np.take_along_axis(np.stack([rng.permutation(num_classes) for _ in z]), z, axis=1)


def entropy(*labels):
    _, counts = np.unique(np.stack(labels), axis=1, return_counts=True)
    p = counts / counts.sum()
    return -sum(q * np.log(q) for q in p)


def pairs_apart(a, b):
    disagree = [(a[i] == a[j]) != (b[i] == b[j]) for i in range(len(a)) for j in range(i)]
    return sum(disagree) / len(disagree)


def together(z):
    """The N × N co-clustering matrix."""
    return np.mean([labels[:, None] == labels for labels in z], axis=0)


def set_partitions(n):
    """Every partition of n rows, as labels at most one above the largest label before."""
    found = np.zeros((1, 1), int)
    for _ in range(n - 1):
        found = np.concatenate([np.column_stack([np.repeat(row[None], row.max() + 2, 0), np.arange(row.max() + 2)])
                                for row in found])  # fmt: skip
    return found


def every_expected_loss(candidates, z, loss):
    """Mean loss of each candidate over the draws, by the textbook formulas."""
    n = z.shape[1]
    of_c = candidates[:, :, None] == np.arange(n)
    of_z = z[:, :, None] == np.arange(z.max() + 1)
    joint = np.einsum("pnc,snk->psck", of_c.astype(float), of_z.astype(float)) / n
    if loss == "binder":
        apart = [(joint.sum(axis=axis) ** 2).sum(axis=2) for axis in (2, 3)]
        return ((sum(apart) - 2 * (joint**2).sum(axis=(2, 3))) * n / (n - 1)).mean(axis=1)

    def entropies(p):
        return -(p * np.log(np.where(p > 0, p, 1.0))).reshape(*p.shape[:2], -1).sum(axis=2)

    return (2 * entropies(joint) - entropies(joint.sum(axis=2)) - entropies(joint.sum(axis=3))).mean(axis=1)


@pytest.fixture(scope="module")
def separated():
    """Two-dimensional data in three distant clusters, the truth, a fit, and Gibbs draws."""
    rng = np.random.default_rng(3)
    truth = np.sort(rng.integers(3, size=120))
    x = rng.normal(size=(120, 2)) + 9.0 * truth[:, None] * [1.0, -1.0]
    centres = 9.0 * np.arange(3)[:, None] * [1.0, -1.0]
    true = bg.Params(np.full(3, 1 / 3), centres, np.tile(np.eye(2), (3, 1, 1)))
    chain = {"num_warmup": 50, "num_samples": 200, "num_chains": 1, "init": true, "reference": true, **QUIET}
    post = bg.sample_gibbs(x, 3, seed=1, **chain)
    # The result that EM would return; to compile EM takes longer than the rest of this fixture.
    nothing = np.zeros(1), (), "em"
    fit = bg.MixtureFit(true, 0.0, 0.0, True, "converged", 1, *nothing, post.model, {}, False, post.clock, 0)
    return x, truth, fit, post


def test_adjusted_rand_equals_scikit_learn(rng):
    for sizes in ((2, 5), (9, 3), (40, 40)):
        a, b = (rng.integers(k, size=60) for k in sizes)
        b[:20] = a[:20]
        assert bg.adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    one, each = np.zeros(7, int), np.arange(7)
    for a, b in ((one, one), (each, each), (one, each), (each, [3, 3, 0, 0, 0, 1, 1])):
        assert bg.adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert bg.adjusted_rand(["a", "a", "b"], [10**12, 10**12, -5]) == 1.0


def test_distances_equal_the_formulas_and_are_metrics(rng):
    three = [rng.integers(k, size=40) for k in (3, 4, 7)]
    for a in three:
        for b in three:
            vi = 2 * entropy(a, b) - entropy(a) - entropy(b)
            assert bg.variation_of_information(a, b) == pytest.approx(vi, abs=1e-12)
            assert bg.binder_distance(a, b) == pytest.approx(pairs_apart(a, b), abs=1e-12)
    for distance in DISTANCES.values():
        ab, bc, ac = (distance(*pair) for pair in (three[:2], three[1:], three[::2]))
        assert ab == distance(three[1], three[0]) > 0
        assert ac <= ab + bc
        assert distance(three[0], 100 - 7 * three[0]) == 0.0
        near = three[0].copy()
        near[0] = 9
        assert distance(three[0], near) > 0
    assert bg.variation_of_information(np.zeros(50, int), np.arange(50)) == pytest.approx(np.log(50))
    assert bg.binder_distance(np.zeros(50, int), np.arange(50)) == pytest.approx(1.0)
    many = rng.permutation(3000), rng.permutation(3000) // 2  # more pairs of classes than a contingency table can hold
    assert bg.variation_of_information(*many) == pytest.approx(np.log(2))


def test_distances_refuse_invalid_input():
    for distance in (*DISTANCES.values(), bg.adjusted_rand):
        with pytest.raises(ArgumentError, match="3 and 2 rows"):
            distance([0, 1, 1], [0, 1])
        for bad in ([[0, 1]], [], [0.5, 1.0], ["a", None]):
            with pytest.raises(ArgumentError):
                distance(bad, [0, 1])


@pytest.mark.parametrize("loss", ["vi", "binder"])
def test_search_finds_the_best_of_all_partitions(loss):
    candidates = set_partitions(8)
    assert len(candidates) == 4140  # Bell number
    for number in range(6):
        rng = np.random.default_rng(number)
        z = noisy_draws(rng, 30, rng.integers(3, size=8), 3, (0.2, 0.5, 0.8)[number % 3])
        z[0, :3] = 0, 1, 2  # three classes in each set: one compiled program
        expected = every_expected_loss(candidates, z, loss)
        found = bg.partition(z, loss=loss, seed=number, **QUIET)
        assert found.expected_loss == pytest.approx(expected.min(), abs=1e-12)
        best = candidates[expected <= expected.min() + 1e-12]
        assert min(bg.binder_distance(found.labels, one) for one in best) == 0.0
        assert found.expected_loss == pytest.approx(np.mean([DISTANCES[loss](found.labels, one) for one in z]))


@pytest.mark.parametrize("loss", ["vi", "binder"])
def test_a_row_goes_where_the_expected_loss_is_least(rng, loss):
    z = noisy_draws(rng, 50, np.arange(40) % 3, 3, 0.5)
    chosen = LOSSES[loss]
    with scope("float64"):
        search = Search.of(z.T.astype(np.uint8), chosen, rng, Event())
        state = search.state(rng.integers(4, size=40), 8)
        for row in range(40):
            before = np.array(state.labels)
            state, moved = search.visit(state, np.array([row]))
            trials = [np.where(np.arange(40) == row, k, before) for k in range(8)]
            trials = [losses(compact(trial), search.z, chosen).mean() for trial in trials]
            after = losses(compact(np.array(state.labels)), search.z, chosen).mean()
            assert after == pytest.approx(min(trials), abs=1e-12)
            assert moved == (before != state.labels).any() == (after < trials[before[row]] - 1e-12)
        fresh = search.state(np.array(state.labels), 8)
        assert search.value(state) == pytest.approx(search.value(fresh), abs=1e-12)
        order = np.argsort(-np.asarray(state.sizes), kind="stable")  # a new state numbers its clusters by size
        np.testing.assert_array_equal(np.asarray(state.counts)[:, :, order], fresh.counts)
        np.testing.assert_array_equal(np.asarray(state.gains)[:, :, order], fresh.gains)


def test_splitting_clusters_escapes_a_poor_optimum(rng):
    z = noisy_draws(rng, 60, rng.integers(4, size=400), 4, 0.35)  # so noisy that one cluster has a smaller loss
    found = bg.partition(z, num_starts=1, **QUIET)
    assert found.excess[0] > 0.1
    assert found.num_clusters == 1


def test_search_respects_a_limit_and_finds_the_best_within():
    rng = np.random.default_rng(8)
    z = noisy_draws(rng, 30, np.arange(8) % 4, 4, 0.3)
    candidates = set_partitions(8)
    candidates = candidates[candidates.max(axis=1) < 2]
    for loss in DISTANCES:
        found = bg.partition(z, loss=loss, max_clusters=2, **QUIET)
        assert found.num_clusters == 2
        assert found.expected_loss == pytest.approx(every_expected_loss(candidates, z, loss).min(), abs=1e-12)


def test_number_of_clusters_can_grow(rng):
    z = np.stack([rng.permutation(np.arange(12) % 3) for _ in range(300)])  # each pair: P(same cluster) = 3/11
    assert (together(z) < 0.5).sum() == 12 * 11
    assert bg.partition(z, loss="binder", num_starts=2, **QUIET).num_clusters == 12


def test_numbering_of_the_draws_does_not_matter(rng):
    z = noisy_draws(rng, 50, np.repeat([0, 1, 2], [20, 15, 5]), 3, 0.3)
    for loss in DISTANCES:
        one, other = (bg.partition(draws, loss=loss, num_starts=4, **QUIET) for draws in (z, shuffled(rng, z, 3)))
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.expected_loss == pytest.approx(other.expected_loss, abs=1e-12)
        np.testing.assert_allclose(one.uncertainty, other.uncertainty, atol=1e-12)
    np.testing.assert_array_equal(np.argsort(-np.bincount(one.labels), kind="stable"), np.arange(one.num_clusters))
    for labels in ([3, 3, 7, 5, 5, 7], [9, 9, 1, 2, 2, 1]):  # equal sizes: in the order of their first rows
        np.testing.assert_array_equal(numbered(np.array(labels), None), [0, 0, 1, 2, 2, 1])


def test_rows_and_pairs_are_those_of_the_whole_matrix(rng, monkeypatch):
    monkeypatch.setattr("bayesgmm.partitions.draws.BLOCK_LABELS", 300)  # several blocks of rows and of draws
    monkeypatch.setattr("bayesgmm.partitions.search.BLOCK_LABELS", 300)
    z = noisy_draws(rng, 50, np.repeat([0, 1, 2], [20, 15, 5]), 3, 0.3)
    found, matrix = bg.partition(z, num_starts=4, **QUIET), together(z)
    np.testing.assert_allclose(found.similarity(), matrix, atol=1e-12)
    np.testing.assert_allclose(found.similarity([3, 39, 0]), matrix[np.ix_([3, 39, 0], [3, 39, 0])], atol=1e-12)
    np.testing.assert_allclose(found.similarity(found.labels == 1), matrix[found.labels == 1][:, found.labels == 1])
    same = found.labels[:, None] == found.labels
    np.testing.assert_allclose(found.uncertainty, np.abs(same - matrix).sum(axis=1) / 39, atol=1e-12)
    binder = bg.partition(z, num_starts=4, loss="binder", **QUIET)
    assert binder.expected_loss == pytest.approx(binder.uncertainty.mean(), abs=1e-12)
    occupied = [len(np.unique(labels)) for labels in z]
    assert found.counts.sum() == pytest.approx(1.0)
    assert found.counts[3] == pytest.approx(np.mean(np.array(occupied) == 3))


@pytest.mark.parametrize("loss", ["vi", "binder"])
def test_ball_equals_brute_force(rng, loss):
    z = noisy_draws(rng, 50, np.repeat([0, 1], [24, 16]), 3, 0.25)
    z[:25] = np.minimum(z[:25], 1)
    found = bg.partition(z, loss=loss, **QUIET)
    for level in (0.5, 0.95, 1.0):
        distances = np.array([DISTANCES[loss](found.labels, labels) for labels in z])
        counts = np.array([len(np.unique(labels)) for labels in z])
        radius = min(d for d in distances if (distances <= d + 1e-12).mean() >= level)
        inside = distances <= radius + 1e-12
        ball = found.credible_ball(level)
        assert ball.radius == pytest.approx(radius)
        assert ball.share == inside.mean() >= level
        limits = {"horizontal": inside, "upper": inside & (counts == counts[inside].min()),
                  "lower": inside & (counts == counts[inside].max())}  # fmt: skip
        for name, among in limits.items():
            bounds = getattr(ball, name)
            expected = z[among & (distances >= distances[among].max() - 1e-12)]
            assert len(bounds) == len({together([labels]).tobytes() for labels in expected})
            for bound in bounds:
                assert min(bg.binder_distance(bound, labels) for labels in expected) == 0.0
    assert found.ball.level == 0.95
    assert list(found.ball.summary().index) == ["horizontal", "upper", "lower"]
    assert "Credible ball" in found.ball._repr_html_()


def test_separated_clusters_are_found_and_summarised(separated):
    x, truth, _, posterior = separated
    before = jax.config.jax_enable_x64
    for loss in DISTANCES:
        found = bg.partition(posterior, loss=loss, num_starts=4, **QUIET)
        np.testing.assert_array_equal(found.labels, truth)  # numbered by the mean of the first feature
        assert found.expected_loss < 1e-3
        assert found.uncertainty.max() < 0.01
    assert jax.config.jax_enable_x64 == before
    summary = found.summary()
    np.testing.assert_array_equal(summary["rows"], np.bincount(truth))
    np.testing.assert_allclose(summary["mean[x1]"], [x[truth == k, 1].mean() for k in range(3)])
    assert "120 rows into 3 clusters" in " ".join(repr(found).split())
    assert "mean[x0]" in found._repr_html_()
    compilations = partition_search.VISIT.num_compilations
    assert bg.partition(posterior, num_starts=4, seed=5, **QUIET).num_clusters == 3
    assert partition_search.VISIT.num_compilations == compilations


def test_sampling_of_rows_changes_nothing(rng, monkeypatch):
    z = noisy_draws(rng, 60, rng.integers(4, size=400), 4, 0.2)
    for loss in DISTANCES:
        whole = bg.partition(z, loss=loss, max_clusters=6, num_starts=4, **QUIET)
        monkeypatch.setattr(partition_search, "CORE_ROWS", 150)
        sampled = bg.partition(z, loss=loss, max_clusters=6, num_starts=4, **QUIET)
        monkeypatch.undo()
        assert whole.num_clusters >= 4
        np.testing.assert_array_equal(sampled.labels, whole.labels)
        assert sampled.expected_loss == pytest.approx(whole.expected_loss, abs=1e-12)


def tree_of(arrays, z, x):
    axes = ("component", "feature", "feature_bis")
    variables = {name: (("chain", "draw", *axes[: values.ndim - 2]), values) for name, values in arrays.items()}
    variables["z"] = (("chain", "draw", "obs"), z)
    return xr.DataTree.from_dict({
        "posterior": xr.Dataset(variables), "observed_data": xr.Dataset({"x": (("obs", "feature"), x)}),
    })  # fmt: skip


def test_every_kind_of_draws_is_read(separated, rng):
    x, truth, _, posterior = separated
    z = posterior.draw_labels(x, 0)
    arrays = {name: np.asarray(getattr(posterior.params, name)) for name in ("weights", "means", "covariances")}
    tree = tree_of(arrays, z, x)
    probabilities = np.broadcast_to(posterior.predict_proba(x), (1, 200, 120, 3))
    sources = [(z, {}), (z.reshape(200, -1), {"x": x}), (z[0, :100].tolist(), {}), (tree, {"labels": "z", "x": x}), (tree, {}),
               (arrays, {"x": x}), (arrays, {"x": x, "probabilities": probabilities}), (posterior, {"labels": z})]  # fmt: skip
    for source, about in sources:
        found = bg.partition(source, num_starts=1, max_draws=100, **about, **QUIET)
        assert bg.adjusted_rand(found.labels, truth) == 1.0
        assert found.num_draws == 100
    assert found.num_available == 200
    assert "100 of 200 draws" in " ".join(repr(found).split())
    new = bg.partition(posterior, x=x[::-1], num_starts=1, **QUIET)
    np.testing.assert_array_equal(new.labels, truth[::-1])
    many = rng.integers(300, size=(5, 600))
    assert bg.partition(many, num_starts=1, **QUIET).draws.dtype == np.uint16


def test_data_of_a_tree_serve_where_labels_are_named(rng):
    x, z = np.array([0.0, 0.1, 5.0, 5.1]), np.broadcast_to([1, 1, 0, 0], (2, 30, 4))
    tree = xr.DataTree.from_dict({
        "posterior": xr.Dataset({"z": (("chain", "draw", "obs"), z)}), "observed_data": xr.Dataset({"y": (("obs",), x)}),
    })  # fmt: skip
    found = bg.partition(tree, labels="z")
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1])  # in the order of the data
    assert found.summary().iloc[1, -1] == pytest.approx(5.05)


def test_one_component_is_one_cluster(rng):
    """A partition needs no relabelling, so one component is allowed."""
    variables = {"weights": np.ones((2, 30, 1)), "means": rng.normal(size=(2, 30, 1, 1)), "sds": np.ones((2, 30, 1, 1))}
    found = bg.partition(variables, x=rng.normal(size=(20, 1)))
    assert found.num_clusters == 1
    assert found.expected_loss == 0.0


def test_draws_of_z_and_not_the_most_probable_class_are_counted():
    probabilities = np.zeros((1, 400, 6, 2))
    probabilities[..., 0] = [1.0, 1.0, 1.0, 0.6, 0.6, 0.0]
    probabilities[..., 1] = 1.0 - probabilities[..., 0]
    source = {"weights": np.full((1, 400, 2), 0.5)}
    found = bg.partition(source, probabilities=probabilities, num_starts=2, **QUIET)
    matrix = found.similarity()
    assert matrix[0, 3] == pytest.approx(0.6, abs=0.1)
    assert matrix[3, 4] == pytest.approx(0.52, abs=0.1)
    assert matrix[0, 5] == 0.0


def test_ctrl_c_keeps_the_best_so_far(rng):
    z = noisy_draws(rng, 50, np.arange(40) % 3, 3, 0.3)
    seen = []

    def stop(label, done, total, note):
        seen.append((label, done))
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    found = bg.partition(z, progress_bar=stop)
    assert found.interrupted
    assert "interrupted" in repr(found)
    assert found.labels.min() >= 0
    assert len(found.excess) <= 3
    assert all(before[1] <= after[1] for before, after in pairwise(seen))


def test_engines_are_compared(separated, rng):
    _, truth, fit, posterior = separated
    wrong = np.where(np.arange(120) < 30, 0, truth)
    spread = bg.partition(noisy_draws(rng, 100, truth, 3, 0.2), num_starts=1, **QUIET)
    results = {"em": fit, "gibbs": posterior, "wrong": wrong, "spread": spread}
    few = replace(spread, draws=spread.draws[:, :3])  # with three draws, a pair of a draw with itself would matter
    found = bg.partition_distances(bg.Comparison(fit.model, 0, results))
    np.testing.assert_array_equal(found.partitions["em"], truth)
    for table in (found.adjusted_rand, found.vi, found.expected_vi):
        np.testing.assert_array_equal(table, table.T)
        assert np.isfinite(table.to_numpy()).all()
    assert found.adjusted_rand.loc["gibbs", "wrong"] == pytest.approx(adjusted_rand_score(truth, wrong))
    assert found.vi.loc["em", "wrong"] == pytest.approx(bg.variation_of_information(truth, wrong))
    assert found.expected_vi.loc["em", "wrong"] == pytest.approx(found.vi.loc["em", "wrong"])
    assert found.expected_vi.loc["wrong", "wrong"] == 0.0
    apart = np.mean([bg.variation_of_information(few.draws[:, s], few.draws[:, s - 1]) for s in range(3)])
    assert bg.partition_distances({"few": few, "em": fit}).expected_vi.loc["few", "few"] == pytest.approx(
        apart, rel=0.1
    )
    z = spread.draws
    own = np.mean([bg.variation_of_information(z[:, s], z[:, t]) for s in range(0, 100, 3) for t in range(s)])
    assert found.expected_vi.loc["spread", "spread"] == pytest.approx(own, rel=0.05)
    from_truth = np.mean([bg.variation_of_information(truth, labels) for labels in z.T])
    assert found.expected_vi.loc["em", "spread"] == pytest.approx(from_truth)
    assert len(found.summary()) == 6
    assert "4 engines" in " ".join(repr(found).split())
    assert "adjusted Rand" in found._repr_html_()


def test_pictures(separated, rng):
    x, _, _, posterior = separated
    flat = bg.partition(posterior.draw_labels(x, 0), x=x[:, 0], num_starts=1, **QUIET)
    large = bg.partition(noisy_draws(rng, 10, np.arange(900) % 12, 12, 0.1), num_starts=1, **QUIET)
    found = bg.partition(posterior, num_starts=1, **QUIET)
    ax = found.plot()
    assert ax.get_images()[0].get_array().shape == (120, 120)
    assert large.plot().get_xlabel() == "400 of 900 rows"
    assert len(found.plot(kind="uncertainty").collections[0].get_offsets()) == 120
    assert flat.plot(kind="uncertainty").get_ylabel() == "uncertainty"
    assert plots.plot_similarity(found, ax) is ax
    with pytest.raises(ArgumentError, match="kind"):
        found.plot(kind="pie")
    with pytest.raises(ArgumentError, match="x="):
        large.plot(kind="uncertainty")


def test_bad_input_is_refused_before_the_search(separated):
    x, _, fit, _ = separated
    z = np.zeros((4, 120), int)
    weights = np.full((1, 5, 2), 0.5)
    tree = tree_of({"weights": weights}, z[:1].repeat(5, 0)[None], x)
    refused = [
        (ArgumentError, z, {"loss": "rand"}), (ArgumentError, z, {"num_starts": 0}), (ArgumentError, z, {"max_clusters": 0}),
        (ArgumentError, z, {"max_draws": 0}), (ArgumentError, z, {"seed": "today"}), (DataError, z, {"x": x[:50]}),
        (DrawsError, z[0], {}), (DrawsError, z + 0.5, {}), (DrawsError, np.zeros((2, 0), int), {}), (DrawsError, fit, {}),
        (DrawsError, tree, {"labels": "zz"}), (DrawsError, tree["posterior"].to_dataset().mean(), {"labels": "z"}),
        (DrawsError, {"weights": weights}, {}), (DrawsError, {"weights": weights}, {"probabilities": weights}),
    ]  # fmt: skip
    for error, source, options in refused:
        with pytest.raises(error):
            bg.partition(source, **options, **QUIET)
    found = bg.partition(z, num_starts=1, **QUIET)
    for rows in ([120], [], [0.5], [[1]], [True]):
        with pytest.raises(ArgumentError, match="rows"):
            found.similarity(rows)
    for level in (0.0, 1.5, float("nan")):
        with pytest.raises(ArgumentError, match="level"):
            found.credible_ball(level)
    with pytest.raises(ArgumentError, match="rows="):
        replace(found, draws=np.zeros((5001, 4), np.uint8)).similarity()
    for results in ({}, {"a": z[0]}, z, {"a": z[0], "b": z[0, :4]}, {"a": z[0], "b": z}, {"a": z[0], "b": "em"}):
        with pytest.raises(ArgumentError):
            bg.partition_distances(results)
    one = bg.partition(z[:1, :1], num_starts=1, **QUIET)
    assert (one.num_clusters, one.expected_loss, one.uncertainty[0]) == (1, 0.0, 0.0)


def test_a_partition_draws_the_features_asked_for(separated):
    found = bg.partition(separated[3])
    assert found.plot(kind="uncertainty", features=["x1", "x0"]).get_xlabel() == "x1"
    with pytest.raises(ArgumentError, match="kind='uncertainty'"):
        found.plot(features=["x1"])
