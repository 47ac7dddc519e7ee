"""Relabelling: every method against a slow reference, R's label.switching, and randomly permuted draws."""

import itertools

import numpy as np
import pytest
import xarray as xr
from oracles import TRUTH
from oracles.draws import DIM, ROWS, K, made

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DrawsError, IdentifiabilityWarning
from bayesgmm.numerics.assignment import assign, cost_of, exchange_ratios, renumber
from bayesgmm.relabelling import methods as rl


def sources(rng, apart, **sizes):
    """The same draws under two permutations, and data."""
    variables, x = made(rng, apart, **sizes)
    shape = variables["weights"].shape
    order = rng.permuted(np.broadcast_to(np.arange(shape[2]), shape), axis=-1)
    return variables, {name: renumber(v, order, 2) for name, v in variables.items()}, x


def run(method, draws, x, **options):
    return rl.relabel(draws, method, x=x, **options)


def probabilities(variables, x):
    """p(z_n = k) for each draw, from SciPy's densities, (draw, N, K)."""
    from scipy.stats import multivariate_normal

    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in variables.items()}
    joint = np.array([
        [w[k] * multivariate_normal.pdf(x, m[k], c[k]) for k in range(len(w))]
        for w, m, c in zip(flat["weights"], flat["means"], flat["covariances"], strict=True)
    ])  # fmt: skip
    return (joint / joint.sum(axis=1, keepdims=True)).swapaxes(1, 2)


# --- The assignment problem ---


@pytest.mark.parametrize("num", [2, 3, 4, 5, 6])
def test_assignment_is_the_cheapest_permutation(rng, num):
    costs = rng.random((60, num, num))
    orders = np.array(list(itertools.permutations(range(num))))
    totals = costs[:, np.arange(num), orders].sum(axis=2)
    np.testing.assert_array_equal(assign(costs), orders[totals.argmin(axis=1)])
    np.testing.assert_allclose(cost_of(costs, assign(costs)), totals.min(axis=1))


def test_exchange_ratios_are_what_they_say(rng):
    costs = rng.random((5, 4, 4))
    permutations = assign(costs)
    ratios = exchange_ratios(costs, permutations)
    for s, k, j in np.ndindex(5, 4, 4):
        p = permutations[s].copy()
        given = costs[s, k, p[k]] + costs[s, j, p[j]]
        p[[k, j]] = p[[j, k]]
        expected = 0.0 if k == j else min(given / (costs[s, k, p[k]] + costs[s, j, p[j]]), 1.0)
        assert ratios[s, k, j] == pytest.approx(expected)


# --- Reference implementations: loops over draws and over all K! permutations ---


def cheapest(cost):
    """The cheapest of all permutations of one draw, under ``cost[k, j]``."""
    return min(itertools.permutations(range(len(cost))), key=lambda p: sum(cost[k, j] for k, j in enumerate(p)))


def twin_ecr(z, pivot):
    return np.array(
        [cheapest(np.array([[-np.sum((pivot == k) & (row == j)) for j in range(K)] for k in range(K)])) for row in z]
    )


def settle(start, better):
    found = start
    for _ in range(100):
        new = better(found)
        if (new == found).all():
            return found
        found = new
    raise AssertionError("the twin did not settle")


def named_labels(z, permutations):
    return np.array([[list(p).index(j) for j in row] for row, p in zip(z, permutations, strict=True)])


def twin_iterative_1(z, p):
    def better(permutations):
        named = named_labels(z, permutations)
        return twin_ecr(z, np.array([np.bincount(column, minlength=K).argmax() for column in named.T]))

    return better


def twin_iterative_2(z, p):
    def better(permutations):
        mean = np.mean([one[:, list(order)] for one, order in zip(p, permutations, strict=True)], axis=0)
        return twin_ecr(z, mean.argmax(axis=1))

    return better


def twin_stephens(z, p):
    def better(permutations):
        q = np.mean([one[:, list(order)] for one, order in zip(p, permutations, strict=True)], axis=0)
        return np.array(
            [cheapest(np.sum(one[:, None, :] * np.log(one[:, None, :] / q[:, :, None]), axis=0)) for one in p]
        )

    return better


def same_up_to_names(found, twin):
    """Whether the permutations of all draws are equal up to one common permutation."""
    return any((found == twin[:, list(order)]).all() for order in itertools.permutations(range(found.shape[1])))


