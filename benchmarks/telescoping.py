"""The telescoping sampler on the galaxy data: sweeps per second, effective draws of K per second, the first call."""

import time

import numpy as np
from timing import fresh

FIRST = """
import sys, time
start = time.perf_counter()
import bayesgmm as bg
x = bg.load_dataset("galaxies") / 1000
bg.sample_telescoping(x, num_warmup=100, num_samples=100, progress_bar=False)
print(time.perf_counter() - start)
"""


def bench_telescoping(num_samples: int = 20_000, runs: int = 5) -> None:
    """Print a row per prior: 4 chains, room for 30 components, medians of later runs in the process."""
    from arviz_stats.base import array_stats

    import bayesgmm as bg

    x = bg.load_dataset("galaxies").to_numpy() / 1000
    low, high = float(x.min()), float(x.max())
    components = bg.HierarchicalInverseWishart(0.5 * (low + high), (high - low) ** 2, 4.0, 0.4, (high - low) ** 2 / 10)
    prior = bg.Prior(bg.Dirichlet(1.0), components)
    cases = {
        "uniform on 1 … 30, γ = 1": (bg.UniformComponents(30), bg.Static(1.0)),
        "BNB(1, 4, 3), α ~ F(6, 3)": (None, None),
    }
    for name, (number, concentration) in cases.items():
        rates, effective = [], []
        for run in range(runs + 1):
            start = time.perf_counter()
            found = bg.sample_telescoping(
                x, prior=prior, components=number, concentration=concentration, num_warmup=500,
                num_samples=num_samples, seed=run, progress_bar=False,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            rates.append(4 * (500 + num_samples) / seconds)
            draws = found.num_components.astype(float)
            effective.append(float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")) / seconds)
        print(
            f"| telescoping, galaxies, {name} | {np.median(rates[1:]):,.0f} sweeps/s | best {max(rates[1:]):,.0f} | "
            f"{np.median(effective[1:]):.0f} effective draws of K per second | |",
            flush=True,
        )
    print(f"| first call in a new process, import included | {float(fresh(FIRST)):.1f} s | | | |", flush=True)
