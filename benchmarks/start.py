"""How long a person waits in a new process: first time on a machine, programs on disk, later calls, another N."""

import os
import statistics
import tempfile
from pathlib import Path

from timing import fresh

DATA = "import numpy as np; from pathlib import Path; import importlib.util as u\n" + (
    "p = Path(u.find_spec('bayesgmm').origin).parent / 'data/datasets/{}.csv'\n"
    "x = np.loadtxt(p, delimiter=',', skiprows=1, usecols=range({}))\n"
)
TIMED = (
    "import time; start = time.perf_counter()\n{data}{load}\n{call}; first = time.perf_counter() - start\n"
    "start = time.perf_counter(); {call}; again = time.perf_counter() - start\n"
    "x = x[:-1]; start = time.perf_counter(); {call}; other = time.perf_counter() - start\n"
    "print(first, again, other)"
)
OURS = {
    "fit_em": "bg.fit_em(x, 2)",
    "sample_gibbs": "bg.sample_gibbs(x, 2)",
    "sample_nuts": "bg.sample_nuts(x, 2)",
    "fit_cavi": "bg.fit_cavi(x, 2)",
    "fit_laplace": "bg.fit_laplace(x, 2)",
    "fit_svi": "bg.fit_svi(x, 2)",
    "fit_table 1:9, all families": "bg.fit_table(x, range(1, 10))",
}
ROUNDS = 5


def timed(data: str, load: str, call: str, cache: str) -> list[float]:
    """Seconds of the first call with imports, of the second, and of one with a row less; in a new process."""
    environment = {**os.environ, "BAYESGMM_CACHE": cache}
    code = TIMED.format(data=data, load=load, call=call)
    return [float(word) for word in fresh(code, env=environment).split()]


def bench_start() -> None:
    """New processes, imports included; ours and scikit-learn alternate."""
    faithful, iris = DATA.format("faithful", 2), DATA.format("iris", 4)
    with tempfile.TemporaryDirectory() as folder:
        for name, call in OURS.items():
            cache = str(Path(folder) / name.split()[0])
            cold = timed(faithful, "import bayesgmm as bg", call, cache)[0]
            warm = [timed(faithful, "import bayesgmm as bg", call, cache) for _ in range(ROUNDS)]
            first, again, other = (statistics.median(column) for column in zip(*warm, strict=True))
            print(
                f"| {name}: first time on a machine {cold:.2f} s | on disk {first:.2f} s | again {again * 1e3:.0f} ms "
                f"| a row less {other * 1e3:.0f} ms | |",
                flush=True,
            )
        peers = (
            ("fit_em(faithful, 2)", faithful, "bg.fit_em(x, 2)", "GaussianMixture(2, n_init=10).fit(x)"),
            ("100 starts, iris K=3", iris, "bg.fit_em(x, 3, n_init=100)", "GaussianMixture(3, n_init=100).fit(x)"),
        )
        for name, data, call, peer in peers:
            cache = str(Path(folder) / "peer")
            timed(data, "import bayesgmm as bg", call, cache)
            pairs = [
                (
                    timed(data, "import bayesgmm as bg", call, cache)[0],
                    timed(data, "from sklearn.mixture import GaussianMixture", peer, cache)[0],
                )
                for _ in range(ROUNDS)
            ]
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"| {name}, new process | {mine:.2f} s | {theirs:.2f} s | {ratio:.2f}× | scikit-learn |", flush=True)