@pytest.mark.parametrize(
    ("method", "twin"),
    [("ecr-iterative-1", twin_iterative_1), ("ecr-iterative-2", twin_iterative_2), ("stephens", twin_stephens)],
)
@pytest.mark.parametrize("apart", [1.5, 4.0])
def test_iterative_methods_are_their_twins(rng, method, twin, apart):
    variables, x = made(rng, apart)
    p = probabilities(variables, x)
    z = p.argmax(axis=2)
    pivot = z[bg_heights(variables, x).argmax()]
    found = run(method, variables, x).permutations.reshape(-1, K)
    assert same_up_to_names(found, settle(twin_ecr(z, pivot), twin(z, p)))


def bg_heights(variables, x):
    from scipy.stats import multivariate_normal

    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in variables.items()}
    return np.array([
        np.log(sum(w[k] * multivariate_normal.pdf(x, m[k], c[k]) for k in range(len(w)))).sum()
        for w, m, c in zip(flat["weights"], flat["means"], flat["covariances"], strict=True)
    ])  # fmt: skip


def test_ecr_and_pra_are_their_twins(rng):
    variables, x = made(rng, 1.5)
    z = probabilities(variables, x).argmax(axis=2)
    pivot = rng.integers(K, size=ROWS)
    found, twin = run("ecr", variables, x, pivot=pivot).permutations.reshape(-1, K), twin_ecr(z, pivot)
    agreed = [(named_labels(z, permutations) == pivot).sum(axis=1) for permutations in (found, twin)]
    np.testing.assert_array_equal(*agreed)
    tied = (found != twin).any(axis=1)  # the twin keeps the incoming numbering of a tie; we sort by the first parameter
    assert 0 < tied.mean() < 0.2
    first = np.take_along_axis(variables["means"].reshape(-1, K, DIM)[..., 0], found, axis=1)
    other = np.take_along_axis(variables["means"].reshape(-1, K, DIM)[..., 0], twin, axis=1)
    assert (first[tied] @ np.arange(K) > other[tied] @ np.arange(K)).all()
    points = np.concatenate([v.reshape(-1, K, int(np.prod(v.shape[3:]))) for v in variables.values()], axis=2)
    scaled = points / np.where(points.std(axis=(0, 1)) > 0, points.std(axis=(0, 1)), 1.0)
    centre = points[7]
    for scale, cloud in ((False, points), (True, scaled)):
        twin = np.array(
            [cheapest(-np.array([[cloud[7, k] @ one[j] for j in range(K)] for k in range(K)])) for one in cloud]
        )
        found = run("pra", variables, x, pivot=centre, scale=scale, variables=list(variables)).permutations.reshape(
            -1, K
        )
        np.testing.assert_array_equal(found, twin)


@pytest.mark.parametrize("method", ["ecr", "ecr_iterative_1"])
def test_exact_ties_do_not_keep_the_numbering(rng, method):
    """Two of four components are empty in every draw: their exchange costs nothing."""
    means, weights = rng.normal(size=(1, 60, 4, 1)), rng.dirichlet(np.ones(4), (1, 60))
    labels = rng.integers(0, 2, (1, 60, 12))
    order = rng.permuted(np.broadcast_to(np.arange(4), (1, 60, 4)), axis=-1)
    other = np.take_along_axis(np.argsort(order, axis=-1), labels, axis=2)
    options = {"pivot": (0, 0)} if method == "ecr" else {}
    one = getattr(rl, method)({"means": means, "weights": weights}, labels=labels, **options)
    two = getattr(rl, method)(
        {"means": renumber(means, order, 2), "weights": renumber(weights, order, 2)}, labels=other, **options
    )
    np.testing.assert_array_equal(one.variables["means"], two.variables["means"])


def test_data_based_is_its_twin(rng):
    variables, x = made(rng, 2.0)
    z = probabilities(variables, x).argmax(axis=2)

    def better(permutations):
        named = named_labels(z, permutations)
        held = [np.concatenate([x[row == k] for row in named]) for k in range(K)]

        def cost(row, k, j):
            mean, var = held[k].mean(axis=0), held[k].var(axis=0)
            return np.sum((x[row == j] - mean) ** 2 / var + np.log(var))

        return np.array([cheapest(np.array([[cost(row, k, j) for j in range(K)] for k in range(K)])) for row in z])

    start = twin_ecr(z, z[bg_heights(variables, x).argmax()])
    found = run("data-based", variables, x)
    assert same_up_to_names(found.permutations.reshape(-1, K), settle(start, better))
    assert (np.diff(found.objective) <= 1e-9).all()


