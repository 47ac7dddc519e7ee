"""The log density of each row and its derivatives, by both routes, against scores written out and derived by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular

from bayesgmm.sweep import densities as module
from bayesgmm.sweep.densities import log_densities, scores_of_rows

K, D, N = 3, 2, 100


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """100 rows are two blocks of 64, the last with padding."""
    monkeypatch.setattr(module, "ROWS", {jax.default_backend(): 64})


def textbook(log_weights, means, trils, x):
    """The formula, row by row and component by component, in operations that JAX derives."""
    y = jax.vmap(lambda m, tril: solve_triangular(tril, (x - m).T, lower=True))(means, trils)
    log_volume = jnp.sum(jnp.log(jnp.diagonal(trils, axis1=1, axis2=2)), axis=1)
    scores = -0.5 * jnp.sum(y**2, axis=1) - log_volume[:, None] - 0.5 * D * jnp.log(2 * jnp.pi)
    return jax.nn.logsumexp(scores.T + log_weights, axis=1)


def problem(tight=1.0, own=False):
    rng = np.random.default_rng(0)
    trils = 0.3 * np.tril(rng.normal(size=(K, D, D)))
    trils[:, range(D), range(D)] = np.exp(trils[:, range(D), range(D)])
    trils[0] *= tight
    log_weights = np.log(rng.dirichlet(np.ones(K), N if own else 1))
    means, x = 2 * rng.normal(size=(K, D)), 2 * rng.normal(size=(N, D))
    return tuple(jnp.asarray(part) for part in (log_weights, means, trils, x))


def on_products(args) -> bool:
    scorer = module._components(*args[1:3])
    return bool(module._digits_at_stake(scorer, args[3])[1])


def close(found, expected, digits=1e-11):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=digits, atol=digits * np.abs(b).max()), found, expected
    )


@pytest.mark.parametrize(("tight", "own"), [(1.0, False), (1e-4, False), (1.0, True)])
def test_density_and_derivatives_equal_the_formula_on_both_routes(tight, own):
    args = problem(tight, own)
    assert on_products(args) == (tight == 1.0)

    def second(density):
        """Density, gradient, and the product of the Hessian with a direction, rows included."""
        counts = jnp.sin(jnp.arange(N) + 1.0)
        total = lambda *args: jnp.vdot(counts, density(*args))  # noqa: E731
        direction = jax.tree.map(lambda part: jnp.cos(jnp.arange(part.size) + 0.5).reshape(part.shape), args)
        direction = (*direction[:2], jnp.tril(direction[2]), direction[3])
        gradient = jax.grad(total, argnums=(0, 1, 2, 3))
        return jax.jit(lambda *args: (density(*args), jax.jvp(gradient, args, direction)))(*args)

    found, expected = second(log_densities), second(textbook)
    close(found, jax.tree.map(lambda part: jnp.tril(part) if part.shape == (K, D, D) else part, expected), 1e-9)


def test_hessian_forward_over_reverse_and_forward_over_forward():
    args = problem()
    total = lambda means: jnp.sum(log_densities(args[0], means, *args[2:]))  # noqa: E731
    expected = jax.hessian(lambda means: jnp.sum(textbook(args[0], means, *args[2:])))(args[1])
    for one, two in ((jax.jacfwd, jax.jacrev), (jax.jacfwd, jax.jacfwd)):
        close(jax.jit(one(two(total)))(args[1]), expected, 1e-10)


def test_lanes_of_a_map_make_one_choice_of_route():
    log_weights, means, trils, x = problem()
    lanes = means + 0.1 * jnp.arange(4.0)[:, None, None]
    mapped = jax.jit(jax.vmap(jax.vmap(lambda m, w: log_densities(w, m, trils, x), (0, None)), (None, 0)))
    both = mapped(lanes, jnp.stack([log_weights, log_weights[:, ::-1]]))
    for i, lane in enumerate(lanes):
        close(both[1, i], textbook(log_weights[:, ::-1], lane, trils, x))
    text = mapped.lower(lanes, jnp.stack([log_weights] * 2)).as_text()
    assert "stablehlo.case" in text  # a choice per lane would be a select, and both routes would run
    close(scores_of_rows(means, trils, x).shape, (N, K))


def test_nothing_is_computed_for_the_derivative_in_rows_unless_it_is_asked_for():
    args = problem()
    counted = []
    original = module._slopes
    for asked in ((0, 1, 2), (0, 1, 2, 3)):
        with pytest.MonkeyPatch.context() as patch:
            calls = []
            patch.setattr(module, "_slopes", lambda *args, calls=calls: calls.append(1) or original(*args))
            jax.make_jaxpr(jax.grad(lambda *args: jnp.sum(log_densities(*args)), argnums=asked))(*args)
            counted.append(len(calls))
    assert counted[0] == 0 < counted[1]


@pytest.mark.parametrize(("apart", "offset"), [(2.0, 0.0), (30.0, 0.0), (1000.0, 1e4), (3.0, 1e4)])
def test_single_precision_keeps_its_digits(apart, offset):
    """Against double precision. Where clusters are tight beside their distances, as exact as scores by components."""
    rng = np.random.default_rng(1)
    log_weights, _, trils, x = (np.asarray(part, np.float32) for part in problem())
    means = (rng.normal(size=(K, D)) * apart + offset).astype(np.float32)
    z = rng.integers(K, size=N)
    x = (means[z] + np.einsum("nde,ne->nd", trils[z], x)).astype(np.float32)
    args = log_weights, means, trils, x
    exact = np.asarray(textbook(*(jnp.asarray(part, jnp.float64) for part in args)))
    with jax.enable_x64(False):
        args = tuple(map(jnp.asarray, args))
        found, plain = (np.asarray(f(*args)) for f in (log_densities, textbook))
        assert found.dtype == np.float32
        products = on_products(args)
    error, limit = np.abs(found - exact).max(), np.abs(plain - exact).max()
    eps = np.finfo(np.float32).eps
    assert products == (apart < 30.0)
    # Products lose up to a quarter of the digits of the squared distances, about 2 D.
    assert error <= (2 * D * eps**0.75 if products else max(2 * limit, 16 * eps))


def test_a_row_far_from_all_components_has_no_density_and_no_rows_are_no_error():
    log_weights, means, trils, x = problem()
    far = x.at[0].set(1e200)
    found = log_densities(log_weights, means, trils, far)
    assert found[0] == -jnp.inf
    assert np.isfinite(found[1:]).all()
    assert log_densities(log_weights, means, trils, x[:0]).shape == (0,)
