"""Compare bayesgmm with other software. Usage: python benchmarks/run.py [name ...]; without a name it runs all."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from checks import bench_checks
from dask_workers import bench_dask
from distribution import bench_distribution
from efficiency import bench_efficiency
from estimators import bench_estimators
from evidence import bench_evidence
from labels import bench_labels
from processes import bench_processes
from start import bench_start
from streaming import bench_streaming
from studies import bench_bootstrap, bench_studies
from telescoping import bench_telescoping
from timing import alternate, fresh, row, seconds

MEMORY = """
import resource, sys, threading, time
import numpy as np, bayesgmm as bg
from bayesgmm.engines.em.fit_em import fit_em

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

warm = np.random.default_rng(0).normal(size=(5000, 16))
fit_em(warm, 16, n_init=1, max_iter=2, tol=0, prior="default")
base = resident()
rng = np.random.default_rng(0)
x = np.empty((1_000_000, 16))
for block in np.array_split(x, 100):
    block[:] = rng.normal(size=block.shape) + 4 * rng.integers(16, size=(len(block), 1))
peak, over = [0], threading.Event()
def watch():
    while not over.is_set():
        peak[0] = max(peak[0], resident())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
start = time.perf_counter()
fit_em(x, 16, n_init=1, max_iter=5, tol=0, prior="default", progress_bar=False)
elapsed = time.perf_counter() - start
over.set(); thread.join()
print((peak[0] - base) / x.nbytes, elapsed)
"""


def clusters(n: int, d: int, k: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, d))[rng.integers(k, size=n)] * 3 + rng.normal(size=(n, d))


def bench_import() -> None:
    """Import time of bayesgmm relative to jax; new processes, alternating."""
    timed = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    pairs = [(float(fresh(timed.format("bayesgmm"))), float(fresh(timed.format("jax")))) for _ in range(9)]
    ours, jax_time = (float(np.median(column)) for column in zip(*pairs, strict=True))
    row("import", ours, jax_time, float(np.median([b / a for a, b in pairs])), "import jax")


def bench_public_names() -> None:
    """Import time of fit_em and sample_gibbs with all that they need, relative to import jax."""
    timed = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    code = timed.format("from bayesgmm import fit_em, sample_gibbs")
    pairs = [(float(fresh(code)), float(fresh(timed.format("import jax")))) for _ in range(5)]
    ours, jax_time = (float(np.median(column)) for column in zip(*pairs, strict=True))
    row("from bayesgmm import fit_em, sample_gibbs", ours, jax_time, jax_time / ours, "import jax")


def bench_cli() -> None:
    """The whole command on Old Faithful in a new process: nothing on disk, then programs on disk."""
    command = [str(Path(sys.executable).parent / "bayesgmm"), "compare", "faithful", "-k", "2", "--quiet", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("empty cache", "warm cache"):
            times = []
            for i in range(3):
                cache = f"{folder}/{i if name == 'empty cache' else 0}"
                env = os.environ | {"BAYESGMM_CACHE": cache}
                run = partial(subprocess.run, [*command, f"{folder}/out"], check=True, capture_output=True, env=env)
                times.append(seconds(run))
            print(f"| compare faithful -k 2, {name} | {np.median(times):.1f} s |  |  |  |", flush=True)


def bench_memory() -> None:
    """Peak memory of EM relative to the size of the data, which it includes; N = 1,000,000, D = K = 16."""
    ratio, elapsed = map(float, fresh(MEMORY).split())
    print(
        f"| EM, N=1e6 D=16 K=16: peak memory / data | {ratio:.2f}× | 5 M-steps in {elapsed:.1f} s |  |  |", flush=True
    )


def bench_em() -> None:
    """Time of one EM iteration, from the difference between a long and a short run, against scikit-learn."""
    from sklearn.mixture import GaussianMixture

    import bayesgmm as bg

    for n, d, k in ((200_000, 2, 3), (200_000, 16, 16), (20_000, 64, 16)):
        x = clusters(n, d, k)
        start = {"weights_init": np.full(k, 1 / k), "means_init": x[:k]}
        covariances = np.array([np.cov(x.T)] * k)

        def ours(steps: int, x=x, k=k, start=start, covariances=covariances) -> float:
            fit = partial(bg.fit_em, x, k, **start, covariances_init=covariances, tol=0, progress_bar=False)
            return seconds(partial(fit, max_iter=steps))

        def peer(steps: int, x=x, k=k, start=start, covariances=covariances) -> float:
            model = GaussianMixture(
                k, tol=0, max_iter=steps, reg_covar=0, init_params="random_from_data", **start,
                precisions_init=np.linalg.inv(covariances),
            )  # fmt: skip
            return seconds(partial(model.fit, x))

        few, many = 1, 6
        ours(few), ours(many), peer(few)
        pairs = [((ours(many) - ours(few)) / 5, (peer(3) - peer(few)) / 2) for _ in range(5)]
        mine, theirs = (float(np.median(column)) for column in zip(*pairs, strict=True))
        row(
            f"EM iteration N={n} D={d} K={k}", mine, theirs, float(np.median([b / a for a, b in pairs])), "scikit-learn"
        )


def bench_mclust() -> None:
    """Time of one EM iteration against me(VVV) of mclust, from differences of runs (needs r-cran-mclust)."""
    import bayesgmm as bg

    for n, d, k in ((200_000, 2, 3), (200_000, 16, 16)):
        x = clusters(n, d, k)
        labels = np.random.default_rng(0).integers(k, size=n)
        start = {"labels_init": labels, "tol": 0, "progress_bar": False}
        with tempfile.TemporaryDirectory() as folder:
            np.asfortranarray(x).T.tofile(f"{folder}/x")
            (labels + 1.0).tofile(f"{folder}/z")
            code = f"""
            suppressMessages(library(mclust)); x <- matrix(readBin("{folder}/x", "double", {n * d}), {n}, {d})
            z <- unmap(readBin("{folder}/z", "double", {n}))
            go <- function(i) system.time(me(x, "VVV", z, control = emControl(itmax = i, tol = 0)))[["elapsed"]]
            invisible(go(1)); cat((go(5) - go(1)) / 4)"""

            def peer(code=code) -> float:
                out = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout
                return float(out.split()[-1])

            def ours(steps: int, x=x, k=k, start=start) -> float:
                return seconds(partial(bg.fit_em, x, k, **start, max_iter=steps))

            ours(1), ours(11)
            pairs = [((ours(11) - ours(1)) / 10, peer()) for _ in range(5)]
        mine, theirs = (float(np.median(column)) for column in zip(*pairs, strict=True))
        row(f"EM iteration N={n} D={d} K={k}", mine, theirs, float(np.median([b / a for a, b in pairs])), "mclust me")


def bench_restarts() -> None:
    """Best of 100 starts, iris K = 3, against scikit-learn with n_init=100: first call in a process, later calls."""
    from sklearn.mixture import GaussianMixture

    import bayesgmm as bg

    x = bg.load_dataset("iris").to_numpy()
    first = seconds(lambda: bg.fit_em(x, 3, n_init=100))
    ours, peer = partial(bg.fit_em, x, 3, n_init=100), GaussianMixture(3, n_init=100, random_state=0)
    mine, theirs, ratio = alternate(ours, lambda: peer.fit(x), 5)
    row("best of 100 starts, iris K=3, later calls", mine, theirs, ratio, "scikit-learn")
    row("best of 100 starts, iris K=3, first call", first, theirs, theirs / first, "scikit-learn")


def bench_ascent() -> None:
    """EM to convergence from one start on overlapping clusters, N = 100,000, D = 4, K = 6.

    The time of scikit-learn is its time per iteration multiplied by the iterations that plain EM needs.
    """
    from sklearn.mixture import GaussianMixture

    import bayesgmm as bg

    rng = np.random.default_rng(1)
    k, means = 6, rng.normal(size=(6, 4)) * 1.5
    x = means[rng.integers(k, size=100_000)] + rng.normal(size=(100_000, 4))
    x = np.array(x)
    start = {"weights_init": np.full(k, 1 / k), "means_init": x[:k]}
    fit = partial(bg.fit_em, x, k, **start, progress_bar=False)
    fit()
    ours = seconds(fit)
    peer = GaussianMixture(
        k, tol=1e-13, max_iter=400, reg_covar=0, precisions_init=np.linalg.inv(np.array([np.cov(x.T)] * k)), **start
    )
    theirs = seconds(lambda: peer.fit(x))
    plain = bg.fit_em(x, k, **start, accelerate=False, max_iter=20_000, progress_bar=False)
    whole = theirs / 400 * plain.n_iter
    row(
        f"to convergence, N=1e5 D=4 K=6 (peer: 400 iterations × {plain.n_iter / 400:.0f})",
        ours,
        whole,
        whole / ours,
        "scikit-learn",
    )


def bench_table() -> None:
    """Table of 14 families × K = 1…9 on diabetes, against mclustBIC.

    It needs r-cran-mclust and the data in tests/oracles/truth.
    """
    import pandas as pd

    import bayesgmm as bg

    path = Path(__file__).parents[1] / "tests" / "oracles" / "truth" / "diabetes.csv"
    x = pd.read_csv(path)[["glucose", "insulin", "sspg"]]
    first = seconds(lambda: bg.fit_table(x))
    code = f"""suppressMessages(library(mclust)); x <- read.csv("{path}")[, c("glucose", "insulin", "sspg")]
    cat(median(replicate(5, system.time(mclustBIC(x, G = 1:9, verbose = FALSE))[["elapsed"]])))"""
    theirs = float("nan")
    if shutil.which("Rscript"):
        theirs = float(
            subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout.split()[-1]
        )
    for name, starts in (("default, 16 starts", 16), ("4 starts", 4)):
        bg.fit_table(x, n_init=starts)
        mine = float(np.median([seconds(lambda n=starts: bg.fit_table(x, n_init=n)) for _ in range(3)]))
        row(f"table of 126 models, diabetes, {name}, later calls", mine, theirs, theirs / mine, "mclustBIC")
    print(f"| table of 126 models, first call in a process | {first:.1f} s |  |  |  |", flush=True)


def bench_gradient() -> None:
    """Value and gradient of the log posterior: one pass over the data against other implementations."""
    import jax
    import jax.numpy as jnp
    from numpyro import distributions as dist

    from bayesgmm.engines.coordinates import constrain, log_jacobian, unconstrain
    from bayesgmm.engines.mcmc import nuts
    from bayesgmm.model.types import Frame, Params
    from bayesgmm.priors.default import data_scaled_prior
    from bayesgmm.sweep.rows import to_rows

    for n, d, k in ((1_000, 2, 3), (10_000, 8, 8), (100_000, 8, 8)):
        with jax.enable_x64(True):
            x = clusters(n, d, k)
            x = (x - x.mean(0)) / x.std(0)
            prior = jax.tree.map(jnp.asarray, data_scaled_prior(np.zeros(d), np.cov(x.T), k).expand(k, d))
            rows = to_rows(x, Frame(np.zeros(d), np.ones(d)))
            params = Params.of(np.full(k, 1 / k), x[:k], [np.eye(d) * 0.5] * k)
            position = unconstrain(jax.tree.map(jnp.asarray, params), prior)

            def same_family(prior, x):
                def minus_log_posterior(u):
                    theta = constrain(u, prior)
                    parts = dist.MultivariateNormal(theta.means, scale_tril=theta.scale_trils)
                    marginal: Any = dist.MixtureSameFamily(dist.Categorical(theta.weights), parts)
                    return -marginal.log_prob(x).sum() - prior.log_kernel(theta) - log_jacobian(u)

                return minus_log_posterior

            def route(potential, data, position=position, prior=prior):
                function = jax.jit(lambda u, p, r: jax.value_and_grad(potential(p, r))(u))
                return lambda: jax.block_until_ready(function(position, prior, data))

            what, ours = f"value and gradient N={n} D={d} K={k}", route(nuts.potential, rows)
            row(what, *alternate(ours, route(nuts.potential, jnp.asarray(x))), "NumPyro enumerated")
            row(what, *alternate(ours, route(same_family, jnp.asarray(x))), "NumPyro MixtureSameFamily")
            pymc = pymc_gradient(x, k)
            if pymc is not None:
                row(what, *alternate(ours, pymc), "PyMC")


def pymc_gradient(x, k: int):
    """PyMC's compiled log posterior and gradient of a mixture with free covariances; None without PyMC."""
    try:
        import pymc as pm
        from pymc.blocking import DictToArrayBijection
    except ImportError:
        return None
    d = x.shape[1]
    with pm.Model() as model:
        weights, means = pm.Dirichlet("weights", np.ones(k)), pm.Normal("means", 0, 3, shape=(k, d))
        scales = pm.HalfNormal.dist(1.0, shape=d)
        factors = [pm.LKJCholeskyCov(f"factor{i}", n=d, eta=2, sd_dist=scales)[0] for i in range(k)]
        pm.Mixture(
            "x", w=weights, comp_dists=[pm.MvNormal.dist(means[i], chol=factors[i]) for i in range(k)], observed=x
        )
    function = model.logp_dlogp_function(ravel_inputs=True)
    function.set_extra_values({})
    position = DictToArrayBijection.map(model.initial_point()).data
    return lambda: function(position)


