"""EM, Gibbs and the gradient of the log posterior on each kind of device that JAX sees, and a peer in PyTorch.

`python benchmarks/device.py [ROWS]` prints, for N = ROWS (1,000,000), D = 8, K = 8 in both precisions, the seconds of
one EM iteration, of one Gibbs sweep of 4 chains, and of one value and gradient; each as the slope of the time over the
number of repetitions. It asks the processor first, and then the accelerator if there is one. Then come all devices
together (``rows(x, devices=…)``), if there are several of a kind. With PyTorch installed, one EM iteration of plain
tensor code on the same device stands beside ours: the same sums, with `torch.logsumexp` and `einsum`.
"""

import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from timing import seconds

ROWS, FEATURES, COMPONENTS = 1_000_000, 8, 8
FEW, MORE, ROUNDS = 2, 12, 5


def clusters(num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clusters (N, D), and their means (K, D)."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(COMPONENTS, FEATURES)) * 2.0
    return means[rng.integers(COMPONENTS, size=num_rows)] + rng.normal(size=(num_rows, FEATURES)), means


def slope(run: Callable[[int], Any]) -> float:
    """Seconds of one repetition: the median of differences between long and short runs."""
    run(FEW), run(MORE)
    found = [(seconds(partial(run, MORE)) - seconds(partial(run, FEW))) / (MORE - FEW) for _ in range(ROUNDS)]
    return statistics.median(found)


def ours(x: np.ndarray, means: np.ndarray, dtype: str, devices: Any) -> dict[str, float]:
    """Seconds of one EM iteration, Gibbs sweep, and value and gradient (a step of SVI holds one, and little else)."""
    import bayesgmm as bg

    table = bg.rows(x.astype(dtype), devices=devices)
    start = {"weights_init": np.full(COMPONENTS, 1 / COMPONENTS), "means_init": means}
    quiet: dict[str, Any] = {"progress_bar": False, "dtype": dtype}

    def em(num: int) -> None:
        bg.fit_em(table, COMPONENTS, **start, tol=0, accelerate=False, max_iter=num, **quiet)

    fit = bg.fit_em(table, COMPONENTS, **start, max_iter=5, tol=0, **quiet)

    def gibbs(num: int) -> None:
        bg.sample_gibbs(table, COMPONENTS, num_warmup=0, num_samples=num, num_chains=4, init=fit, **quiet)

    return {"EM iteration": slope(em), "Gibbs sweep, 4 chains": slope(gibbs), "gradient": slope(gradient(table, dtype))}


def gradient(table: Any, dtype: str) -> Callable[[int], None]:
    """Value and gradient of the log-likelihood, repeated."""
    import jax

    from bayesgmm.model.types import Params
    from bayesgmm.problem import prepare
    from bayesgmm.runtime.dtypes import on_device, scope
    from bayesgmm.sweep.likelihood import log_likelihood

    with scope(dtype):
        problem = prepare(table, COMPONENTS, None, dtype)
        centres = np.asarray(problem.frame.rows(table.values[:COMPONENTS]))
        identity = np.array([np.eye(FEATURES)] * COMPONENTS)
        theta = on_device(Params(np.full(COMPONENTS, 1 / COMPONENTS), centres, identity), dtype)  # pyright: ignore
        both = jax.jit(jax.value_and_grad(log_likelihood))

    def run(num: int) -> None:
        with scope(dtype):
            for _ in range(num):
                found = both(theta, problem.rows)
            jax.block_until_ready(found)

    return run


def torch_em(x: np.ndarray, means: np.ndarray, dtype: str, device: str) -> float | None:
    """Seconds of one EM iteration of plain PyTorch on its own device; None without PyTorch, or without the device."""
    try:
        import torch
    except ImportError:
        return None
    if device != "cpu" and not torch.cuda.is_available():
        return None
    place = {"device": "cpu" if device == "cpu" else "cuda", "dtype": getattr(torch, dtype)}
    rows = torch.as_tensor(x, **place)

    def run(num: int) -> None:
        weights = torch.full((COMPONENTS,), 1 / COMPONENTS, **place)
        mu, sigma = torch.as_tensor(means, **place), torch.eye(FEATURES, **place).repeat(COMPONENTS, 1, 1)
        for _ in range(num):
            trils = torch.linalg.cholesky(sigma)
            apart = rows[None] - mu[:, None]
            y = torch.linalg.solve_triangular(trils, apart.mT, upper=False)
            joint = weights.log()[:, None] - 0.5 * (y**2).sum(1) - trils.diagonal(dim1=1, dim2=2).log().sum(1)[:, None]
            shares = (joint - torch.logsumexp(joint, 0)).exp()
            counts = shares.sum(1)
            weights, mu = counts / len(rows), shares @ rows / counts[:, None]
            apart = rows[None] - mu[:, None]
            sigma = torch.einsum("kn,kni,knj->kij", shares, apart, apart) / counts[:, None, None]
        if place["device"] == "cuda":
            torch.cuda.synchronize()
        float(weights[0])

    return slope(run)


def main(num_rows: int) -> None:
    import jax

    x, means = clusters(num_rows)
    kinds = {device.platform: jax.devices(device.platform) for device in (*jax.devices("cpu"), *jax.devices())}
    print(
        f"N={num_rows} D={FEATURES} K={COMPONENTS}\n| device | precision | what | seconds | PyTorch |\n|---|---|---|---|---|"
    )
    for kind, here in kinds.items():
        for dtype in ("float32", "float64"):
            with jax.default_device(here[0]):
                found = ours(x, means, dtype, None)
                peer = torch_em(x, means, dtype, kind)
            for what, time in found.items():
                beside = f"{peer:.3g} s ({peer / time:.1f}×)" if peer is not None and what.startswith("EM") else ""
                print(f"| {here[0].device_kind} | {dtype} | {what} | {time:.3g} | {beside} |", flush=True)
            if len(here) > 1:
                for what, time in ours(x, means, dtype, list(here)).items():
                    ratio = found[what] / time
                    print(
                        f"| {len(here)} × {kind} | {dtype} | {what} | {time:.3g} | {ratio:.1f}× one device |",
                        flush=True,
                    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
