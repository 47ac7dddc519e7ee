"""`GaussianMixture` against NumPyro's ``MixtureSameFamily``, SciPy and itself, and in models of NumPyro."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.distributions.batch_util import vmap_over
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, autoguide
from numpyro.infer.util import log_density
from oracles.effort import WHOLE
from oracles.parameters import random_params
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from bayesgmm.distributions import GaussianMixture
from bayesgmm.errors import ArgumentError

K, D = 3, 2


def parts(weights=(), means=(), trils=(), num=K):
    """Weights, means and Cholesky factors of these batch shapes; ``num`` = 1: one factor for all components."""
    rng = np.random.default_rng(7)
    pi, mu = rng.dirichlet(np.ones(K), weights or 1), rng.normal(size=(*means, K, D)) * 2
    tril = 0.3 * np.tril(rng.normal(size=(*trils, num, D, D)))
    tril[..., range(D), range(D)] = np.exp(tril[..., range(D), range(D)])
    return jax.tree.map(jnp.asarray, (pi if weights else pi[0], mu, tril))


def ours(weights, means, trils, **options):
    return GaussianMixture(weights, means, scale_tril=trils, **options)


def peer(weights, means, trils):
    return dist.MixtureSameFamily(dist.Categorical(weights), dist.MultivariateNormal(means, scale_tril=trils))


def rows(*batch):
    return jnp.asarray(np.random.default_rng(3).normal(size=(*batch, D)) * 2)


def close(a, b, digits):
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=digits, atol=digits * np.abs(q).max()), a, b)


CASES = {
    "one mixture": ((), (), (), (7,)), "weights by group": ((4,), (), (), (5, 4)),
    "rows shared by weights": ((4,), (), (), (5, 1)),
    "means by row": ((), (4,), (), (4,)), "all of them": ((2, 3, 1), (3, 4), (2, 1, 1), (5, 2, 3, 4)),
    "one row": ((), (4,), (), ()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_log_density_equals_that_of_mixture_same_family(case):
    *shapes, batch = CASES[case]
    with jax.enable_x64(True):
        args, x = parts(*shapes), rows(*batch)
        assert ours(*args).batch_shape == peer(*args).batch_shape
        close(ours(*args).log_prob(x), peer(*args).log_prob(x), 1e-13)


@pytest.mark.parametrize("case", ["rows shared by weights", "all of them"])
def test_derivatives_equal_those_of_mixture_same_family(case):
    *shapes, batch = CASES[case]
    with jax.enable_x64(True):
        args = (*parts(*shapes), rows(*batch))
        found, expected = (
            jax.jit(
                jax.grad(lambda *args, make=make: jnp.sum(jnp.sin(make(*args[:3]).log_prob(args[3]))), (0, 1, 2, 3))
            )(*args)
            for make in (ours, peer)
        )
        # NumPyro reports a derivative in entries above the diagonal, which no factor has.
        close(found, (*expected[:2], jnp.tril(expected[2]), expected[3]), 1e-12)


def test_log_density_equals_scipy_for_each_form_of_the_covariances():
    with jax.enable_x64(True):
        weights, means, trils = parts()
        covariances, x = trils @ trils.mT, rows(7)
        expected = logsumexp(
            [multivariate_normal(m, c).logpdf(x) for m, c in zip(means, covariances, strict=True)], axis=0,
            b=np.asarray(weights)[:, None],
        )  # fmt: skip
        forms = {"covariance_matrix": covariances, "precision_matrix": jnp.linalg.inv(covariances), "scale_tril": trils}
        for name, matrix in forms.items():
            mixture = GaussianMixture(weights, means, **{name: matrix})
            close(mixture.log_prob(x), expected, 1e-12)
            for other, same in forms.items():
                close(getattr(mixture, other), same, 1e-11)
        close(
            GaussianMixture(logits=jnp.log(weights) + 5.0, means=means, scale_tril=trils).log_prob(x), expected, 1e-12
        )
        tied = GaussianMixture(weights, means, scale_tril=trils[:1])
        close(tied.log_prob(x), ours(weights, means, jnp.tile(trils[:1], (K, 1, 1))).log_prob(x), 1e-13)


def test_moments_of_draws_and_frequencies_of_classes():
    mixture, num = ours(*parts()), 20_000
    x, (z,) = mixture.sample_with_intermediates(jr.key(1), (num,))
    close(mixture.mean, peer(*parts()).mean, 1e-5)
    close(mixture.variance, peer(*parts()).variance, 1e-5)
    sds = np.sqrt(mixture.variance / num)
    assert np.all(np.abs(x.mean(0) - mixture.mean) < 4 * sds)
    np.testing.assert_allclose(np.cov(x.T), mixture.covariance, rtol=0.05, atol=0.05)
    share = np.bincount(z, minlength=K) / num
    assert np.all(np.abs(share - mixture.weights) < 4 * np.sqrt(mixture.weights * (1 - mixture.weights) / num))
    for k in range(K):  # rows belong to their classes
        of_class = np.asarray(x)[np.asarray(z) == k]
        sd = np.sqrt(np.diag(mixture.covariance_matrix[k]) / len(of_class))
        assert np.all(np.abs(of_class.mean(0) - mixture.means[k]) < 4.5 * sd)
    assert not np.all(np.abs(of_class.mean(0) - mixture.means[0]) < 4.5 * sd)  # negative control


def test_class_probabilities_and_draws_of_classes():
    weights, means, trils = parts(weights=(4,))
    mixture, x = ours(weights, means, trils), rows(5, 4)
    joint = jnp.log(weights) + dist.MultivariateNormal(means, scale_tril=trils).log_prob(x[..., None, :])
    expected = jax.nn.softmax(joint, axis=-1)
    close(mixture.class_probabilities(x), expected, 1e-5)
    draws = jax.vmap(lambda key: mixture.sample_classes(key, x))(jr.split(jr.key(0), 4000))
    share = jnp.mean(jax.nn.one_hot(draws, K), axis=0)
    error = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(share - expected) < 4.5 * error + 1e-6)
    assert not np.all(np.abs(share - weights) < 4.5 * error + 1e-6)  # negative control: the rows say something


def test_expanded_mapped_and_rebuilt():
    mixture, x = ours(*parts(weights=(4, 1))), rows(4, 5)
    expanded = mixture.expand((6, 4, 5))
    assert isinstance(expanded, GaussianMixture)
    close(expanded.log_prob(x), jnp.broadcast_to(mixture.log_prob(x), (6, 4, 5)), 1e-6)
    assert expanded.sample(jr.key(0), (2,)).shape == (2, 6, 4, 5, D)
    assert expanded.mean.shape == expanded.variance.shape == (6, 4, 5, D)
    with pytest.raises(ArgumentError, match="cannot be expanded"):
        mixture.expand((3,))
    again = jax.jit(lambda d: d)(mixture)
    assert (again.batch_shape, again.event_shape) == ((4, 1), (D,))
    close(again.log_prob(x), mixture.log_prob(x), 1e-6)
    weights, means, trils = parts(weights=(4,))
    one_by_one = jax.vmap(lambda w, x: ours(w, means, trils).log_prob(x))(weights, x)
    close(one_by_one, ours(weights[:, None], means, trils).log_prob(x), 1e-5)
    axes = vmap_over(ours(weights[0], means, trils), weights=0)
    mixed = jax.vmap(lambda w: ours(w, means, trils), out_axes=axes)(weights)
    close(jax.vmap(lambda d, x: d.log_prob(x), in_axes=(axes, 0))(mixed, x), one_by_one, 1e-5)
    assert GaussianMixture.infer_shapes((4, K), (K, D), scale_tril=(K, D, D)) == ((4,), (D,))


REFUSED = {
    "no weights": (dict(weights=None), "exactly one of weights, logits"),
    "two weights": (dict(logits=[0.0] * K), "weights and logits"),
    "no matrix": (dict(scale_tril=None), "exactly one of covariance_matrix"),
    "two matrices": (dict(covariance_matrix=np.stack([np.eye(D)] * K)), "covariance_matrix and scale_tril"),
    "no means": (dict(means=None), "means"), "means of a vector": (dict(means=np.zeros(D)), r"\(…, K, D\)"),
    "weights of two": (dict(weights=[0.5, 0.5]), r"weights has shape \(2,\)"),
    "one matrix without its axis": (dict(scale_tril=np.eye(D)), r"scale_tril has shape \(2, 2\).*\(…, 1, 2, 2\)"),
    "batches": (dict(weights=np.full((4, K), 1 / K), means=np.zeros((3, K, D))), r"weights \(4,\)"),
    "text": (dict(means="x"), "means must be"), "simplex": (dict(weights=[0.5, 0.5, 0.5], validate_args=True), "sum to 1"),
    "factor": (dict(scale_tril=-np.stack([np.eye(D)] * K), validate_args=True), "diagonal above 0"),
    "covariance": (
        dict(scale_tril=None, covariance_matrix=-np.stack([np.eye(D)] * K), validate_args=True), "positive definite"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_mixture_is_refused(case):
    good = {"weights": [0.2, 0.3, 0.5], "means": np.zeros((K, D)), "scale_tril": np.stack([np.eye(D)] * K)}
    GaussianMixture(**good, validate_args=True)
    change, words = REFUSED[case]
    with pytest.raises(ArgumentError, match=words) as caught:
        GaussianMixture(**(good | change))
    assert isinstance(caught.value, ValueError)


def test_rows_of_other_features_are_refused():
    with pytest.raises(ArgumentError, match="2 features"):
        ours(*parts()).log_prob(np.zeros((7, 3)))
    with pytest.raises(ArgumentError, match="do not broadcast"):
        ours(*parts(weights=(4,))).log_prob(np.zeros((5, D)))


# --- In models of NumPyro ---


def grouped(make, x, size=None):
    """Groups share components and have their own weights; x is (row, group, D)."""
    scales = numpyro.sample("scales", dist.HalfNormal(2.0).expand((K, D)).to_event(2))
    means = numpyro.sample("means", dist.Normal(0.0, 5.0).expand((K, D)).to_event(2))
    with numpyro.plate("groups", x.shape[1]):
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(K)))
        with numpyro.plate("rows", x.shape[0], subsample_size=size) as index:
            seen = x if size is None else x[index]
            numpyro.sample("x", make(weights, means, scales[..., None] * jnp.eye(D)), obs=seen)


def site_values():
    weights, means, _ = parts(weights=(4,))
    return {"scales": jnp.full((K, D), 0.7), "means": means, "weights": weights}


def test_groups_that_share_components_have_the_density_of_mixture_same_family():
    with jax.enable_x64(True):
        x, values = rows(5, 4), jax.tree.map(lambda part: part.astype(float), site_values())
        found = [
            jax.jit(jax.value_and_grad(lambda v, make=make: log_density(grouped, (make, x), {}, v)[0]))(values)
            for make in (ours, peer)
        ]
        close(*found, 1e-12)


def test_a_subsample_counts_for_all_rows_and_scale_multiplies():
    x, values = rows(6, 4), site_values()
    with handlers.seed(rng_seed=0), handlers.trace() as trace:
        handlers.substitute(grouped, data=values)(ours, x, size=2)
    site = trace["x"]
    assert (site["scale"], site["fn"].batch_shape) == (3.0, (2, 4))
    whole, _ = log_density(grouped, (ours, x), {}, values)
    doubled, _ = log_density(handlers.scale(grouped, 2.0), (ours, x), {}, values)
    np.testing.assert_allclose(doubled, 2 * whole, rtol=1e-6)
    subsample = x[trace["rows"]["value"]]
    part, _ = log_density(handlers.seed(grouped, 0), (ours, x), {"size": 2}, values | {"rows": trace["rows"]["value"]})
    prior = whole - ours(*parts_of(values)).log_prob(x).sum()
    np.testing.assert_allclose(part, prior + 3 * ours(*parts_of(values)).log_prob(subsample).sum(), rtol=1e-5)


def parts_of(values):
    return values["weights"], values["means"], values["scales"][..., None] * jnp.eye(D)


def regression(z, y=None):
    """Two responses on a line, with residuals from two Gaussians."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0).expand((1, D)).to_event(2))
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    means = numpyro.sample("means", dist.Normal(0.0, 5.0).expand((2, D)).to_event(2))
    sds = numpyro.sample("sds", dist.HalfNormal(2.0).expand((2, D)).to_event(2))
    residuals = GaussianMixture(weights, means, scale_tril=sds[..., None] * jnp.eye(D))
    line = dist.transforms.AffineTransform(z[:, None] * slope, 1.0)
    with numpyro.plate("rows", len(z)):
        return numpyro.sample("y", dist.TransformedDistribution(residuals, line), obs=y)


