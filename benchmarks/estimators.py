"""The estimators for scikit-learn: their cost over that of `fit_em`, and against scikit-learn's."""

import warnings
from functools import partial

import numpy as np
from timing import alternate, row


def bench_estimators() -> None:
    """The same steps by `fit_em` and by the estimator; then whole fits and predictions against scikit-learn."""
    import sklearn.mixture as theirs

    import bayesgmm as bg
    from bayesgmm import sklearn as ours

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    for n, d, k, steps in ((1000, 2, 4, 50), (100_000, 8, 8, 50)):
        centres = 4.0 * rng.normal(size=(k, d))
        x = rng.normal(size=(n, d)) + centres[rng.integers(k, size=n)]
        size, eye = f"N={n:,} D={d} K={k}", np.tile(np.eye(d), (k, 1, 1))
        start = {"weights_init": np.full(k, 1.0 / k), "means_init": centres}
        given = {"precisions_init": eye, "tol": 0.0, "max_iter": steps, "reg_covar": 0.0}
        estimator = ours.GaussianMixture(k, **start, **given)
        alone = partial(bg.fit_em, x, k, covariances_init=eye, accelerate=False, tol=0.0, max_iter=steps, **start)
        mine, other, ratio = alternate(partial(estimator.fit, x), alone)
        times = f"{mine * 1e3:.4g} ms | {other * 1e3:.4g} ms | {1.0 / ratio:.3g} of the peer"
        print(f"| {steps} EM steps, {size} | {times} | `fit_em`, the same start |")
        for name, settings in (("GaussianMixture", given), ("BayesianGaussianMixture", {"tol": 0.0, "max_iter": 20})):
            begin = {"n_components": k, "init_params": "random_from_data", "random_state": 0}
            settings = start | settings if name == "GaussianMixture" else settings
            a, b = (getattr(module, name)(**begin | settings) for module in (ours, theirs))
            row(
                f"`{name}`, {settings['max_iter']} steps, {size}",
                *alternate(partial(a.fit, x), partial(b.fit, x), 3),
                "scikit-learn",
            )
        row(
            f"`predict_proba`, {size}",
            *alternate(partial(a.predict_proba, x), partial(b.predict_proba, x)),
            "scikit-learn",
        )