def test_point_process_is_scikit_learns_k_means(rng):
    from sklearn.cluster import KMeans

    variables, x = made(rng, 1.0)
    points = variables["means"].reshape(-1, DIM)
    labels = KMeans(K, n_init=20, random_state=0).fit(points / points.std(axis=0)).labels_.reshape(-1, K)
    whole = np.array([len(set(row)) == K for row in labels])
    found = run("point-process", variables, x)
    assert 0.05 < found.about["non_permutation_rate"] < 0.95
    assert found.about["non_permutation_rate"] == pytest.approx(1 - whole.mean(), abs=0.03)
    both = whole & found.about["is_permutation"].ravel()
    assert same_up_to_names(found.permutations.reshape(-1, K)[both], np.argsort(labels[both], axis=1))


# --- Properties of every method ---


@pytest.mark.parametrize("method", rl.METHODS)
@pytest.mark.parametrize("k", [3, 6])
def test_draws_renumbered_at_random_give_the_same_posterior(rng, method, k):
    one, other, x = sources(rng, 5.0, k=k)
    first, second = run(method, one, x), run(method, other, x)
    for name, values in first.variables.items():
        np.testing.assert_array_equal(second.variables[name], values)
    assert first.share_in_doubt < 0.02


@pytest.mark.parametrize("method", ["ecr", "ecr-iterative-1", "ecr-iterative-2", "stephens", "pra", "data-based"])
def test_and_when_components_overlap(rng, method):
    one, other, x = sources(rng, 1.5)
    np.testing.assert_array_equal(run(method, one, x).variables["means"], run(method, other, x).variables["means"])


def test_all_methods_agree_on_components_far_apart(rng):
    variables, x = made(rng, 8.0, k=5)
    found = [run(method, variables, x).permutations for method in rl.METHODS]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("apart", [0.0, 0.7, 1.5])
def test_objectives_never_rise(rng, apart):
    variables, x = made(rng, apart, draws=200)
    for method in ("stephens", "ecr-iterative-1", "data-based"):
        objective = run(method, variables, x).objective
        assert (np.diff(objective) <= 1e-9 * objective[0]).all(), method
    assert apart > 1 or len(run("stephens", variables, x).objective) > 1


def test_components_alike_are_in_doubt_and_those_apart_are_not(rng):
    variables, x = made(rng, 6.0)
    clear = run("stephens", variables, x)
    assert clear.overall_ambiguity < 0.05
    twins = {name: v.copy() for name, v in clear.variables.items()}
    for v in twins.values():
        v[:, :, 1] = v[:, :, 0] * (1 + 1e-9 * rng.normal(size=v[:, :, 0].shape))
    twins["weights"] /= twins["weights"].sum(axis=2, keepdims=True)
    doubtful = run("stephens", twins, x)
    assert doubtful.overall_ambiguity > 0.9
    pairs = doubtful.pair_ambiguity
    assert pairs[0, 1] > 0.9
    assert pairs[0, 2] < 0.05


def test_a_block_of_rows_at_a_time_is_the_whole(rng, monkeypatch):
    variables, x = made(rng, 1.5)
    whole = {method: run(method, variables, x) for method in rl.METHODS}
    monkeypatch.setattr("bayesgmm.relabelling.allocations.BLOCK_VALUES", 7 * 100 * K)
    monkeypatch.setattr("bayesgmm.relabelling.allocations.KEPT_BYTES", 0)
    monkeypatch.setattr("bayesgmm.sweep.per_row.BLOCK", 9)
    for method, expected in whole.items():
        found = run(method, variables, x)
        np.testing.assert_array_equal(found.permutations, expected.permutations)
        np.testing.assert_allclose(found.objective, expected.objective)


# --- R's label.switching ---