def bench_gibbs() -> None:
    """One Gibbs sweep of 4 chains, against rnmixGibbs of R's bayesm (one chain per call; needs r-cran-bayesm)."""
    import bayesgmm as bg

    x = clusters(10_000, 8, 8)
    sweeps = 50

    def ours(num: int) -> None:
        bg.sample_gibbs(x, 8, num_warmup=0, num_samples=num, num_chains=4, progress_bar=False)

    def per_sweep() -> float:
        return (seconds(lambda: ours(2 * sweeps)) - seconds(lambda: ours(sweeps))) / sweeps

    ours(sweeps)
    if shutil.which("Rscript") is None:
        print(f"| Gibbs sweep, 4 chains, N=10000 D=8 K=8 | {per_sweep() * 1e3:.4g} ms |  |  | R not found |")
        return
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(f"{folder}/x.csv", x, delimiter=",")
        code = f"""
        suppressMessages(library(bayesm)); y <- as.matrix(read.csv("{folder}/x.csv", header = FALSE))
        go <- function(R) system.time(rnmixGibbs(list(y = y), list(ncomp = 8), list(R = R, keep = 1, nprint = 0)))[["elapsed"]]
        invisible(go(20)); cat((go(120) - go(20)) / 100)"""

        def peer() -> float:
            out = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout
            return 4 * float(out.split()[-1])

        pairs = [(per_sweep(), peer()) for _ in range(5)]
    mine, theirs = (float(np.median(column)) for column in zip(*pairs, strict=True))
    ratio = float(np.median([b / a for a, b in pairs]))
    row("Gibbs sweep, 4 chains (peer: 4 × one), N=10000 D=8 K=8", mine, theirs, ratio, "bayesm rnmixGibbs")


BENCHES: dict[str, Callable[[], None]] = {
    "import": bench_import, "names": bench_public_names, "cli": bench_cli, "memory": bench_memory, "em": bench_em,
    "mclust": bench_mclust, "restarts": bench_restarts, "ascent": bench_ascent, "table": bench_table,
    "gradient": bench_gradient, "gibbs": bench_gibbs, "efficiency": bench_efficiency, "labels": bench_labels,
    "telescoping": bench_telescoping,
    "start": bench_start, "streaming": bench_streaming, "dask": bench_dask, "processes": bench_processes,
    "checks": bench_checks,
    "bootstrap": bench_bootstrap, "studies": bench_studies,
    "estimators": bench_estimators, "evidence": bench_evidence,
    "distribution": bench_distribution,
}  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"No benchmark {unknown}; there are {json.dumps(list(BENCHES))}")
    print("| what | bayesgmm | peer | ratio | peer is |\n|---|---|---|---|---|")
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
