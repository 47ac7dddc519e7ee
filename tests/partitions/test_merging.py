"""Components merged into clusters: against R's mclust (clustCombi), a textbook twin, and what must hold of entropies."""

import numpy as np
import pytest
from oracles.twins import log_joint
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.errors import ArgumentError
from bayesgmm.partitions.elbow import elbow_of
from bayesgmm.partitions.merging import merged

EXAMPLES = ("faithful", "iris", "ex4.1", "ex4.2")
"""``mclust_combi.json``: R 4 with mclust 6.0.0, ``clustCombi`` and ``clustCombiOptim`` of ``Mclust`` on faithful (VVV,
4), on iris (VEV, 5), and on examples 4.1 and 4.2 of Baudry et al. (2010), whose rows are in the file. Each is after one
more E-step, so that the classes are those of the parameters."""


def theirs(truth, reference_data, name):
    entry = truth("mclust_combi")[name]
    x = np.asarray(entry["x"] if "x" in entry else reference_data[name], float)
    joint = log_joint(*(np.asarray(entry[part]) for part in ("weights", "means", "covariances")), x)
    return entry, np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def twin(t):
    """Baudry et al. (2010), section 2, with loops: the cluster of each component for each number of clusters."""

    def xlogx(value):
        return value * np.log(value) if value > 0 else 0.0

    clusters = [[k] for k in range(t.shape[1])]
    entropies, found = [], []
    while True:
        parts = [[sum(row[k] for k in cluster) for row in t] for cluster in clusters]
        entropies.append(-sum(xlogx(value) for part in parts for value in part))
        found.append([tuple(cluster) for cluster in clusters])
        if len(clusters) == 1:
            return entropies[::-1], found[::-1]
        gains = {}
        for i in range(len(clusters)):
            for j in range(i + 1, len(clusters)):
                gains[i, j] = sum(xlogx(a + b) - xlogx(a) - xlogx(b) for a, b in zip(parts[i], parts[j], strict=True))
        i, j = max(gains, key=lambda pair: gains[pair])
        clusters[i] = sorted(clusters[i] + clusters.pop(j))


