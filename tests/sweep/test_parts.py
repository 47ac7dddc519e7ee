"""A part of the rows knows its place: z of a row, and the pooled statistics, are those of all rows in one piece."""

from functools import reduce
from itertools import pairwise

import jax
import numpy as np
import pytest
from oracles.on_disk import two_clusters

from bayesgmm.data.table import as_table
from bayesgmm.engines.step import KERNELS, asked
from bayesgmm.model.types import Frame, Params
from bayesgmm.priors.prior import flat_prior
from bayesgmm.runtime.arguments import as_key, key_array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.kinds_of_rows import rows_of
from bayesgmm.sweep.parts import blocks_at, stats_of_part, width_of_blocks
from bayesgmm.sweep.passed import pooled
from bayesgmm.sweep.statistics import sweep

X = two_clusters()
THETA = Params.of([0.4, 0.6], [[103.0, 1.0], [100.0, 8.0]], [np.diag([1.0, 8.0]), [[1.5, 0.5], [0.5, 9.0]]])
FRAME = Frame.around(X.mean(axis=0), X.std(axis=0))


def scores(kernel: str):
    inside = jax.tree.map(lambda leaf: np.asarray(leaf)[None], FRAME.standardise(THETA))
    ask = jax.jit(lambda key, theta: asked(KERNELS[kernel], key, theta, flat_prior(2, 2)))
    return jax.vmap(ask)(key_array(as_key(3), 1), inside)


def in_parts(kernel: str, cuts: list[int], shift: int = 0):
    """Pooled statistics of parts that end at the cuts; `shift` puts each part at a wrong place."""
    width, edges = width_of_blocks(len(X), 2), [0, *cuts, len(X)]
    with scope("float64"):
        parts = [
            stats_of_part(scores(kernel), blocks_at(a + shift * i, X[a:b], FRAME, "float64", width), KERNELS[kernel].assign)
            for i, (a, b) in enumerate(pairwise(edges))
        ]  # fmt: skip
    return jax.tree.map(lambda leaf: leaf[0], reduce(pooled, parts))


@pytest.mark.parametrize("kernel", ["em", "gibbs"])
@pytest.mark.parametrize("cuts", [[1500], [1, 2, 2047, 2048], [2048], [300, 2900]])
def test_parts_give_what_all_rows_give(kernel, cuts):
    with scope("float64"):
        key, scorer = jax.tree.map(lambda leaf: leaf[0], scores(kernel))
        whole = sweep(key, scorer, rows_of(as_table(X), FRAME, "float64", 2), KERNELS[kernel].assign)
    for one, two in zip(in_parts(kernel, cuts), whole, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-9)


def test_parts_at_wrong_places_draw_other_classes():
    """Negative control of the test above."""
    right, wrong = in_parts("gibbs", [300, 1900]), in_parts("gibbs", [300, 1900], shift=17)
    assert np.abs(right.counts - wrong.counts).max() > 1
