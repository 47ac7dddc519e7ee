"""References for errors of measurement from astroML's `XDGMM` (Bovy, Hogg & Roweis 2011), stored for the tests.

`pip install --no-deps astroML` into a folder, then `PYTHONPATH=FOLDER python benchmarks/deconvolution.py`. It writes
tests/oracles/truth/astroml.json: the log-likelihood at a start, after ten steps, and at the end of 500 steps.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from astroML.density_estimation import XDGMM  # pyright: ignore[reportMissingImports]

import bayesgmm as bg

TARGET = Path(__file__).parent.parent / "tests" / "oracles" / "truth" / "astroml.json"


def main() -> None:
    """Compute and write."""
    x = np.asarray(bg.load_dataset("faithful"), float)
    i = np.arange(len(x))
    errors = np.stack([0.1 + 0.05 * (i % 5), 2.0 + 0.5 * (i % 7)], axis=1)
    weights, means = [0.4, 0.6], [[2.0, 55.0], [4.3, 80.0]]
    covariances = [[[0.1, 0.5], [0.5, 30.0]], [[0.2, 1.0], [1.0, 40.0]]]
    noise = errors[:, :, None] ** 2 * np.eye(2)
    found = {}
    peer = XDGMM(2)
    peer.alpha, peer.mu, peer.V = np.array(weights), np.array(means), np.array(covariances)
    found["start"] = float(peer.logL(x, noise))
    for step in range(1, 501):
        peer._EMstep(x, noise)
        if step in (10, 500):
            found[str(step)] = float(peer.logL(x, noise))
    content = {
        "made by": "benchmarks/deconvolution.py", "astroML": version("astroML"),
        "errors": "sds 0.1 + 0.05 (i mod 5) and 2 + 0.5 (i mod 7) of row i of Old Faithful",
        "weights": weights, "means": means, "covariances": covariances, "log_likelihood": found,
        "end": {"weights": peer.alpha.tolist(), "means": peer.mu.tolist(), "covariances": peer.V.tolist()},
    }  # fmt: skip
    TARGET.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
