"""Blocks of rows for the pass for each row: standardised values, and what else is known of the rows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Float

from bayesgmm.data.described import check_classes
from bayesgmm.data.noise import standard_log_density
from bayesgmm.data.table import Table
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.completion import scores_of_rows
from bayesgmm.sweep.incomplete import error_roots
from bayesgmm.sweep.rows import log_labels


class Block(NamedTuple):
    """Standardised rows, feature-major."""

    x: Float[Array, "D n"]
    """Values; 0 in gaps and padding."""
    seen: Float[Array, "D n"] | None = None
    """1 where a value was seen, else 0; None: everywhere."""
    roots: Float[Array, "D D n"] | None = None
    """R with ``R Rᵀ`` the covariance of a row's errors; None: no errors."""
    labels: Float[Array, "K n"] | None = None
    """Log probability of what is known of a row's class, under each class; None: nothing is known."""
    noise: Float[Array, ""] | None = None
    """Log density of the noise, the last component; None: all components are Gaussians."""


def blocks_of(table: Table, frame: Frame, num_components: int, size: int) -> Iterator[tuple[Block, int, int]]:
    """Blocks of `size` rows, each with the index of its first row and its number of rows; the last one is padded."""
    check_classes(table, num_components)
    for i, part in enumerate(table.parts(size)):
        yield block_of(part, frame, num_components, size, gaps=table.gaps > 0), i * size, part.num_rows


def block_of(table: Table, frame: Frame, num_components: int, size: int, gaps: bool | None = None) -> Block:
    """The rows of a table as one block of `size` rows. ``gaps`` says whether the block has a mask; None: if needed."""
    gaps = table.gaps > 0 if gaps is None else gaps
    values, masked = frame.rows(table.values), gaps or table.errors is not None
    labels = log_labels(table, num_components)
    return Block(
        _padded(np.nan_to_num(values, nan=0.0) if gaps else values, size),
        _padded((~np.isnan(values)).astype(float), size) if masked else None,
        None if table.errors is None else _padded(error_roots(table, frame), size),
        None if labels is None else _padded(labels, size),
        standard_log_density(table.noise, frame.scale),
    )


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """Something of each row (n, …) with the rows last, padded with zeros to `size` rows."""
    padded = np.zeros((*rows.shape[1:], size))
    padded[..., : len(rows)] = np.moveaxis(rows, 0, -1)
    return padded


def scores_of(theta: Params, block: Block) -> Float[Array, "K n"]:
    """``log p(x_n, z_n = k | θ)`` of what was seen of each row, θ and rows standardised; for compiled functions."""
    scorer = log_joint_scorer(theta)
    scorer = scorer if block.noise is None else scorer.with_noise(block.noise)
    if block.seen is None:
        scores = scorer.scores(scorer.residuals(block.x))
    else:
        scores = scores_of_rows(scorer.full, block.x, block.seen, block.roots)
    return scores if block.labels is None else scores + block.labels


def log_density_of_block(theta: Params, block: Block) -> Float[Array, "n"]:
    """Marginal log density of each row under one θ, both standardised; for compiled functions."""
    return logsumexp(scores_of(theta, block), axis=0)
