"""EM over rows on disk against rows in memory and against scikit-learn: rows per second, and peak resident memory.
Then online EM against EM: seconds until the fit is within 1e-3 nats per row of the maximum.

`python benchmarks/streaming.py [ROWS]` writes ROWS rows (20,000,000) of 4 features in single precision to a Parquet
file, part by part. Each figure is of a new process: the slope of the time over the number of iterations. scikit-learn
gets a tenth of the rows, and so do online EM and the EM beside it.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import fresh

ROWS, FEATURES, COMPONENTS, PART = 20_000_000, 4, 5, 1_000_000
FEW, MORE, ROUNDS, FEWER_ROWS = 1, 4, 3, 10

SHARED = """
import resource, sys, time, warnings
import numpy as np
path, few, more = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
means = np.arange(5.0)[:, None] * np.ones(4)
def slope(run):
    run(few)
    start = time.perf_counter(); run(few); middle = time.perf_counter(); run(more); end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(((end - middle) - (middle - start)) / (more - few), peak)
"""
OURS = SHARED + (
    "import bayesgmm as bg\nwarnings.simplefilter('ignore')\n{data}\n"
    "slope(lambda n: bg.fit_em(x, 5, means_init=means, max_iter=n, tol=0, accelerate=False, dtype='{dtype}'))"
)
ON_DISK = "x = bg.open_rows(path)"
IN_MEMORY = (
    "from pyarrow import parquet\nx = np.stack([c.to_numpy() for c in parquet.read_table(path).columns], axis=1)"
)
PEER = SHARED + (
    "from sklearn.mixture import GaussianMixture\nwarnings.simplefilter('ignore')\n" + IN_MEMORY + "\n"
    "slope(lambda n: GaussianMixture(5, means_init=means, weights_init=np.full(5, 0.2), precisions_init=[np.eye(4)] * 5, "
    "init_params='random_from_data', max_iter=n, tol=0).fit(x))"
)


NEAR = """
import sys, time, warnings
import numpy as np
import bayesgmm as bg
warnings.simplefilter('ignore')
x, batch = bg.open_rows(sys.argv[1]), int(sys.argv[2])
more = {'batch_size': batch, 'num_passes': 1} if batch else {}
def run(**other):
    start, seen = time.perf_counter(), []
    fit = bg.fit_em(x, 5, progress_bar=lambda *report: seen.append((report[1], time.perf_counter() - start)), **other)
    return fit, seen
best = run(tol=1e-3)[0].log_likelihood
run(**more)
fit, seen = run(**more)
if batch:
    seconds, gap = seen[-1][1], (best - fit.log_likelihood) / x.num_rows
else:
    first = int(np.argmax(fit.trace > best - 1e-3 * x.num_rows))
    seconds, gap = next(time for done, time in seen if done >= first), (best - fit.trace[first]) / x.num_rows
print(seconds, gap)
"""
"""Seconds from the call, with the search on the sample, which both share; all programs are compiled before."""


def bench_online(path: Path) -> None:
    """Online EM (one pass, and one for the log-likelihood) against EM, from Parquet in double precision."""
    for batch in (0, 4096, 32_768):
        runs = [tuple(map(float, fresh(NEAR, str(path), str(batch)).split())) for _ in range(ROUNDS)]
        seconds, gap = (statistics.median(column) for column in zip(*runs, strict=True))
        name = f"online EM, one pass, batches of {batch:,}" if batch else "EM, until it is near"
        print(f"| {name} | {seconds:.2f} s | {gap:.1e} nats per row below the maximum |", flush=True)


def write_rows(path: Path, num_rows: int) -> None:
    """Five overlapping clusters, in row groups of a million rows."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    names = [f"x{d}" for d in range(FEATURES)]
    with parquet.ParquetWriter(path, pa.schema([(name, pa.float32()) for name in names])) as writer:
        for first in range(0, num_rows, PART):
            count = min(PART, num_rows - first)
            z = rng.integers(COMPONENTS, size=count)
            x = rng.standard_normal((count, FEATURES), np.float32) + z[:, None].astype(np.float32)
            writer.write_table(pa.table(dict(zip(names, x.T, strict=True))), row_group_size=PART)


def bench_streaming(num_rows: int = ROWS) -> None:
    """One line for each way; ours and the others alternate."""
    ways = {
        "from Parquet": OURS.format(data=ON_DISK, dtype="float32"),
        "from Parquet, double precision": OURS.format(data=ON_DISK, dtype="float64"),
        "in memory": OURS.format(data=IN_MEMORY, dtype="float32"),
        "in memory, double precision": OURS.format(data=IN_MEMORY, dtype="float64"),
        "scikit-learn, in memory": PEER,
    }
    with tempfile.TemporaryDirectory() as folder:
        path, few = Path(folder) / "rows.parquet", Path(folder) / "few.parquet"
        write_rows(path, num_rows)
        write_rows(few, num_rows // FEWER_ROWS)
        bench_online(few)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, code in ways.items():
                of_peer = code == PEER  # its time is proportional to the rows, and long
                seconds, peak = map(float, fresh(code, str(few if of_peer else path), str(FEW), str(MORE)).split())
                found[name].append(((num_rows // FEWER_ROWS if of_peer else num_rows) / seconds, peak))
                print(f"{name}: {found[name][-1][0] / 1e6:.2f} million rows/s", file=sys.stderr, flush=True)
    for name, runs in found.items():
        speed, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"| {name} | {speed / 1e6:.2f} million rows/s | peak {peak / 2**30:.2f} GB |", flush=True)


if __name__ == "__main__":
    bench_streaming(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
