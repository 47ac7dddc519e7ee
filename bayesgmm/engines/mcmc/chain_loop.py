"""The loop of every chain: draws in blocks, with progress, Ctrl-C and checkpoints between the blocks."""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Int

from bayesgmm.engines.to_posterior import Collected
from bayesgmm.errors import CheckpointError, FitError
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.checkpoint import Checkpoint
from bayesgmm.runtime.interrupt import interruptible

BLOCK = 256
"""Maximum number of draws per chain in a block."""
BLOCK_BYTES = 2**28
"""Draws of many parameters come in smaller blocks: about so many bytes per chain."""


def block_size(outputs: Any) -> int:
    """Maximum number of draws per chain in a block, from the outputs of one draw of one chain (or their shapes)."""
    num_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(outputs))
    return min(BLOCK, max(1, BLOCK_BYTES // num_bytes))


def collect(advance: Callable, state, num_steps: Int[Array, ""]):
    """Run ``state, output = advance(state)`` `num_steps` times (at most `block_size`), and keep the outputs."""
    shapes = jax.eval_shape(advance, state)[1]
    most = block_size(shapes)
    kept = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), shapes)

    def body(i, carry):
        state, kept = carry
        state, output = advance(state)
        return state, jax.tree.map(lambda all_, one: all_.at[i].set(one), kept, output)

    return lax.fori_loop(0, num_steps, body, (state, kept))


Report = Callable[[int, Any], None]
"""Called after each block with the number of steps so far and the outputs of the block (chain, draw, …)."""


def run_chains(
    block: Callable[[Any, Int[Array, ""]], tuple[Any, Any]],
    state: Any,
    num_warmup: int,
    num_samples: int,
    report: Report,
    checkpoint: Checkpoint | None = None,
) -> Collected:
    """Run chains through warm-up and sampling, block by block.

    ``block(state, n)`` advances every chain by n draws. The first block is short. The others aim at a quarter of a
    second, so that the terminal stays responsive. The draws do not depend on where the blocks end. Ctrl-C finishes the
    current block and keeps the draws so far; a second Ctrl-C stops at once. With a checkpoint the run resumes from it.
    """
    total, done, size, most = num_warmup + num_samples, 0, 1, 1
    blocks = []
    if checkpoint is not None:
        state, done, saved = checkpoint.load(state)
        blocks = [_unnamed(draws) for draws in saved]
        if done > total:
            raise CheckpointError(
                f"{checkpoint.folder} holds {done - num_warmup} draws per chain, more than the {num_samples} asked "
                "for. Ask for at least as many, and drop those that you do not need."
            )
    with interruptible() as stop:
        while done < total and not stop.is_set():
            end = num_warmup if done < num_warmup else total
            count = min(size, most, end - done)
            start = time.perf_counter()
            state, outputs = jax.block_until_ready(block(state, np.asarray(count)))
            seconds = time.perf_counter() - start
            host = jax.tree.map(lambda leaf, count=count: np.asarray(leaf)[:, :count].copy(), outputs)
            most = block_size(jax.tree.map(lambda leaf: leaf[0, 0], host))
            _refuse_singular(host)
            kept = done >= num_warmup
            if kept:
                blocks.append(host)
            done += count
            if checkpoint is not None:
                checkpoint.add(state, done, _named(host) if kept else None, now=done >= total or stop.is_set())
            size = _next_size(size, count / max(seconds, 1e-6))
            report(done, host)
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *blocks) if blocks else None
    return Collected(state, joined, done < total)


def _next_size(size: int, per_second: float) -> int:
    """Draws for a quarter of a second; at most four times the last size."""
    return int(np.clip(0.25 * per_second, 1, 4 * size))


def _named(outputs: Any) -> dict[str, np.ndarray]:
    params, log_likelihood, stats = outputs
    return {**params._asdict(), "log_likelihood": log_likelihood, **stats}


def _unnamed(draws: dict[str, np.ndarray]) -> Any:
    draws = dict(draws)
    params = Params(**{name: draws.pop(name) for name in Params._fields})
    return params, draws.pop("log_likelihood"), draws


def _refuse_singular(outputs: Any) -> None:
    """Refuse draws that are not finite, or with a covariance that has lost all digits to rounding (as in EM)."""
    own = np.diagonal(outputs[0].scale_trils, axis1=-2, axis2=-1) ** 2
    digit = 16 * np.finfo(own.dtype).eps * (outputs[0].scale_trils ** 2).sum(axis=-1)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(outputs[:2])) or (own < digit).any():
        raise FitError(
            "A chain reached a covariance that is singular to working precision, or a log-likelihood that is not "
            "finite. Use dtype='float64', check for nearly collinear features, or use a prior with a larger scale."
        )
