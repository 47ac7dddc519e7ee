"""Relabelling of large posteriors: seconds of the first call and of later calls, peak memory at N = 100,000."""

import time

import numpy as np
from timing import fresh

MEMORY = """
import resource, sys, time
sys.path.insert(0, "benchmarks")
from labels import draws
import bayesgmm as bg
variables, x = draws(1_000, 5)
bg.relabel(variables, sys.argv[1], x=x)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
variables, x = draws(100_000, 5)
start = time.perf_counter()
bg.relabel(variables, sys.argv[1], x=x)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 2**20, time.perf_counter() - start)
"""


def draws(num_rows: int, k: int, dim: int = 2, chains: int = 4, num: int = 1000):
    """Draws around K overlapping centres with randomly permuted labels, and rows from them."""
    rng = np.random.default_rng(0)
    centres = 2.5 * rng.normal(size=(k, dim))
    x = centres[rng.integers(k, size=num_rows)] + rng.normal(size=(num_rows, dim))
    order = rng.permuted(np.broadcast_to(np.arange(k), (chains, num, k)), axis=-1)
    means = np.take_along_axis(centres + 0.1 * rng.normal(size=(chains, num, k, dim)), order[..., None], axis=2)
    covariances = np.broadcast_to(np.eye(dim), (chains, num, k, dim, dim)).copy()
    return {"weights": np.full((chains, num, k), 1 / k), "means": means, "covariances": covariances}, x


def bench_labels() -> None:
    """Print a row for each method: 4 chains × 1,000 draws, K = 5."""
    import bayesgmm as bg
    from bayesgmm.relabelling.methods import METHODS

    variables, x = draws(1_000, 5)
    for method in METHODS:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            bg.relabel(variables, method, x=x)
            times.append(time.perf_counter() - start)
        first, later = times[0], float(np.median(times[1:]))
        print(
            f"| relabel by {method}, N=1,000 K=5, 4,000 draws | {later:.2f} s | first call {first:.2f} s | | |",
            flush=True,
        )
    for method in ("ecr", "stephens"):
        memory, seconds = map(float, fresh(MEMORY, method).split())
        print(f"| relabel by {method}, N=100,000 | {seconds:.1f} s | {memory:.2f} GB more | | |", flush=True)
