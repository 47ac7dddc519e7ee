"""Evidence by bridge sampling and THAMES: seconds of the first call in a new process and of later calls."""

import time

import numpy as np
from timing import fresh

FIRST = """
import sys, time
sys.path.insert(0, "benchmarks")
from evidence import drawn
import bayesgmm as bg
posterior = drawn(1)
start = time.perf_counter()
bg.evidence(posterior, method=sys.argv[1])
print(time.perf_counter() - start)
"""


def drawn(seed: int, num_rows: int = 1_000, k: int = 4):
    """4 × 1,000 Gibbs draws for rows around K centres of a square."""
    import bayesgmm as bg

    rng = np.random.default_rng(0)
    centres = 5.0 * np.array([[i % 2, i // 2] for i in range(k)])
    x = centres[rng.integers(k, size=num_rows)] + rng.normal(size=(num_rows, 2))
    return bg.sample_gibbs(x, k, seed=seed, progress_bar=False)


def bench_evidence() -> None:
    """Print a row for each method: N = 1,000, D = 2, K = 4, other draws for each call."""
    import bayesgmm as bg

    for method in ("bridge", "thames"):
        first, times, errors = float(fresh(FIRST, method)), [], []
        for seed in range(1, 6):
            posterior = drawn(seed)
            start = time.perf_counter()
            found = bg.evidence(posterior, method=method)
            times.append(time.perf_counter() - start)
            errors.append(found.standard_error)
        later, error = float(np.median(times[1:])), float(np.mean(errors))
        print(
            f"| evidence by {method}, N=1,000 D=2 K=4, 4,000 draws | {later:.2f} s | first call in a process "
            f"{first:.2f} s | error {error:.3f} | |",
            flush=True,
        )
