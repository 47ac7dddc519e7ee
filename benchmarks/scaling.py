"""Time and memory of a pass over N, D, K, chains, devices and processes; a model of the cost; what it says of 10¹² rows.

`python benchmarks/scaling.py` measures, fits the model, and writes `benchmarks/results/scaling.json`;
`python benchmarks/scaling.py words` prints the tables of `docs/scaling.md` from that file, and measures nothing.

The model: a pass of one chain costs N (a K M + b K + c M) + d seconds, where M = (D + 1)(D + 2) / 2 is the number of
products of two features (with 1 as a feature). Each of P processes has N / P rows, and they exchange K M numbers.
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from timing import fresh, seconds

RESULTS = Path(__file__).parent / "results" / "scaling.json"
FEW, MORE, ROUNDS = 2, 8, 5
SIZES = (
    *((n, 4, 5) for n in (50_000, 200_000, 1_000_000, 4_000_000)),
    *((400_000, d, 5) for d in (1, 2, 8, 16)), (100_000, 32, 5),
    *((400_000, 4, k) for k in (2, 10, 20)), (200_000, 16, 16),
)  # fmt: skip
CHAINS = (1, 2, 4, 8)
LATENCY, BANDWIDTH = 100e-6, 1.25e9
"""Assumed of a network: seconds of a step of the exchange, and bytes per second (10 Gbit/s)."""

MEMORY = """
import resource, sys, warnings
import numpy as np, bayesgmm as bg
warnings.simplefilter("ignore")
rng, num = np.random.default_rng(0), int(sys.argv[1])
x = np.empty((num, 4), np.float32)
for part in np.array_split(x, 40):
    part[:] = rng.standard_normal(part.shape, np.float32) + 4 * rng.integers(5, size=(len(part), 1))
bg.fit_em(x, 5, means_init=4 * np.arange(5.0)[:, None] * np.ones(4), max_iter=2, tol=0, dtype="float32")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
DEVICES = """
import sys, time, warnings
import numpy as np, jax, bayesgmm as bg
warnings.simplefilter("ignore")
rng, k = np.random.default_rng(0), 5
z = rng.integers(k, size=400_000)
x = bg.rows(rng.standard_normal((len(z), 4)) + 4 * z[:, None], devices=int(sys.argv[1]))
def run(steps):
    start = time.perf_counter()
    bg.fit_em(x, k, means_init=4 * np.arange(5.0)[:, None] * np.ones(4), max_iter=steps, tol=0, accelerate=False)
    return time.perf_counter() - start
run(2), run(12)
print(sorted((run(12) - run(2)) / 10 for _ in range(5))[2])
"""


def products(dim: int) -> int:
    """M: the number of products of two features, with 1 as a feature."""
    return (dim + 1) * (dim + 2) // 2


def slope(run: Callable[[int], Any]) -> float:
    """Seconds of one more iteration, the median of some rounds."""
    run(FEW), run(MORE)
    return statistics.median(
        (seconds(partial(run, MORE)) - seconds(partial(run, FEW))) / (MORE - FEW) for _ in range(ROUNDS)
    )


def rows_of(num: int, dim: int, k: int, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((num, dim)) + 4 * rng.integers(k, size=(num, 1))).astype(dtype)


def em_seconds(num: int, dim: int, k: int, dtype: str) -> float:
    import bayesgmm as bg

    x, means = rows_of(num, dim, k, dtype), 4 * np.arange(float(k))[:, None] * np.ones(dim)
    fit = partial(bg.fit_em, x, k, means_init=means, tol=0, accelerate=False, dtype=dtype, progress_bar=False)
    return slope(lambda steps: fit(max_iter=steps))


def gibbs_seconds(num: int, chains: int) -> float:
    import bayesgmm as bg

    x = rows_of(num, 4, 5, "float64")
    start = bg.fit_em(x, 5, n_init=1, progress_bar=False)
    sample = partial(bg.sample_gibbs, x, 5, init=start, reference=start, num_chains=chains, num_warmup=0)
    return slope(lambda steps: sample(num_samples=5 * steps, progress_bar=False)) / 5


