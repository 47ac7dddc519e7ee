"""EM over rows of two processes with one thread each, against one process with two threads: time of one iteration.

`python benchmarks/processes.py [ROWS]` (2,000,000 rows of 4 features, 5 components). Each figure is the slope of the time
over the number of iterations, in the slower process. The two ways alternate within seconds.
"""

import socket
import statistics
import subprocess
import sys

from timing import row

ROWS, FEW, MORE, ROUNDS = 2_000_000, 2, 12, 7

CODE = """
import os, sys, time, warnings
index, count, address, rows, few, more = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
here = sorted(os.sched_getaffinity(0))[:2]
os.sched_setaffinity(0, here if count == 1 else here[index : index + 1])
import jax, numpy as np
import bayesgmm as bg
warnings.simplefilter("ignore")
if count > 1:
    jax.distributed.initialize(address, count, index)
rng = np.random.default_rng(0)
x = rng.standard_normal((rows, 4)) + rng.integers(5, size=(rows, 1))
x = bg.rows(np.array_split(x, count)[index], processes=count > 1)
means = np.arange(5.0)[:, None] * np.ones(4)

def run(iterations):
    start = time.perf_counter()
    fit = bg.fit_em(x, 5, means_init=means, max_iter=iterations, tol=0, accelerate=False, progress_bar=False)
    return time.perf_counter() - start

run(few)
for _ in sys.stdin:
    print((run(more) - run(few)) / (more - few), flush=True)
"""


def started(count: int, num_rows: int) -> list[subprocess.Popen]:
    """So many processes that share the rows. Each answers a line with the seconds of one iteration."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    numbers = [str(one) for one in (num_rows, FEW, MORE)]
    return [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(index), str(count), address, *numbers],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) for index in range(count)
    ]  # fmt: skip


def seconds_of(workers: list[subprocess.Popen]) -> float:
    """Seconds of one iteration, in the slower process."""
    for one in workers:
        print(file=one.stdin, flush=True)
    return max(float(one.stdout.readline()) for one in workers if one.stdout is not None)


def bench_processes(num_rows: int = ROWS) -> None:
    """One line: two processes, one process, and the median ratio."""
    ways = [started(count, num_rows) for count in (2, 1)]
    pairs = [(seconds_of(ways[0]), seconds_of(ways[1])) for _ in range(ROUNDS + 1)][1:]
    workers = [*ways[0], *ways[1]]
    for worker in workers:  # they end together
        assert worker.stdin is not None
        worker.stdin.close()
    for worker in workers:
        worker.wait()
    two, one = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    what = f"one EM iteration, N={num_rows} D=4 K=5, two processes with a thread each"
    row(what, two, one, ratio, "one process, two threads")


if __name__ == "__main__":
    bench_processes(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
