"""The pass over the data that computes sufficient statistics.

Each block of rows gives scores, the scores give assignments, and the assignments are summed into statistics. No N × K
array is ever held. Two routes give the same result:

- *moments*: with x̃ = (1, x), the scores and the statistics are linear in the products φ = x̃_i x̃_j. Each is one
  matrix product. This is half the work, but it loses digits if a cluster is much tighter than its distance from the
  centre.
- *residuals*: each component whitens the rows before they are squared. This is always accurate.

`conditioning` measures the loss of digits. Each pass takes the first route only if the loss is small.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jax.tree_util import Partial
from jaxtyping import Bool, Float, PRNGKeyArray

from bayesgmm.model.mixture import PaddedScorer, Scorer
from bayesgmm.model.types import Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import congruence, full, is_column, matmul, matvec, outer, transposed
from bayesgmm.sweep.completion import of_pattern
from bayesgmm.sweep.e_step import DRAWN, Assign, average
from bayesgmm.sweep.fetched import Fetched, fetch
from bayesgmm.sweep.in_use import sweep_in_use
from bayesgmm.sweep.incomplete import Incomplete, Patterns
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import Passed
from bayesgmm.sweep.rows import FEWEST, Blocks, Complete
from bayesgmm.sweep.sharded import Sharded, over_devices


def sweep(
    key: PRNGKeyArray, scorer: Scorer | PaddedScorer, rows: Rows | Passed | Fetched, assign: Assign
) -> Stats:  # fmt: skip
    """One pass: rows → scores → assignments → statistics of each component, and the objective of the pass.

    Numbers that change from step to step (a temperature, a number of copies) are the keywords of a
    `jax.tree_util.Partial`. Of rows with gaps or errors, the statistics are those of the true rows: averaged over what
    was not seen, or of a draw where z is drawn. Of rows that were `Passed`, the statistics are there already; of
    rows that are `Fetched`, the host is asked for them, z averaged.
    """
    if isinstance(rows, Passed):
        return rows.stats
    if isinstance(rows, Fetched):
        assert assign is average
        assert isinstance(scorer, Scorer)
        few = Blocks(jnp.zeros((1, 1 + scorer.locs.shape[-1], FEWEST), rows.dtype), jnp.asarray(1))
        return fetch(scorer, rows, jax.eval_shape(partial(_sweep, assign=average), key, scorer, few, {}))
    if isinstance(scorer, PaddedScorer):
        return sweep_in_use(partial(sweep, assign=assign), key, scorer, rows)
    dial = assign.keywords if isinstance(assign, Partial) else {}
    return _sweep(key, scorer, rows, dial, assign=assign.func if isinstance(assign, Partial) else assign)


@partial(jax.jit, static_argnames="assign")
def _sweep(key: PRNGKeyArray, scorer: Scorer, rows: Rows, dial: dict[str, Any], assign: Callable) -> Stats:
    scorer = scorer if rows.noise is None else scorer.with_noise(rows.noise)
    held = rows.held if isinstance(rows, Sharded) else rows
    routes = _routes(scorer, held, assign)
    if isinstance(held, Incomplete | Patterns):
        scorer = scorer.full
    if len(routes) == 1:
        return routes[0](key, scorer, rows, dial)

    @custom_vmap
    def route(key, scorer, rows, dial):
        return lax.cond(few_digits_at_stake(scorer), *routes, key, scorer, rows, dial)

    @route.def_vmap
    def _(axis_size, in_batched, key, scorer, rows, dial):
        # One choice for all lanes: with one choice per lane, both routes would run.
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
        lanes = [jax.vmap(route, in_axes=axes, axis_size=axis_size) for route in routes]
        safe = jnp.all(jax.vmap(few_digits_at_stake, in_axes=(axes[1],), axis_size=axis_size)(scorer))
        stats = lax.cond(safe, *lanes, key, scorer, rows, dial)
        return stats, jax.tree.map(lambda _: True, stats)

    @jax.custom_jvp
    def differentiable(key, scorer, rows, dial):
        return route(key, scorer, rows, dial)

    @differentiable.defjvp
    def _(primals, tangents):
        key, scorer, rows, dial = primals
        _, tangent = jax.jvp(lambda scorer: routes[1](key, scorer, rows, dial), (scorer,), (tangents[1],))
        return route(key, scorer, rows, dial), tangent

    return differentiable(key, scorer, rows, dial)


def _routes(scorer: Scorer, rows: Rows, assign: Callable) -> tuple[Callable, ...]:
    """The fast route and the accurate one; or the only one."""
    if isinstance(rows, Incomplete) or (isinstance(rows, Patterns) and assign in DRAWN):
        return (partial(_by_completion, assign=assign),)
    if isinstance(rows, Patterns):
        return partial(_by_moments_of_patterns, assign=assign), partial(_by_completion, assign=assign)
    moments = _by_squares if is_column(scorer.whiteners) else _by_moments
    return partial(moments, assign=assign), partial(_by_residuals, assign=assign)


def conditioning(scorer: Scorer) -> Float[Array, ""]:
    """Size of the terms that cancel in a score of the moments route, relative to the score, on average over the rows.

    Rows are standardised, so the second moment of a feature is 1. Then Σ_d P_dd (1 + μ_d²) / D is the size of the
    terms of (x - μ)ᵀ P (x - μ).
    """
    squares = scorer.whiteners**2
    precisions = squares[..., 0] if is_column(squares) else jnp.sum(squares, axis=-2)
    return jnp.max(jnp.mean(precisions * (1.0 + scorer.locs**2), axis=-1))


def few_digits_at_stake(scorer: Scorer) -> Bool[Array, ""]:
    """Whether at most a quarter of the digits is lost: in double precision, twelve of sixteen remain."""
    return conditioning(scorer) < jnp.finfo(scorer.locs.dtype).eps ** -0.25


def _total(block_sums: Callable, rows: Rows, *operands: Any) -> Any:
    """The sum over all blocks of ``block_sums(rows, i, number, *operands)``: block i, and its number in the data."""
    local = partial(_sum, block_sums)
    if isinstance(rows, Sharded):
        return over_devices(local, rows, operands)
    return local(rows, operands, rows.num_blocks, rows.number if isinstance(rows, Complete) else lambda i: i)


def _sum(block_sums: Callable, rows: Rows, operands: tuple, num_blocks: int | Array, number: Callable) -> Any:
    def of(i):
        return block_sums(rows, i, number(i), *operands)

    if isinstance(num_blocks, int) and num_blocks == 1:
        return of(0)
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of, 0))
    return lax.fori_loop(0, num_blocks, lambda i, total: jax.tree.map(jnp.add, total, of(i)), start)


def _by_moments(key: PRNGKeyArray, scorer: Scorer, rows: Complete, dial: dict[str, Any], *, assign: Callable) -> Stats:
    def block_sums(rows, index, number, key, coefficients, dial):
        return _moments(jr.fold_in(key, number), coefficients, rows, index, dial, assign)

    moments, value = _total(block_sums, rows, key, product_coefficients(scorer), dial)
    counts, means, second = _central(moments, scorer.locs.shape[1])
    return Stats(counts, means, second - counts[:, None, None] * outer(means), value)


def product_coefficients(scorer: Scorer) -> Float[Array, "K M"]:
    """Coefficients of the products x̃_i x̃_j, i ≤ j, in the scores."""
    left, right = np.triu_indices(scorer.locs.shape[1] + 1)
    return scorer.quadratic()[:, left, right] * np.where(left == right, 1.0, 2.0).astype(scorer.locs.dtype)


def _moments(key, coefficients: Array, rows: Complete, index, dial: dict[str, Any], assign: Callable):
    """Sums of the products x̃_i x̃_j over the rows of a block, (M, K), and the objective of the block."""
    x = rows.block(index)
    left, right = np.triu_indices(x.shape[0])
    return _sums_of(x[left] * x[right], key, coefficients, rows, (index, x), dial, assign)


def _sums_of(products: Float[Array, "M n"], key, coefficients: Array, rows: Complete, block, dial, assign: Callable):
    """Sums of products over the rows of a block, (M, K), and the objective of the block."""
    scores = jnp.matmul(coefficients, products, precision=lax.Precision.HIGHEST)
    z, value, counted = _assigned(assign, key, scores, rows, block, dial)
    if rows.weights is not None:
        z = z * counted
    # Keep this order: the long, thin product is twice as fast with the feature products on the left.
    return jnp.matmul(products, z.T, precision=lax.Precision.HIGHEST), jnp.vdot(value, counted)


def _central(moments: Float[Array, "M K"], dim: int) -> tuple[Array, Array, Array]:
    """Counts, means and second moments (about 0) of each component."""
    left, right = np.triu_indices(dim + 1)
    position = np.zeros((dim + 1,) * 2, int)
    position[left, right] = position[right, left] = np.arange(len(left))
    square = jnp.moveaxis(moments[position], -1, 0)
    counts, first = square[:, 0, 0], square[:, 0, 1:]
    return counts, first / jnp.where(counts > 0, counts, 1.0)[:, None], square[:, 1:, 1:]


def _by_squares(key: PRNGKeyArray, scorer: Scorer, rows: Complete, dial: dict[str, Any], *, assign: Callable) -> Stats:
    """As `_by_moments`, with the products (1, x, x²): all that diagonal covariances need."""
    dim = scorer.locs.shape[1]

    def block_sums(rows, index, number, key, coefficients, dial):
        x = rows.block(index)
        products = jnp.concatenate([x, jnp.square(x[1:])])
        return _sums_of(products, jr.fold_in(key, number), coefficients, rows, (index, x), dial, assign)

    moments, value = _total(block_sums, rows, key, scorer.separate(), dial)
    counts, first, second = moments[0], moments[1 : dim + 1].T, moments[dim + 1 :].T
    means = first / jnp.where(counts > 0, counts, 1.0)[:, None]
    return Stats(counts, means, full((second - counts[:, None] * jnp.square(means))[..., None]), value)


def _by_moments_of_patterns(
    key: PRNGKeyArray, scorer: Scorer, rows: Patterns, dial: dict[str, Any], *, assign: Callable
) -> Stats:
    """As `_by_moments` for each block, whose rows share what was seen; then the moments of the true rows follow."""

    def block_sums(rows, index, number, key, scorer, dial):
        part, gain, rest = of_pattern(scorer, rows.seen_in(index))
        own = jr.split(jr.fold_in(key, number))[0]
        moments, value = _moments(own, product_coefficients(part), rows.blocks, index, dial, assign)
        counts, means, second = _central(moments, part.locs.shape[1])
        shift = means - part.locs
        about = second - counts[:, None, None] * (outer(means) - outer(shift))  # about the means of the components
        u, uu = matvec(part.whiteners, shift), matmul(matmul(part.whiteners, about), transposed(part.whiteners))
        back = transposed(gain)
        inner = matmul(matmul(back, uu), gain) + counts[:, None, None] * rest
        return counts, counts[:, None] * matvec(back, u), inner, value

    return _restored(scorer, *_total(block_sums, rows, key, scorer, dial))


def _by_residuals(
    key: PRNGKeyArray, scorer: Scorer, rows: Complete, dial: dict[str, Any], *, assign: Callable
) -> Stats:
    sums = _whitened_squares if is_column(scorer.whiteners) else _whitened_sums

    def block_sums(rows, index, number, key, scorer, dial):
        x = rows.block(index)
        y = scorer.residuals(x[1:])
        z, value, counted = _assigned(assign, jr.fold_in(key, number), scorer.scores(y), rows, (index, x), dial)
        return sums(*_counting(z, value, counted), y)

    return _restored(scorer, *_total(block_sums, rows, key, scorer, dial))


def _by_completion(
    key: PRNGKeyArray, scorer: Scorer, rows: Incomplete | Patterns, dial: dict[str, Any], *, assign: Callable
) -> Stats:
    """As `_by_residuals`, with the moments of the true rows given what was seen (Little & Rubin 2019, section 11.2)."""

    def block_sums(rows, index, number, key, scorer, dial):
        key_z, key_x = jr.split(jr.fold_in(key, number))
        x = rows.blocks.block(index)
        scores, y, rest = rows.completed(index, scorer, key_x if assign in DRAWN else None)
        z, value, counted = _assigned(assign, key_z, scores, rows.blocks, (index, x), dial)
        z, value = _counting(z, value, counted)
        counts, first, second, value = _whitened_sums(z, value, y)
        if rest is not None and rest.shape[-1] == 1:
            second += counts[:, None, None] * rest[..., 0]
        elif rest is not None:
            second += jnp.einsum("kn,kden->kde", z, rest, precision=lax.Precision.HIGHEST)
        return counts, first, second, value

    return _restored(scorer, *_total(block_sums, rows, key, scorer, dial))


def _assigned(assign: Callable, key: PRNGKeyArray, scores: Array, rows: Complete, block, dial: dict[str, Any]):
    """Z and value of each row of a block, and how often it counts; what is known of its class joins its scores."""
    index, x = block
    if rows.labels is not None:
        scores = scores + jnp.asarray(rows.labels)[index]
    counted = rows.counted(index, x)
    return *assign(key, scores, None if rows.weights is None else counted, **dial), counted


def _counting(z: Array, value: Array, counted: Array) -> tuple[Array, Array]:
    """Z and value of each row as often as it counts. Not products only: scores of padding may overflow or be -inf."""
    return jnp.where(counted > 0, z * counted, 0.0), jnp.where(counted > 0, value * counted, 0.0)


def _whitened_sums(z: Array, value: Array, y: Float[Array, "K D n"]) -> tuple[Array, Array, Array, Array]:
    """Counts, first and second moments of whitened rows y in each component, and the objective, of a block."""
    weighted = z[:, None, :] * y
    second = jnp.einsum("kdn,ken->kde", weighted, y, precision=lax.Precision.HIGHEST)
    return z.sum(1), weighted.sum(2), second, jnp.sum(value)


def _whitened_squares(z: Array, value: Array, y: Float[Array, "K D n"]) -> tuple[Array, Array, Array, Array]:
    """As `_whitened_sums`, with the diagonal of the second moments as a column."""
    weighted = z[:, None, :] * y
    return z.sum(1), weighted.sum(2), jnp.sum(weighted * y, axis=2)[..., None], jnp.sum(value)


def _restored(scorer: Scorer, counts: Array, first: Array, second: Array, value: Array) -> Stats:
    """Statistics in the coordinates of the data, from sums of whitened residuals."""
    mean = first / jnp.where(counts > 0, counts, 1.0)[:, None]
    squares = jnp.square(mean)[..., None] if is_column(second) else outer(mean)
    centred = second - counts[:, None, None] * squares
    means = scorer.locs + matvec(scorer.trils, mean)
    return Stats(counts, means, full(congruence(scorer.trils, centred)), value)
