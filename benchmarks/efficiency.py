"""Effective sample size per second of bayesgmm, NumPyro's enumerated NUTS and JAGS, under one prior.

Every run has 4 chains × (1,000 warm-up + 1,000 kept draws). The time is that of the second call; JAGS compiles nothing.
The figure is the smallest bulk ESS over the label-invariant quantities, per second of warm-up and sampling.
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

JAGS = """
suppressMessages(library(rjags)); a <- commandArgs(TRUE)
y <- as.matrix(read.csv(a[1])); h <- dget(a[2]); n <- nrow(y); d <- ncol(y); K <- h$K
multi <- "model{ for(i in 1:n){ z[i] ~ dcat(w[1:K]); y[i,1:d] ~ dmnorm(mu[z[i],1:d], Tau[z[i],1:d,1:d]) }
  w[1:K] ~ ddirch(alpha[1:K])
  for(k in 1:K){ mu[k,1:d] ~ dmnorm(m0[1:d], B[1:d,1:d]); Tau[k,1:d,1:d] ~ dwish(S0[1:d,1:d], nu) } }"
single <- "model{ for(i in 1:n){ z[i] ~ dcat(w[1:K]); y[i] ~ dnorm(mu[z[i]], Tau[z[i]]) }
  w[1:K] ~ ddirch(alpha[1:K]); for(k in 1:K){ mu[k] ~ dnorm(m0, B); Tau[k] ~ dgamma(nu / 2, S0 / 2) } }"
square <- function(v) if (d == 1) v else matrix(v, d)
data <- list(y = if (d == 1) y[, 1] else y, n = n, K = K, alpha = rep(1, K), nu = h$nu, m0 = h$m0, B = square(h$B),
             S0 = square(h$S0))
if (d > 1) data$d <- d
m <- jags.model(textConnection(if (d == 1) single else multi), data, n.chains = 4, n.adapt = 0, quiet = TRUE)
t <- system.time({ update(m, 1000, progress.bar = "none")
  s <- coda.samples(m, c("w", "mu", "Tau"), 1000, progress.bar = "none") })[3]
write.csv(do.call(rbind, lapply(s, as.matrix)), a[3], row.names = FALSE); cat(t)
"""


def smallest_ess(params, posterior) -> float:
    """Smallest bulk ESS over the label-invariant quantities, for draws with leading axes (chain, draw)."""
    from bayesgmm.results.convergence import convergence_table
    from bayesgmm.results.datatree import label_invariant, log_densities

    table, frame = posterior.table, posterior.frame
    log_likelihood = log_densities(params, table, frame).sum(axis=-1)
    quantities = label_invariant(params, table, frame, log_likelihood, np.zeros_like(log_likelihood))
    return float(convergence_table(quantities)["ess_bulk"].min())


def by_jags(posterior) -> tuple[float, float]:
    """Smallest ESS and seconds of JAGS, with the data and the prior of the posterior."""
    from bayesgmm.model.types import Params

    k, d = posterior.n_components, posterior.table.dim
    loc, covariance, df, scale = (np.asarray(part)[0] for part in posterior.prior.components)
    numbers = {"K": k, "nu": df, "m0": loc, "B": np.linalg.inv(covariance), "S0": scale}
    entries = [f"{name} = c({', '.join(repr(float(v)) for v in np.ravel(value))})" for name, value in numbers.items()]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(Path(folder) / name) for name in ("run.R", "x.csv", "prior", "draws.csv")}
        header = ",".join(f"x{i}" for i in range(d))
        np.savetxt(paths["x.csv"], posterior.table.values, delimiter=",", header=header, comments="")
        Path(paths["prior"]).write_text(f"list({', '.join(entries)})")
        Path(paths["run.R"]).write_text(JAGS)
        output = subprocess.run(["Rscript", *paths.values()], capture_output=True, text=True, check=True).stdout
        with open(paths["draws.csv"]) as file:
            names = [name.strip('"') for name in file.readline().strip().replace('","', '"\t"').split("\t")]
            draws = np.loadtxt(file, delimiter=",").reshape(4, 1000, len(names))

    def part(name: str, *shape: int) -> np.ndarray:
        cells = [f"{name}[{','.join(str(i + 1) for i in index)}]" for index in np.ndindex(*shape)]
        return draws[:, :, [names.index(cell) for cell in cells]].reshape(4, 1000, *shape)

    if d == 1:
        means, precisions = part("mu", k)[..., None], part("Tau", k)[..., None, None]
    else:
        means, precisions = part("mu", k, d), part("Tau", k, d, d)
    params = Params(part("w", k), means, np.linalg.cholesky(np.linalg.inv(precisions)))
    return smallest_ess(params, posterior), float(output.split()[-1])


def by_numpyro(posterior) -> tuple[float, float]:
    """Smallest ESS and seconds of NumPyro's NUTS on the enumerated model: standardised data, vectorised chains."""
    from numpyro.infer import MCMC, NUTS

    import bayesgmm as bg
    from bayesgmm.model.types import Params

    frame = posterior.frame
    with jax.enable_x64(True):
        own = posterior.model.family_prior.standardise(frame)
        prior = jax.tree.map(jax.numpy.asarray, own._replace(components=own.components.own))
        x = jax.numpy.asarray((posterior.table.values - frame.center) / frame.scale)
        mcmc = MCMC(
            NUTS(bg.gaussian_mixture), num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized",
            progress_bar=False,
        )  # fmt: skip
        for seed in (0, 1):
            start = time.perf_counter()
            mcmc.run(jax.random.key(seed), prior, x)
            jax.block_until_ready(mcmc.get_samples())
            seconds = time.perf_counter() - start
        draws = mcmc.get_samples(group_by_chain=True)
        params = Params(*(np.asarray(draws[name]) for name in Params._fields))
    return smallest_ess(frame.restore(params), posterior), seconds


def bench_efficiency() -> None:
    """Print a row for each data set, engine and other program."""
    import bayesgmm as bg

    for name, k in (("faithful", 2), ("galaxies", 3)):
        x = bg.load_dataset(name)
        _, strength, df, scale = (np.asarray(part)[0] for part in bg.default_prior(x, k).components)
        # JAGS cannot sample means whose covariance depends on Σ_k, so here means and covariances are independent.
        # The means have the spread of the default prior, scale / strength.
        components = bg.NormalTimesInverseWishart(x.to_numpy().mean(axis=0), scale / strength, df, scale)
        prior = bg.Prior(bg.Dirichlet(1.0), components)
        peers = {"NumPyro enumerated NUTS": by_numpyro} | ({"JAGS": by_jags} if shutil.which("Rscript") else {})
        ours = {}
        for engine in (bg.sample_gibbs, bg.sample_nuts):
            first = engine(x, k, prior=prior, progress_bar=False)
            start = time.perf_counter()
            second = engine(x, k, prior=prior, seed=1, progress_bar=False)
            seconds = time.perf_counter() - start
            ours[second.algorithm] = smallest_ess(second.params, second) / seconds, first.clock.compile_seconds, second
        for peer, run in peers.items():
            ess, seconds = run(ours["gibbs"][2])
            for engine, (rate, compiling, _) in ours.items():
                print(
                    f"| smallest ESS per second, {name} K={k}, {engine} (first call compiles {compiling:.1f} s) | {rate:.0f} | "
                    f"{ess / seconds:.1f} | {rate * seconds / ess:.1f}× | {peer} |", flush=True,
                )  # fmt: skip
