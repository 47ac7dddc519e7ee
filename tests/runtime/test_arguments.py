"""Arguments are checked where users give them: the outcome is a typed error or a right result, never another error."""

import inspect
import re

import jax
import jaxtyping
import numpy as np
import pandas as pd
import pytest

import bayesgmm as bg
from bayesgmm.engines.em import ascent
from bayesgmm.engines.variational import cavi_iterations
from bayesgmm.errors import ArgumentError, BayesGMMError, DataError, DrawsError, PriorError
from bayesgmm.runtime.arguments import as_floats, as_key
from bayesgmm.runtime.checks import check_choice, check_count, check_flag, check_names, check_number, shown
from bayesgmm.runtime.files import as_path


@pytest.fixture(autouse=True)
def as_users_call_it():
    """The tests check types at run time, which would hide what users see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Evil:
    """Fails when it is shown or made an array."""

    def __repr__(self):
        raise RuntimeError

    def __array__(self, *args, **kwargs):
        raise RuntimeError


NASTY = [
    None, "", "garbage", "a\0b", -1, 0.5, float("nan"), float("inf"), -(10**12), 10**400, True, [], [-1, 2], [[1], [1, 2]],
    {}, {"a": [1]}, {1}, 1 + 2j, b"gibbs", object(), Evil(), lambda: None, np.array([1.0, 2.0]), np.full((2, 2), np.nan),
    np.array(["a", "b"]), np.array([None, object()]), np.ones((2, 2)) * 1j, np.bool_(True), pd.DataFrame({"a": ["x"]}),
    jax.random.split(jax.random.key(0), 3), [1], np.ma.array([1.0, 2.0], mask=[True, False]), ">f8", int,
]  # fmt: skip
X = np.random.default_rng(0).normal(size=(30, 2))
THETA = bg.Params.of([0.4, 0.6], [[0.0, 0.0], [3.0, 3.0]], [np.eye(2), 2.0 * np.eye(2)])
QUIET = {"x": X, "n_components": 2, "progress_bar": False}
PRIORS = {
    "wishart": bg.NormalInverseWishart([0.0, 0.0], 0.01, 4.0, 1.0),
    "gamma": bg.NormalInverseGamma([0.0, 0.0], 0.01, 4.0, 1.0),
    "independent": bg.NormalTimesInverseWishart([0.0, 0.0], 1.0, 4.0, 1.0),
    "hierarchical": bg.HierarchicalInverseWishart([0.0, 0.0], 1.0, 4.0, 4.0, 1.0),
    "lkj": bg.NormalTimesLKJ([0.0, 0.0], 1.0, 2.0, bg.LogNormal(0.0, 1.0)),
}


def outcome(call) -> str:
    """``typed``, ``fine``, or what went wrong."""
    try:
        result = call()
    except BayesGMMError as error:
        return "typed" if str(error) else "an error without a message"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.80}"
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result) if isinstance(leaf, float | np.ndarray)]
    return "fine" if all(np.isfinite(leaf).all() for leaf in leaves if leaf.dtype.kind == "f") else "not finite"


def assert_typed_or_fine(function, base, skip=()):
    """Give each argument each nasty value."""
    wrong = {}
    for name in base.keys() | (inspect.signature(function).parameters.keys() - {"about", "options", *skip}):
        for i, value in enumerate(NASTY):
            found = outcome(lambda name=name, value=value: function(**{**base, name: value}))
            if found not in ("typed", "fine"):
                wrong[name, i, shown(value)] = found
    assert wrong == {}


@pytest.mark.parametrize("name", ["log_joint", "log_density", "log_likelihood", "responsibilities"])
def test_the_equations(name):
    assert_typed_or_fine(getattr(bg, name), {"params": THETA, "x": X})


def test_sampling_and_building_theta():
    assert_typed_or_fine(bg.sample, {"key": 0, "params": THETA, "num": 3})
    assert_typed_or_fine(bg.Params.of, {"weights": [0.5, 0.5], "means": [[0], [1]], "covariances": [[[1]], [[1]]]})
    assert_typed_or_fine(bg.Dirichlet(1.0).occupied, {"num_rows": 5, "num_components": 2})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (([0.5, 0.6], [[0.0], [1.0]], [[[1.0]], [[1.0]]]), "sum to 1; they sum to 1.1"),
        (([-0.5, 1.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]), "negative"),
        (([0.5, 0.5], [[0.0], [np.nan]], [[[1.0]], [[1.0]]]), "NaN"),
        (([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[0.0]]]), "not positive definite"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), "not symmetric"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]), "not positive definite"),
        (([0.5, 0.5], [0.0, 1.0], [[[1.0]], [[1.0]]]), r"shapes \(K,\)"),
        ((["a", "b"], [[0.0], [1.0]], [[[1.0]], [[1.0]]]), "weights must be a number or an array"),
    ],
)
def test_impossible_parameters_are_refused(parts, words):
    with pytest.raises(ArgumentError, match=words):
        bg.Params.of(*parts)


def test_covariances_in_very_different_units_are_no_fault():
    params = bg.Params.of([1.0], [[0.0, 0.0]], [np.diag([1e-20, 1e20])])
    np.testing.assert_allclose(params.covariances[0], np.diag([1e-20, 1e20]))


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name):
    components = PRIORS[name]
    prior = bg.Prior(bg.Dirichlet(2.0), components)
    full = prior.expand(2, 2)
    if name == "wishart":
        assert_typed_or_fine(prior.expand, {"num_components": 2, "dim": 2})
        assert_typed_or_fine(full.log_density, {"params": full.sample(0)})

    def built(concentration=2.0, **changed):
        return bg.Prior(bg.Dirichlet(concentration), components._replace(**changed)).expand(2, 2).taken_by(family)

    family = bg.fit_em(X, 1, covariance_type="diag" if name == "gamma" else "full", n_init=1).family
    assert_typed_or_fine(built, {"concentration": 2.0, **components._asdict()}, skip=("changed",))


def test_prior_methods_are_exact_in_double_precision():
    prior = bg.default_prior(X + 1e8, 2)
    draws = np.array([prior.sample(seed).means for seed in range(20)])
    assert draws.dtype == np.float64
    assert np.any(draws % 1.0 != 0.0)  # float32 moves in steps of 8 here
    assert prior.log_density(prior.sample(0)).dtype == np.float64
    assert bg.Prior(bg.Dirichlet(3.0), PRIORS["wishart"]).expand(2, 2).mode().weights.dtype == np.float64
    assert bg.Dirichlet([1.0, 2.0]).sample(jax.random.key(0)).dtype == np.float64


@pytest.mark.parametrize(
    "prior",
    [
        bg.Prior(bg.Dirichlet(1.0), PRIORS["wishart"]._replace(scale=1e-320)),
        bg.Prior(bg.Dirichlet(5e-324), PRIORS["wishart"]),
        bg.Prior(bg.Dirichlet(1.0), PRIORS["lkj"]._replace(scales=bg.LogNormal(400.0, 1.0))),
        bg.Prior(bg.Dirichlet(1.0), PRIORS["lkj"]._replace(scales=bg.LogNormal(0.0, 200.0))),
        bg.Prior(bg.Dirichlet(1.0), PRIORS["independent"]._replace(df=1e301)),
    ],
)
def test_hyperparameters_beyond_double_precision_are_refused(prior):
    for call in (lambda: bg.fit_em(X, 2, prior=prior), lambda: bg.sample_prior(X, 2, prior=prior)):
        with pytest.raises(PriorError):
            call()
    with pytest.raises(PriorError):
        prior.expand(2, 2).sample(0)


# --- Seeds ---


def words_of(key):
    return np.asarray(jax.random.key_data(key)).tolist()


def test_seeds_of_every_kind():
    assert words_of(as_key(7)) == words_of(as_key(np.int64(7))) == words_of(as_key(np.uint8(7)))
    assert words_of(as_key(7)) == words_of(as_key(jax.random.key(7))) == words_of(as_key(jax.random.PRNGKey(7)))
    assert words_of(as_key(np.random.SeedSequence(7))) == words_of(as_key(np.random.SeedSequence(7)))
    assert words_of(as_key(-1)) != words_of(as_key(1))
    assert words_of(as_key(2**40)) != words_of(as_key(2**41))
    other = as_key(jax.random.key(0, impl="rbg"))  # another generator: its words are the seed
    assert words_of(other) == words_of(as_key(jax.random.key(0, impl="rbg"))) != words_of(as_key(0))
    assert jax.random.key_impl(other) == jax.random.key_impl(as_key(0))


@pytest.mark.parametrize(
    "seed",
    [None, True, 1.0, "1", [-1, 2], (1, 2), np.array([1, 2]), np.array(3), jax.random.split(jax.random.key(0)), Evil()],
)
def test_other_seeds_are_refused_before_any_work(seed):
    for call in (as_key, lambda seed: bg.sample_gibbs(seed=seed, **QUIET), lambda seed: bg.sample(seed, THETA, 2)):
        with pytest.raises(ArgumentError, match=r"seed must be an int, one JAX key or a numpy\.random\.SeedSequence"):
            call(seed)


# --- Engines and later steps: bad values return at once ---

BAD = {
    "fit_em": {
        "n_components": [0, 1.0, "2", None, True], "covariance_type": [[], {}, None, 3], "prior": [3, "other", Evil()],
        "n_init": [0, 10**9, 2.0], "init": ["other", [], None, 1], "seed": ["x"], "algorithm": [[], None, "x"],
        "max_iter": [0, 10**12, 2.5], "tol": [-1, None, "x", np.nan, [1]], "accelerate": ["yes", [], None],
        "dtype": ["garbage", ">f8", None, 3, "int32"], "progress_bar": ["yes", 3, []], "labels_init": [[[1], [1, 2]], "x"],
        "means_init": [[[1], [1, 2]], "x", np.full((2, 2), np.nan)], "weights_init": ["x"],
    },
    "fit_cavi": {"n_init": [10**9], "tol": [0, None], "batch_size": [0, "x"], "max_iter": [10**12], "num_steps": [0.5]},
    "fit_svi": {
        "learning_rate": [0, "x", None, np.inf], "num_particles": [10**9, 0], "guide": [[], "other", None],
        "num_steps": [0], "num_samples": [10**12, "x"],
    },
    "fit_laplace": {"num_chains": ["2", 0, 10**9], "prior": [None]},
    "sample_gibbs": {"tempering": [0, 10**9, "x"], "num_warmup": [-1, None], "num_samples": [10**12, 2.0]},
    "sample_nuts": {
        "likelihood": [[], "x"], "target_accept_prob": [0, 1, "x", None], "max_tree_depth": [0, 1000],
        "dense_mass": ["yes", None], "init": [[], "x"],
    },
    "fit_table": {
        "n_components": [[], "x", None, range(1, 10**9), range(1, 10**30), [1.5], 2.0], "families": [None, [1], "x", [], 3],
        "criterion": [[], "x"], "tol": [0, "x"], "n_init": ["x"],
    },
    "compare": {"engines": [None, [1], [[]], "x", []], "n_init": ["x"], "num_chains": ["2"]},
    "calibrate": {
        "engine": ["em", "fit_em", None, [], 3], "num_chains": ["2", 0], "n_sims": [0, 1.5], "misspelt": [1],
        "num_warmup": [-1], "progress_bar": [3],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_of_the_engines(name):
    function = getattr(bg, name)
    for argument, values in BAD[name].items():
        for value in values:
            with pytest.raises((ArgumentError, PriorError)) as told:
                function(**{**QUIET, argument: value})
            assert len(str(told.value)) < 700, argument


@pytest.fixture(scope="module")
def posterior():
    return bg.sample_gibbs(X, 2, num_warmup=10, num_samples=60, num_chains=2, progress_bar=False)


def test_bad_arguments_of_the_later_steps(posterior):
    calls = [
        *(lambda method=method: bg.relabel(posterior, method) for method in ([], None, "x", {})),
        lambda: bg.relabel(posterior, "ecr", misspelt=1),
        lambda: bg.relabel(posterior, "ecr", scale=True),
        lambda: bg.relabel(posterior, "ordering", index="x"),
        lambda: bg.relabel(posterior, "ordering", by=[]),
        lambda: bg.relabel(posterior, "ordering", index=10**12),
        lambda: bg.relabel(posterior, "pra", variables=[]),
        lambda: bg.relabel(posterior, "point-process", num_starts=10**9),
        lambda: bg.relabel(posterior, "point-process", seed=[]),
        lambda: bg.relabel(posterior, "ecr", labels=[[1], [1, 2]]),
        lambda: bg.diagnose(posterior, misspelt=1),
        lambda: bg.diagnose(posterior, search="no"),
        lambda: bg.label_invariant_view(posterior, seed=None),
        *(lambda loss=loss: bg.partition(posterior, loss=loss) for loss in ([], None, "x")),
        lambda: bg.partition(posterior, num_starts=10**9),
        lambda: bg.partition(posterior, misspelt=1),
        lambda: bg.partition(posterior, progress_bar="x"),
        lambda: bg.adjusted_rand([[1], [1, 2]], [1, 2]),
        lambda: bg.loo(posterior, moment_match="x"),
        lambda: bg.kfold(posterior, k="x"),
        lambda: bg.predictive_checks(posterior, num=10**9),
        lambda: bg.prior_sensitivity(posterior, part=[]),
        lambda: posterior.extend("x"),
        lambda: posterior.sample(0, 0),
        lambda: bg.partition_distances({"a": [[1], [1, 2]], "b": [1]}),
    ]
    assert [outcome(call) for call in calls] == ["typed"] * len(calls)


def test_seeds_of_the_point_process(posterior):
    for seed in (-1, jax.random.key(0), np.int8(1)):
        assert bg.relabel(posterior, "point-process", seed=seed).about["is_permutation"].shape == (2, 60)


def test_more_clusters_than_rows_need_no_memory(posterior):
    few = bg.partition(posterior, max_clusters=len(X), num_starts=2, max_draws=20, progress_bar=False)
    many = bg.partition(posterior, max_clusters=10**5, num_starts=2, max_draws=20, progress_bar=False)
    assert np.array_equal(few.labels, many.labels)


def test_small_integer_types_are_counts():
    one, other = (bg.fit_em(X, kind(2), n_init=kind(2), max_iter=kind(100)) for kind in (int, np.int8))
    assert one.log_likelihood == other.log_likelihood
    draws = bg.sample_gibbs(X, 2, num_warmup=np.int8(2), num_samples=np.int8(100), num_chains=np.int8(2))
    assert draws.extend(np.int8(100)).num_samples == 200


def test_an_engine_that_returns_no_draws_cannot_be_calibrated():
    short = {"n_sims": 1, "num_samples": 4, "num_chains": 1, "progress_bar": False}
    for engine in (lambda *args, **kwargs: None, bg.fit_em):
        with pytest.raises(ArgumentError, match="draw"):
            bg.calibrate(X, 2, engine=engine, **short)


def test_a_start_of_another_size_is_called_by_its_name():
    fit = bg.fit_em(X, 2, n_init=2)
    with pytest.raises(ArgumentError, match=r"The start \(init\) has means of shape \(2, 2\)") as told:
        bg.fit_em(X, 3, init=fit)
    assert not re.search("weights_init|means_init|covariances_init", str(told.value))
    with pytest.raises(ArgumentError, match="means_init must be finite"):
        bg.fit_em(X, 2, means_init=[[0, 0], [np.nan, 1]])


# --- Traces follow the iterations that are run ---


def test_a_trace_follows_the_iterations(monkeypatch):
    monkeypatch.setenv("BAYESGMM_CACHE", "off")  # what is compiled here must not be kept
    fit = bg.fit_em(X, 2, n_init=2, tol=0.0, max_iter=ascent.TRACED + 300)
    assert len(fit.trace) == fit.n_iter + 1 == ascent.TRACED + 301
    assert np.isfinite(fit.trace).all()
    assert np.diff(fit.trace).min() > -1e-9
    monkeypatch.setattr(cavi_iterations, "TRACED", 16)
    x = X[:29, :1]  # a shape that no other test has
    found = bg.fit_cavi(x, 3, n_init=2, tol=1e-9, max_iter=2**31 - 1, num_samples=20, num_chains=1, progress_bar=False)
    assert found.n_iter > 16
    assert len(found.trace) == found.n_iter
    assert np.diff(found.trace).min() > -1e-9
    assert abs(found.trace[-1] - found.elbo) < 1e-6


# --- The words themselves ---


def test_the_checks():
    assert check_count("n", np.int8(3)) == 3
    assert check_number("t", np.float32(0.5), 0.0, 1.0) == 0.5
    assert check_flag("f", np.True_) is True
    assert check_choice("c", "a", "ab") == "a"
    assert as_path("p", "x").name == "x"
    for call, words in [
        (lambda: check_count("n", 5, most=4, why="too long"), r"n must be at most 4 \(too long\), got 5"),
        (
            lambda: check_number("t", 0, 0.0, 1.0, open_low=True),
            "t must be a finite number above 0 and at most 1, got 0",
        ),
        (lambda: check_flag("f", 1), "f must be True or False, got 1"),
        (lambda: check_choice("c", [], "ab", ", or a fit"), r"c must be one of a, b, or a fit, got \[\]"),
        (lambda: check_names(["z"], ["a"], "f"), "f takes no argument 'z'. It takes a"),
        (lambda: as_path("p", "a\0"), "p holds a character"),
        (lambda: as_path("p", ""), "p is blank"),
        (lambda: as_path("p", " \n"), "p is blank"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            call()
    assert shown("x" * 1000).endswith("…")
    assert shown(Evil()) == "a Evil"
    with pytest.raises(DataError, match="x must be a number or an array of real numbers"):
        as_floats("x", ["1"], DataError)


# --- Faults that the fuzz found, as kinds ---

THETA = bg.Params.of([0.4, 0.6], X[:2], [np.eye(2)] * 2)
BELIEF = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2))).expand(2, 2)
DRAWS = {
    "weights": np.full((2, 8, 2), 0.5),
    "means": np.broadcast_to(X[:2], (2, 8, 2, 2)) + np.arange(8.0)[:, None, None],
    "covariances": np.broadcast_to(np.eye(2), (2, 8, 2, 2, 2)),
}


@pytest.mark.parametrize("x", [X, X.tolist(), jax.numpy.asarray(X)])
def test_parameters_may_be_lists(x):
    for lists in (bg.Params(*(part.tolist() for part in THETA)), THETA._replace(weights=[0.4, 0.6])):
        for equation in (bg.log_joint, bg.log_density, bg.responsibilities, bg.log_likelihood):
            np.testing.assert_array_equal(equation(lists, x), equation(THETA, x))


@pytest.mark.parametrize(
    "other",
    [
        np.zeros(2), jax.numpy.zeros(2), None, bg.Prior(-np.eye(2), 2), BELIEF._replace(weights=None),
        BELIEF._replace(weights=bg.Dirichlet(jax.numpy.eye(2))),
        bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseGamma(0.0, 0.1, 3.0, 1.0)).expand(2, 2),
    ],
)  # fmt: skip
def test_a_divergence_of_what_is_no_such_prior_is_refused(other):
    with pytest.raises((ArgumentError, PriorError)):
        BELIEF.kl(other)


def test_an_impossible_prior_or_state_is_refused_wherever_it_is_given():
    for prior in (bg.Prior(1, 2), BELIEF._replace(weights=None)):
        for engine in (bg.fit_em, bg.fit_table, bg.sample_gibbs, bg.fit_cavi):
            with pytest.raises(PriorError, match="must be a"):
                engine(X, 2, prior=prior)
    for present in (jax.numpy.zeros(2), np.zeros(2)):
        with pytest.raises(ArgumentError, match="present must be a Params"):
            BELIEF.sample(jax.random.key(0), present=present)


def test_values_beyond_their_squares_are_refused():
    with pytest.raises(DataError, match="exceeds double precision"):
        bg.responsibilities(THETA, np.r_[X, [[1e160, 0.0]]])
    for read in (bg.relabel, bg.diagnose, bg.partition):
        with pytest.raises(DrawsError, match="exceed double precision"):
            read(DRAWS | {"means": DRAWS["means"] * 1e200}, x=X)


@pytest.mark.parametrize("x", [X + 1e17, np.full((60, 2), 7.0)])
def test_outside_draws_may_come_with_a_constant_feature(x):
    draws = DRAWS | {"means": DRAWS["means"] + x[0]}
    found = bg.relabel(draws, "data-based", x=x)
    assert np.isfinite(found.objective).all()
    assert bg.partition(draws, x=x, num_starts=1, progress_bar=False).num_clusters >= 1
