"""Optima of EM's default starts beside mclust's, on data sets of the kinds where starts fail.

Make the data, run mclust, then compare: ``python benchmarks/optima.py FOLDER make``, ``Rscript benchmarks/optima.R
FOLDER``, ``python benchmarks/optima.py FOLDER``. A line for each fit that falls short of mclust's, then counts.
"""

import sys
import warnings
from pathlib import Path

import numpy as np


def data_sets() -> dict[str, np.ndarray]:
    """A ring of small clusters, few rows, highly correlated features, banknotes-like, heavy tails, three clusters."""
    rng = np.random.default_rng(16)
    turns = 2 * np.pi * np.arange(14) / 14
    ring = [[10 * np.cos(t), 10 * np.sin(t)] + rng.normal(size=(12, 2)) * 0.5 for t in turns]
    correlations = [[1, 0.6, 0.3], [0.6, 1, 0.5], [0.3, 0.5, 1]]
    few = [
        rng.multivariate_normal([0, 0, 0], correlations, 16),
        rng.multivariate_normal([2, 1, 0], np.diag([0.5, 2, 1]), 15),
    ]
    factor = np.array([[1, 0, 0, 0], [0.98, 0.2, 0, 0], [0.97, 0.1, 0.2, 0], [0.95, 0.2, 0.1, 0.2]])
    close = [rng.normal(size=(60, 4)) @ factor.T + m for m in ([0, 0, 0, 0], [3, 3, 3, 3], [1, -1, 2, 0])]
    spread = np.array(
        [[0.14, 0.03, 0.02, -0.1, -0.01, 0.08], [0.03, 0.13, 0.1, 0.2, 0.1, -0.2], [0.02, 0.1, 0.16, 0.28, 0.13, -0.24],
         [-0.1, 0.2, 0.28, 2.1, 0.16, -1.0], [-0.01, 0.1, 0.13, 0.16, 0.64, -0.55], [0.08, -0.2, -0.24, -1, -0.55, 1.3]]
    )  # fmt: skip
    spread = spread @ spread.T + 0.05 * np.eye(6)
    notes = [
        rng.multivariate_normal([215, 129.9, 129.7, 8.3, 10.2, 141.5], spread, 100),
        rng.multivariate_normal([214.8, 130.3, 130.2, 10.5, 11.1, 139.4], spread * 1.3, 85),
        rng.multivariate_normal([214.8, 130.3, 130.2, 11.8, 10.0, 139.6], spread * 0.6, 15),
    ]
    heavy = rng.standard_t(3, size=(150, 3)) @ np.array([[1, 0, 0], [0.5, 1, 0], [0.2, 0.3, 1]])
    three = [
        rng.normal(size=(80, 2)), rng.normal(size=(40, 2)) * [3, 0.3] + [2, 2], rng.normal(size=(30, 2)) * 0.4 + [-3, 3],
    ]  # fmt: skip
    parts = {"ring": ring, "few": few, "close": close, "notes": notes, "heavy": [heavy], "three": three}
    return {name: np.concatenate(part) for name, part in parts.items()}


def compare(folder: Path) -> None:
    """Print the fits that fall short, and how many do not."""
    import pandas as pd

    import bayesgmm as bg

    warnings.simplefilter("ignore")
    counts = {"fits": 0, "as high": 0, "higher": 0}
    for row in pd.read_csv(folder / "mclust.csv").to_dict("records"):
        x = np.loadtxt(folder / f"{row['data']}.csv", delimiter=",")
        fit = bg.fit_em(x, int(row["K"]), covariance_type=str(row["model"]))
        gap = fit.log_likelihood - row["loglik"]
        counts["fits"] += 1
        counts["as high"] += bool(gap > -1e-3)
        counts["higher"] += bool(gap > 1e-3)
        if gap <= -1e-3:
            print(row["data"], row["model"], row["K"], f"{gap:.3f}", flush=True)
    print(counts)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2:] == ["make"]:
        place.mkdir(parents=True, exist_ok=True)
        for name, values in data_sets().items():
            np.savetxt(place / f"{name}.csv", values, delimiter=",", fmt="%.12g")
    else:
        compare(place)
