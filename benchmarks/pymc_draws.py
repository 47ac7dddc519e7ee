"""Draws of PyMC for tests: ``python benchmarks/pymc_draws.py FILE`` in an environment with pymc, h5py and h5netcdf."""

import csv
import sys
from pathlib import Path

import numpy as np
import pymc as pm  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).parent


def main(path: str) -> None:
    rows = list(csv.reader((HERE.parent / "bayesgmm/data/datasets/faithful.csv").open()))
    x, num = np.array(rows[1:], float), 2
    with pm.Model():
        w = pm.Dirichlet("w", np.ones(num))
        start = np.array([[2.0, 54.0], [4.3, 80.0]])
        mu = pm.Normal("mu", x.mean(0), 3 * x.std(0), shape=start.shape, initval=start)
        sizes = pm.HalfNormal.dist(x.std(0))
        factors = [pm.LKJCholeskyCov(f"chol_{k}", n=2, eta=2, sd_dist=sizes, compute_corr=True)[0] for k in range(num)]
        pm.Deterministic("cov", pm.math.stack([factor @ factor.T for factor in factors]))
        parts = [pm.MvNormal.dist(mu[k], chol=factors[k]) for k in range(num)]
        pm.Mixture("x", w=w, comp_dists=parts, observed=x)
        tree = pm.sample(200, tune=400, chains=2, cores=1, random_seed=1, progressbar=False, target_accept=0.9)
    tree["posterior"] = type(tree)(tree["posterior"].to_dataset()[["w", "mu", "cov"]])
    tree["sample_stats"] = type(tree)(tree["sample_stats"].to_dataset()[["diverging", "energy", "lp"]])
    tree.to_netcdf(path, engine="h5netcdf")


if __name__ == "__main__":
    main(sys.argv[1])