def simulated():
    rng = np.random.default_rng(5)
    z, of_second = rng.normal(size=150), rng.random(150) < 0.35
    slope = np.array([1.5, -0.5])
    noise = rng.normal(size=(150, D)) * np.where(of_second, 0.4, 0.8)[:, None]
    return z, z[:, None] * slope + np.where(of_second[:, None], [3.0, 2.0], [-1.0, 0.0]) + noise, slope


@WHOLE
def test_slope_under_residuals_of_two_kinds_is_found_by_nuts():
    z, y, slope = simulated()
    sampler = MCMC(NUTS(regression), num_warmup=200, num_samples=200, progress_bar=False)
    sampler.run(jr.key(0), z, y)
    draws = sampler.get_samples()
    mean, sd = draws["slope"][:, 0].mean(0), draws["slope"][:, 0].std(0)
    assert np.all(np.abs(mean - slope) < 4 * sd)
    least_squares = np.linalg.lstsq(np.c_[z, np.ones(150)], y, rcond=None)[0][0]
    assert np.all(sd < 0.15)
    assert np.all(np.abs(mean - slope) < np.abs(least_squares - slope) + 0.05)
    replicated = Predictive(regression, draws)(jr.key(1), z)["y"]
    assert replicated.shape == (200, 150, D)
    np.testing.assert_allclose(replicated.mean((0, 1)), y.mean(0), atol=0.3)