@pytest.fixture(scope="module")
def theirs():
    with np.load(TRUTH / "labelswitching.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def galaxy(theirs):
    """R's draws of galaxies as other software might store them: other names, another dimension, labels from 1."""
    mu, s2, w = (theirs["galaxy_draws"][None, :, i : i + 3] for i in (0, 3, 6))
    dims = ["chain", "draw", "group"]
    posterior = xr.Dataset(
        {
            "mu": (dims, mu),
            "s2": (dims, s2),
            "w": (dims, w),
            "z": (["chain", "draw", "i"], theirs["galaxy_z"][None].astype(int)),
        },
        coords={"group": ["a", "b", "c"]},
    )
    observed = xr.Dataset({"y": ("i", theirs["galaxy_x"])})
    return xr.DataTree.from_dict({"posterior": posterior, "observed_data": observed})


OUTSIDE = {"component_dim": "group", "names": {"weights": "w", "means": "mu", "variances": "s2"}}


@pytest.mark.parametrize("method", ["ecr", "ecr-iterative-1", "ecr-iterative-2", "stephens"])
def test_galaxies_as_in_r(theirs, galaxy, method):
    found = rl.relabel(galaxy, method, labels="z", **OUTSIDE)
    assert same_up_to_names(found.permutations[0], theirs[f"galaxy_{method}"].astype(int) - 1)
    means = np.stack([found.variables[name][0].mean(axis=0) for name in ("mu", "s2", "w")], axis=1)
    expected = theirs[f"galaxy_mean_{method}"]
    np.testing.assert_allclose(means, expected[np.argsort(expected[:, 0])], rtol=1e-10)


def test_stephens_reaches_rs_objective(galaxy):
    found = rl.stephens(galaxy, **OUTSIDE)
    assert found.objective[-1] <= 2857.325


def test_pra_and_ordering_as_in_r(theirs, galaxy):
    pivot = theirs["galaxy_draws"][int(theirs["galaxy_map"]) - 1].reshape(3, 3).T
    found = rl.pra(galaxy, pivot, variables=["mu", "s2", "w"], scale=False, **OUTSIDE)
    np.testing.assert_array_equal(found.permutations[0], theirs["galaxy_pra"] - 1)
    with pytest.warns(IdentifiabilityWarning, match="does not separate the components"):
        sorted_ = rl.ordering(galaxy, by="mu", **OUTSIDE)
    assert same_up_to_names(sorted_.permutations[0], theirs["galaxy_aic"].astype(int) - 1)


def test_rs_toy_example(theirs):
    """Five rows, two components: permutations may differ because of many ties, so the test compares costs."""
    mu, var, w = (part[None] for part in theirs["toy_draws"])
    source = {"weights": w, "means": mu, "variances": var}
    z = theirs["toy_z"].astype(int) - 1
    pivot = z[int(theirs["toy_map"]) - 1]
    ours = rl.ecr(source, pivot, x=theirs["toy_x"], labels=z[None])

    def agreement(permutations):
        return np.array([np.sum(np.argsort(p)[row] == pivot) for p, row in zip(permutations, z, strict=True)])

    best = agreement(ours.permutations[0])
    np.testing.assert_array_equal(best, agreement(theirs["toy_ecr"].astype(int) - 1))
    centre = np.stack([part[0, int(theirs["toy_map"]) - 1] for part in (mu, var, w)], axis=1)
    found = rl.pra(source, centre, variables=["means", "variances", "weights"], scale=False)
    np.testing.assert_array_equal(found.permutations[0], theirs["toy_pra"] - 1)


# --- The interface for users ---


def test_an_outside_tree_is_relabelled_and_left_as_it_was(galaxy):
    before = galaxy.copy(deep=True)
    found = rl.relabel(galaxy, "stephens", **OUTSIDE)
    tree = found.datatree
    xr.testing.assert_identical(before["posterior"].to_dataset(), galaxy["posterior"].to_dataset())
    mu = tree["posterior"]["mu"].values
    assert (mu.mean(axis=(0, 1)) == np.sort(mu.mean(axis=(0, 1)))).all()
    assert list(tree["posterior"]["group"].values) == ["a", "b", "c"]
    np.testing.assert_array_equal(mu, found.variables["mu"])
    tree["posterior"]["mu"].values[:] = 0
    xr.testing.assert_identical(before["posterior"].to_dataset(), galaxy["posterior"].to_dataset())


def test_a_relabelled_posterior_can_be_extended(reference_data):
    gibbs = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=50, num_samples=60, num_chains=2, seed=2)
    found = bg.relabel(gibbs, "ecr")
    again = found.posterior
    np.testing.assert_allclose(again.log_likelihood, gibbs.log_likelihood)
    np.testing.assert_array_equal(again.params.means, found.variables["means"])
    np.testing.assert_array_equal(again.params.means, renumber(gibbs.params.means, found.permutations, 2))
    longer = again.extend(5)
    assert longer.permutations.shape == (2, 65, 2)
    gap = np.abs(longer.params.means[:, 60:].mean(axis=(0, 1)) - again.params.means.mean(axis=(0, 1)))
    assert (gap < 2).all()
    assert set(found.datatree.children) >= {"posterior", "log_likelihood"}
    assert "R-hat" not in repr(found)
    assert "mean ambiguity" in found._repr_html_()


