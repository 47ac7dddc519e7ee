"""Bootstraps beside mclust's, and the time of studies."""

import shutil
import subprocess

import numpy as np
from timing import row, seconds

TRUTH = [0.5, 0.3, 0.2], [[0, 0], [4, 0], [0, 4]], [np.eye(2)] * 3


def bench_bootstrap() -> None:
    """1,000 replicates of Old Faithful, K = 2, alternating with mclust's MclustBootstrap (needs r-cran-mclust)."""
    import bayesgmm as bg

    fit = bg.fit_em(bg.load_dataset("faithful"), 2)
    for method, theirs in {"bootstrap": "bs", "weighted": "wlbs", "parametric": "pb"}.items():

        def ours(method: str = method) -> object:
            return fit.intervals(method, num_replicates=1000)

        ours()
        what = f"1,000 replicates ({method}), faithful K=2"
        if shutil.which("Rscript") is None:
            print(f"| {what} | {seconds(ours) * 1e3:.4g} ms |  |  | R not found |")
            continue
        code = f"""
        suppressMessages(library(mclust)); fit <- Mclust(faithful, G = 2, modelNames = "VVV", verbose = FALSE)
        cat(system.time(MclustBootstrap(fit, nboot = 1000, type = "{theirs}", verbose = FALSE))[["elapsed"]])"""

        def peer(code: str = code) -> float:
            out = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout
            return float(out.split()[-1])

        pairs = [(seconds(ours), peer()) for _ in range(3)]
        mine, other = (float(np.median(column)) for column in zip(*pairs, strict=True))
        row(what, mine, other, float(np.median([b / a for a, b in pairs])), f"MclustBootstrap {theirs}")


def bench_studies() -> None:
    """Seconds per data set of a study: N = 500, D = 2, K = 3; 1,000 of them in 60 s (EM) and 10 minutes (Gibbs)."""
    import bayesgmm as bg

    truth = bg.Params.of(*TRUTH)
    for engine in ("em", "gibbs"):

        def ours(num: int, engine: str = engine) -> object:
            return bg.study(truth, n=500, engines=engine, num_replicates=num, progress_bar=False)

        ours(2)
        each = (seconds(lambda run=ours: run(120)) - seconds(lambda run=ours: run(20))) / 100
        print(
            f"| study, {engine}, per data set | {each * 1e3:.4g} ms |  |  | 1,000 take {1000 * each:.0f} s |",
            flush=True,
        )