def measured() -> dict[str, Any]:
    """All figures."""
    found: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "passes": []}
    for dtype in ("float32", "float64"):
        for size in SIZES:
            found["passes"].append((dtype, *size, em_seconds(*size, dtype)))
            print(*found["passes"][-1], file=sys.stderr, flush=True)
    found["chains"] = [(chains, gibbs_seconds(200_000, chains)) for chains in CHAINS]
    print(found["chains"], file=sys.stderr, flush=True)
    found["memory"] = [(num, float(fresh(MEMORY, str(num)))) for num in (1_000_000, 8_000_000)]
    print(found["memory"], file=sys.stderr, flush=True)
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    found["devices"] = [(count, float(fresh(DEVICES, str(count), env=env))) for count in (1, 2, 4)]
    print(found["devices"], file=sys.stderr, flush=True)
    return found


def model_of(passes: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients (a, b, c, d), at least 0, by least squares of relative errors, and these errors."""
    table = np.array([(n * k * products(d), n * k, n * products(d), 1.0) for _, n, d, k, _ in passes])
    times = np.array([one[-1] for one in passes])
    coefficients, _ = nnls(table / times[:, None], np.ones(len(times)))
    return coefficients, table @ coefficients / times - 1.0


def pass_seconds(coefficients: np.ndarray, rows: float, dim: int, k: int) -> float:
    return float(np.dot(coefficients, (rows * k * products(dim), rows * k, rows * products(dim), 1.0)))


def exchange(processes: int, dim: int, k: int) -> float:
    """Seconds to add up the statistics of all processes, along a tree there and back, in double precision."""
    steps = 2 * np.ceil(np.log2(max(processes, 1)))
    return float(steps * (LATENCY + 8 * k * (products(dim) + 1) / BANDWIDTH))


def machines_for_a_second(coefficients: np.ndarray, rows: float, dim: int, k: int) -> int | None:
    """How many such machines make an iteration in a second; None if the exchange alone takes longer."""
    for processes in np.unique(np.round(np.geomspace(1, 1e7, 2000)).astype(int)):
        if pass_seconds(coefficients, rows / processes, dim, k) + exchange(int(processes), dim, k) <= 1.0:
            return int(processes)
    return None


def words(found: dict[str, Any]) -> None:
    """The tables of the docs page."""
    print(f"Measured on {found['machine']}.\n")
    for dtype in ("float32", "float64"):
        own = [one for one in found["passes"] if one[0] == dtype]
        coefficients, errors = model_of(own)
        print(f"\n{dtype}: a, b, c = {', '.join(f'{1e9 * one:.3f}' for one in coefficients[:3])} ns, ", end="")
        print(f"d = {1e3 * coefficients[3]:.2f} ms; errors {np.abs(errors).mean():.0%} on average, ", end="")
        print(f"{np.abs(errors).max():.0%} at most\n")
        print("| N | D | K | a pass | million rows/s | model |\n|---|---|---|---|---|---|")
        for (_, n, d, k, time), error in zip(own, errors, strict=True):
            print(
                f"| {n:,} | {d} | {k} | {1e3 * time:.2f} ms | {n / time / 1e6:.1f} | {1e3 * time * (1 + error):.2f} ms |"
            )
        print(
            "\n| rows | D | K | one machine | machines for a second | memory of each | exchange |\n" + "|---" * 7 + "|"
        )
        for rows in (1e9, 1e10, 1e11, 1e12):
            for d, k in ((4, 5), (16, 16)):
                needed = machines_for_a_second(coefficients, rows, d, k)
                alone = pass_seconds(coefficients, rows, d, k)
                each = "" if needed is None else f"{rows / needed * (1 + d) * np.dtype(dtype).itemsize / 1e9:.2f} GB"
                ends = "" if needed is None else f"{1e3 * exchange(needed, d, k):.1f} ms"
                print(f"| {rows:.0e} | {d} | {k} | {alone:,.0f} s | {needed or 'none'} | {each} | {ends} |")
    one = found["chains"][0][1]
    print(
        "\nchains: " + ", ".join(f"{c}: {1e3 * t:.1f} ms ({t / one / c:.2f} of {c} × one)" for c, t in found["chains"])
    )
    (n1, m1), (n2, m2) = found["memory"]
    print(f"memory in single precision: {(m2 - m1) / (n2 - n1):.1f} bytes a row of 4 features, the user's 16 included")
    print("virtual devices on the same cores: " + ", ".join(f"{c}: {1e3 * t:.1f} ms" for c, t in found["devices"]))


if __name__ == "__main__":
    if sys.argv[1:] != ["words"]:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(measured(), indent=1))
    words(json.loads(RESULTS.read_text()))
