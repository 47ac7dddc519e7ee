"""EM over rows in Dask with two worker processes, against one process with all rows in memory and two threads.

`python benchmarks/dask_workers.py [ROWS]`: ROWS rows (2,000,000) of 4 features, 5 components, double precision. The two
ways alternate in one run; a figure is the slope of the time over the number of iterations, and the ratio is the median.
"""

import statistics
import sys
import warnings

import numpy as np
from timing import seconds

ROWS, FEATURES, COMPONENTS, PARTITIONS, WORKERS = 2_000_000, 4, 5, 8, 2
FEW, MORE, ROUNDS = 2, 22, 7


def bench_dask(num_rows: int = ROWS) -> None:
    """One line: seconds of an iteration both ways, and the median of their ratios."""
    import dask.array as da
    from distributed import Client, LocalCluster

    import bayesgmm as bg
    from bayesgmm.errors import NotConvergedWarning

    warnings.simplefilter("ignore", NotConvergedWarning)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((num_rows, FEATURES)) + rng.integers(COMPONENTS, size=num_rows)[:, None]
    means = np.arange(float(COMPONENTS))[:, None] * np.ones(FEATURES)

    def slope(rows) -> float:
        def run(count: int):
            return bg.fit_em(rows, COMPONENTS, means_init=means, max_iter=count, tol=0, accelerate=False)

        return (seconds(lambda: run(MORE)) - seconds(lambda: run(FEW))) / (MORE - FEW)

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the rows are sent once, in the graph
            inside = bg.rows(client.persist(da.from_array(x, chunks=(-(-num_rows // PARTITIONS), FEATURES))))
        slope(x), slope(inside)
        pairs = []
        for _ in range(ROUNDS):
            pairs.append((slope(x), slope(inside)))
            print(f"in memory {pairs[-1][0] * 1e3:.1f} ms, in Dask {pairs[-1][1] * 1e3:.1f} ms", file=sys.stderr)
    memory, there = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"| EM N={num_rows:,} D={FEATURES} K={COMPONENTS}, one iteration | in memory {memory * 1e3:.1f} ms | ", end=""
    )
    print(f"in Dask, {WORKERS} workers {there * 1e3:.1f} ms | {ratio:.2f}× the time |", flush=True)


if __name__ == "__main__":
    bench_dask(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