def test_labels_are_renamed_with_the_draws(rng):
    variables, x = made(rng, 8.0)
    z = probabilities(variables, x).argmax(axis=2).reshape(2, 50, ROWS)
    found = run("ecr", variables, x, labels=z)
    assert found.labels is not None
    assert (found.labels == np.arange(ROWS) % K).all()


def test_ordering_does_not_warn_when_components_are_separated(rng):
    variables, x = made(rng, 8.0)
    run("ordering", variables, x)


def bad(name):
    rng = np.random.default_rng(0)
    variables, x = made(rng, 3.0)
    nan = {key: v.copy() for key, v in variables.items()}
    nan["means"][1, 30:] = np.nan
    ragged = {"means": [variables["means"][0], variables["means"][1, :40]]}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (["chain", "draw", "g"], np.zeros((2, 5, 3)))})})
    pivot = np.zeros(ROWS - 1, int)
    plain = {key: variables[key] for key in ("weights", "means")}
    return {
        "no dimension": lambda: rl.ecr(tree),
        "no posterior": lambda: rl.ecr(xr.DataTree()),
        "ragged": lambda: rl.pra(ragged),
        "nan": lambda: rl.stephens(nan, x=x),
        "single": lambda: rl.ecr({key: v[:, :, :1] for key, v in variables.items()}, x=x),
        "no rows": lambda: rl.ecr(variables),
        "no parameters": lambda: rl.stephens({"means": variables["means"]}, x=x),
        "pivot length": lambda: rl.ecr(variables, pivot, x=x),
        "pivot classes": lambda: rl.ecr(variables, np.full(ROWS, 3), x=x),
        "pivot draw": lambda: rl.ecr(variables, (2, 0), x=x),
        "pivot shape": lambda: rl.pra(variables, np.zeros((3, 5)), x=x),
        "no pivot": lambda: rl.pra({"means": variables["means"]}),
        "variable": lambda: rl.ordering(variables, by="mu"),
        "index": lambda: rl.ordering(variables, index=2),
        "method": lambda: bg.relabel(variables, "magic"),
        "labels": lambda: rl.ecr(variables, x=x, labels=np.full((2, 50, ROWS), 7)),
        "labels shape": lambda: rl.ecr(variables, x=x, labels=np.zeros((2, 49, ROWS), int)),
        "probabilities": lambda: rl.stephens(variables, x=x, probabilities=np.ones((2, 50, ROWS, K))),
        "names": lambda: rl.ecr(variables, x=x, names={"weights": "pi"}),
        "a fit": lambda: rl.ecr(3.0),
        "precisions": lambda: rl.ecr(variables | {"covariances": -variables["covariances"]}, x=x),
        "no variances": lambda: rl.ecr({**plain, "variances": np.zeros_like(plain["means"])}, x=x),
        "flat": lambda: rl.ecr({**plain, "covariances": plain["means"]}, x=x),
        "no weights": lambda: rl.ecr(variables | {"weights": 2.0 * variables["weights"]}, x=x),
    }[name]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("no dimension", DrawsError, "component_dim="), ("no posterior", DrawsError, "no group posterior"),
        ("ragged", DrawsError, "one length"), ("nan", DrawsError, "chain 1 from draw 30 to its end"),
        ("single", DrawsError, "single component"), ("no rows", DrawsError, "x="), ("no parameters", DrawsError, "names="),
        ("pivot length", ArgumentError, "40 integers"), ("pivot classes", ArgumentError, "0 to 2"),
        ("pivot draw", ArgumentError, r"within \(2, 50\)"), ("pivot shape", ArgumentError, "expected"),
        ("no pivot", ArgumentError, "pivot="), ("variable", ArgumentError, "there are"),
        ("index", ArgumentError, "at most 1"), ("method", ArgumentError, "stephens"),
        ("labels", DrawsError, "0 to 2"), ("labels shape", DrawsError, "expected"),
        ("probabilities", DrawsError, "sum to 1"), ("names", DrawsError, "only"), ("a fit", DrawsError, "has no draws"),
        ("precisions", DrawsError, "positive definite"), ("no variances", DrawsError, "above 0"),
        ("no weights", DrawsError, "sum to 1"), ("flat", DrawsError, "2 numbers for each component"),
    ],
)  # fmt: skip
def test_bad_input(name, error, words):
    with pytest.raises(error, match=words):
        bad(name)()