@WHOLE
def test_svi_ends_at_the_slope():
    z, y, slope = simulated()
    start = {"means": np.array([[-1.0, 0.0], [3.0, 2.0]])}
    guide = autoguide.AutoNormal(regression, init_loc_fn=numpyro.infer.init_to_value(values=start))
    found = SVI(regression, guide, numpyro.optim.Adam(0.05), Trace_ELBO()).run(jr.key(0), 500, z, y, progress_bar=False)
    np.testing.assert_allclose(guide.median(found.params)["slope"][0], slope, atol=0.3)


@pytest.mark.slow
def test_blackjax_moves_on_the_density():
    import blackjax

    z, y, slope = simulated()
    model = numpyro.infer.util.initialize_model(jr.key(0), regression, model_args=(z, y), dynamic_args=False)

    def density(position):
        return -model.potential_fn(position)

    warmup = blackjax.window_adaptation(blackjax.nuts, density)
    (state, tuned), _ = warmup.run(jr.key(1), model.param_info.z, num_steps=200)
    step = blackjax.nuts(density, **tuned).step
    _, states = jax.lax.scan(lambda state, key: (step(key, state)[0],) * 2, state, jr.split(jr.key(2), 200))
    mean, sd = states.position["slope"][:, 0].mean(0), states.position["slope"][:, 0].std(0)
    assert np.all(np.abs(mean - slope) < 4 * sd)


@WHOLE
def test_nuts_has_the_posterior_of_mixture_same_family():
    truth = site_values()
    x = ours(*parts_of(truth)).sample(jr.key(3), (40,))
    start = numpyro.infer.init_to_value(values=truth)
    moments = []
    for make in (ours, peer):
        sampler = MCMC(NUTS(grouped, init_strategy=start), num_warmup=500, num_samples=1500, progress_bar=False)
        sampler.run(jr.key(0), make, x)
        draws = jax.tree.map(np.asarray, sampler.get_samples())
        moments.append({name: (part.mean(0), part.std(0)) for name, part in draws.items()})
    for name, (mean, sd) in moments[0].items():
        other, _ = moments[1][name]
        assert np.abs((mean - other) / sd).max() < 0.25, name


def test_random_params_have_the_density_of_the_equations():
    """The equation of the package itself, `log_density`."""
    import bayesgmm as bg

    params = random_params(5)
    x = np.random.default_rng(0).normal(size=(100, 3))
    with jax.enable_x64(True):
        mixture = GaussianMixture(*(np.asarray(part) for part in params[:2]), scale_tril=np.asarray(params.scale_trils))
        close(mixture.log_prob(x), bg.log_density(params, x), 1e-12)