def as_sets(labels):
    return {frozenset(np.flatnonzero(np.asarray(labels) == one).tolist()) for one in set(labels)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_mergers_entropies_and_elbow_are_those_of_mclust(truth, reference_data, name):
    entry, t = theirs(truth, reference_data, name)
    groups, entropy = merged(t, np.ones(len(t)))
    np.testing.assert_allclose(entropy, entry["entropy"], atol=1e-4)
    assert [as_sets(labels) for labels in groups.tolist()] == [as_sets(labels) for labels in entry["groups"]]
    found = elbow_of(entropy)
    assert found is not None
    assert found.at == entry["suggested"]


def test_mergers_are_those_of_the_textbook(truth, reference_data):
    _, t = theirs(truth, reference_data, "faithful")
    entropies, clusters = twin(t)
    groups, entropy = merged(t, np.ones(len(t)))
    np.testing.assert_allclose(entropy, entropies, rtol=1e-10, atol=1e-10)
    assert [as_sets(labels) for labels in groups.tolist()] == [set(map(frozenset, one)) for one in clusters]


def test_another_order_of_mergers_would_be_caught(truth, reference_data):
    """Negative control: joining the clusters of smallest total weight, as one might, gives other clusters."""
    entry, t = theirs(truth, reference_data, "ex4.2")
    lightest = frozenset(np.argsort(t.sum(axis=0))[:2].tolist())
    assert all(lightest not in as_sets(labels) for labels in entry["groups"])


def test_a_weight_is_as_many_rows(truth, reference_data):
    _, t = theirs(truth, reference_data, "faithful")
    counts = np.resize([1, 2, 3], len(t))
    repeated = merged(np.repeat(t, counts, axis=0), np.ones(counts.sum()))
    for one, other in zip(merged(t, counts.astype(float)), repeated, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-9)


def test_elbow_is_where_two_lines_meet():
    for at in range(2, 6):
        heights = np.maximum(0.0, np.arange(1.0, 7.0) - at) * 3.0 + 0.1 * np.arange(6)
        found = elbow_of(heights)
        assert found is not None
        assert found.at == at
        np.testing.assert_allclose(found.before[0], 0.1, atol=1e-9)
        np.testing.assert_allclose(found.after[0], 3.1, atol=1e-9)
    assert elbow_of(np.zeros(2)) is None


@pytest.fixture(scope="module")
def fit(reference_data):
    return bg.fit_em(reference_data["faithful"], 3, covariance_type="EEE", n_init=4)


def test_merging_of_a_fit(fit, reference_data):
    merging = bg.merge(fit)
    assert merging.suggested == 2
    assert [len(merging.components(size)) for size in (1, 2, 3)] == [1, 2, 3]
    np.testing.assert_allclose(merging.predict_proba(3), fit.predict_proba())
    np.testing.assert_allclose(merging.predict_proba(1), 1.0)
    assert merging.entropy[-1] == pytest.approx(fit.entropy())
    assert bg.adjusted_rand(merging.labels(), np.asarray(reference_data["faithful"])[:, 1] > 68) > 0.9
    new = merging.predict_proba(2, reference_data["faithful"][:5])
    np.testing.assert_allclose(new, merging.predict_proba()[:5])
    assert (np.diff(merging.entropy) >= 0).all()
    assert merging.merges[-1] == merging.components(2)
    assert "2 clusters" in repr(merging)
    assert "<table" in merging._repr_html_()
    assert merging.to_markdown().count("\n") == 5
    ax = plots.plot_merging(merging)
    assert "suggested" in ax.get_title(loc="left")
    points = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_ydata(), merging.entropy)
    before, after = (next(line for line in ax.lines if word in line.get_label()) for word in ("before", "after"))
    sizes, at = np.arange(1, 4), merging.elbow.at
    for line, part in ((before, slice(None, at)), (after, slice(at - 1, None))):
        slope, start = np.polyfit(sizes[part], merging.entropy[part], 1)
        np.testing.assert_allclose(line.get_ydata(), slope * line.get_xdata() + start, atol=1e-9)


def test_merging_of_draws_says_how_sure_it_is(reference_data):
    posterior = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=50, num_samples=50, num_chains=2)
    merging = bg.merge(posterior, max_draws=40)
    assert merging.entropy_draws is not None
    assert merging.entropy_draws.shape == (40, 2)
    assert merging.suggested_by_draws.sum() == pytest.approx(1.0)
    # Entropy is concave, so that averaged probabilities have more of it.
    assert merging.entropy[-1] > merging.entropy_draws.mean(axis=0)[-1]
    draw = bg.from_draws({name: np.asarray(part)[:1, :1] for name, part in posterior.params._asdict().items()},
                         reference_data["faithful"])  # fmt: skip
    single = bg.merge(draw)
    assert single.entropy_draws is not None
    np.testing.assert_allclose(single.entropy_draws[0], single.entropy, rtol=1e-8, atol=1e-10)


def test_components_apart_are_not_merged():
    x = np.random.default_rng(1).normal(size=(272, 2)) + 10.0 * np.repeat(range(3), (90, 90, 92))[:, None]
    merging = bg.merge(bg.fit_em(x, 3, covariance_type="EEE", n_init=4))
    assert merging.suggested == 3
    assert "No merger" in " ".join(merging.notes())


def test_bad_input_is_refused(fit):
    with pytest.raises(ArgumentError, match="fit or a posterior"):
        bg.merge(3)
    merging = bg.merge(fit)
    with pytest.raises(ArgumentError, match="n_clusters"):
        merging.labels(4)
    with pytest.raises(ArgumentError, match="n_clusters"):
        merging.components(0)
    with pytest.raises(ArgumentError, match="no draws"):
        _ = merging.suggested_by_draws
