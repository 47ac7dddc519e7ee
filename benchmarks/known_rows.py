"""Time of an EM step with gaps, errors and weights: `python benchmarks/known_rows.py`.

Gaps: ten patterns against complete rows, N = 100,000, D = 8, K = 8. Errors of each row: against extreme deconvolution
in NumPy with one batch of matrices for each component (as in astroML's `XDGMM`), N = 100,000, D = 4, K = 4. Ours and
the other alternate; the figures are ratios of medians.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

import bayesgmm as bg

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternating(*works: Callable[[], object]) -> list[float]:
    """Median times of several works that take turns, after one round to compile."""
    times = [[seconds(work) for work in works] for _ in range(ROUNDS + 1)][1:]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def per_step(x, k: int, means: np.ndarray, covariances: np.ndarray, steps: tuple[int, int] = (3, 13)):
    """Two works whose difference is ten EM steps from a given start."""

    def run(num: int) -> Callable[[], object]:
        return lambda: bg.fit_em(
            x, k, means_init=means, covariances_init=covariances, max_iter=num, tol=0, accelerate=False,
            progress_bar=False,
        )  # fmt: skip

    return [run(num) for num in steps]


def clusters(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, and a start: means and covariances."""
    rng = np.random.default_rng(0)
    means = 3.0 * rng.normal(size=(k, d))
    rows = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    return rows, means + 0.3 * rng.normal(size=(k, d)), np.tile(1.5 * np.eye(d), (k, 1, 1))


def bench_gaps() -> None:
    """Ten patterns against complete rows."""
    x, means, covariances = clusters(100_000, 8, 8)
    rng = np.random.default_rng(1)
    patterns = np.concatenate([np.ones((1, 8), bool), rng.random((9, 8)) > 0.3])
    gappy = np.where(patterns[rng.integers(10, size=len(x))], x, np.nan)
    counts = np.ones(len(x))
    cases = {"complete": x, "ten patterns of gaps": gappy, "weights": bg.rows(x, weights=counts)}
    works = [work for case in cases.values() for work in per_step(bg.rows(case), 8, means, covariances)]
    times = alternating(*works)
    steps = [(long - short) / 10 for short, long in zip(times[::2], times[1::2], strict=True)]
    for name, value in zip(cases, steps, strict=True):
        print(f"{name:24} {1000 * value:8.2f} ms a step, {value / steps[0]:5.2f} × complete rows")


def deconvolution_step(x, noise, weights, means, covariances):
    """One EM step of extreme deconvolution (Bovy, Hogg & Roweis 2011, eqs. 9-16), a batch for each component."""
    n, d = x.shape
    logs, moved, left = np.empty((len(weights), n)), [], []
    for k in range(len(weights)):
        total = covariances[k] + noise
        inverse = np.linalg.inv(total)
        apart = x - means[k]
        white = np.einsum("nde,ne->nd", inverse, apart)
        logs[k] = np.log(weights[k]) - 0.5 * (
            np.einsum("nd,nd->n", apart, white) + np.linalg.slogdet(total)[1] + d * np.log(2 * np.pi)
        )
        moved.append(means[k] + white @ covariances[k])
        left.append(covariances[k] - covariances[k] @ inverse @ covariances[k])
    top = np.logaddexp.reduce(logs, axis=0)
    shares = np.exp(logs - top)
    for k, (b, rest) in enumerate(zip(moved, left, strict=True)):
        count = shares[k].sum()
        weights[k], means[k] = count / n, shares[k] @ b / count
        apart = b - means[k]
        covariances[k] = (
            np.einsum("n,nd,ne->de", shares[k], apart, apart, optimize=True) + np.einsum("n,nde->de", shares[k], rest)
        ) / count
    return top.sum()


def bench_errors() -> None:
    """Errors of each row against extreme deconvolution in NumPy."""
    x, means, covariances = clusters(100_000, 4, 4)
    roots = 0.5 * np.random.default_rng(2).normal(size=(len(x), 4, 4))
    noise = roots @ roots.swapaxes(1, 2)
    table = bg.rows(x, errors=noise)

    def peer() -> None:
        state = np.full(4, 0.25), means.copy(), covariances.copy()
        for _ in range(2):
            deconvolution_step(x, noise, *state)

    short, long, theirs = alternating(*per_step(table, 4, means, covariances), peer)
    ours, theirs = (long - short) / 10, theirs / 2
    state = np.full(4, 0.25), means.copy(), covariances.copy()
    values = [deconvolution_step(x, noise, *state) for _ in range(4)]
    fit = bg.fit_em(table, 4, means_init=means, covariances_init=covariances, max_iter=3, tol=0, accelerate=False)
    print(
        f"errors of each row: {1000 * ours:.1f} ms a step, NumPy {1000 * theirs:.1f} ms: {theirs / ours:.1f} × as fast"
    )
    print(f"log-likelihood after three steps: {fit.log_likelihood:.6f}, NumPy {values[3]:.6f}")


if __name__ == "__main__":
    bench_gaps()
    bench_errors()
