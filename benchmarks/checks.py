"""Diagnosis and check of draws given many rows, against the fit that made the draws."""

import time
from collections.abc import Callable

import numpy as np


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench_checks() -> None:
    """Gibbs with 4 × 1,000 draws, N = 50,000, D = 8, K = 4: seconds of the first call and of a later one."""
    import bayesgmm as bg

    rng = np.random.default_rng(0)
    n, d, k = 50_000, 8, 4
    means, labels = 2.5 * rng.normal(size=(k, d)), rng.integers(k, size=n)
    shapes = 0.5 * rng.normal(size=(k, d, d)) + np.eye(d)
    x = means[labels] + np.einsum("kde,ne->nkd", shapes, rng.normal(size=(n, d)))[np.arange(n), labels]
    found = {}

    def fit() -> None:
        found["posterior"] = bg.sample_gibbs(x, k, progress_bar=False)

    first_fit, fit_time = timed(fit), timed(fit)
    posterior = found["posterior"]
    print(f"| sample_gibbs, N={n:,} D={d} K={k} | {fit_time:.1f} s | first call {first_fit:.1f} s | | |", flush=True)
    for name, work in (
        ("diagnose", lambda: bg.diagnose(posterior).verdict()),
        ("check", lambda: bg.check(posterior, progress_bar=False)),
    ):
        first, later = timed(work), timed(work)
        ratio = fit_time / later
        print(
            f"| {name} of these draws | {later:.1f} s | first call {first:.1f} s | {ratio:.2f}× | the fit |", flush=True
        )
