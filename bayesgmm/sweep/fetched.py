"""Rows over which the host passes, inside a compiled program: the program calls the host for each pass.

EM, Gibbs and CAVI stop for a pass (`bayesgmm.sweep.passed`). The trajectory of NUTS is a compiled loop that cannot
stop, so here the loop calls the host (`jax.pure_callback`), and all chains share the pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jax import lax

from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.e_step import average
from bayesgmm.sweep.passed import HostRows
from bayesgmm.sweep.rows import padded_size


@partial(jax.tree_util.register_dataclass, data_fields=("number",), meta_fields=("capacity", "precision"))
@dataclass(frozen=True)
class Fetched:
    """Rows on the host, in a program. It knows them by a number, so that it serves other rows too, and holds none."""

    number: Any
    capacity: int
    """Number of rows, padding included, as in memory: choices by size do not depend on where the rows are."""
    precision: str
    weights = noise = None

    @property
    def dtype(self) -> np.dtype:
        """Precision of the pass."""
        return np.dtype(self.precision)


@dataclass
class _Source:
    rows: HostRows
    context: Context
    """That of the caller: the program calls from a thread of JAX."""
    failure: list[BaseException] = field(default_factory=list)


_SOURCES: dict[int, _Source] = {}
_NUMBERS = count()


@contextmanager
def fetched(rows: HostRows) -> Iterator[Fetched]:
    """These rows for programs that run, and end, within this block. An error of a pass is raised as it is.

    Raises
    ------
    DataError
        If the rows cannot be read.
    """
    number, source = next(_NUMBERS), _Source(rows, copy_context())
    _SOURCES[number] = source
    try:
        yield Fetched(np.asarray(number), padded_size(rows.num_rows), rows.dtype.name)
    except jax.errors.JaxRuntimeError:
        if not source.failure:
            raise
        raise source.failure[0] from None
    finally:
        del _SOURCES[number]


def fetch(scorer: Scorer, rows: Fetched, shapes: Stats) -> Stats:
    """Statistics of the responsibilities by a pass of the host; `shapes` are those of the result.

    Under `jax.vmap` all lanes share the pass. Numbers travel as their bits: the thread from which JAX calls may have
    double precision off, and would round them.
    """
    coded = [jax.eval_shape(_coded, leaf) for leaf in shapes]
    found = jax.pure_callback(
        _pass, coded, lax.convert_element_type(rows.number, np.int32), *map(_coded, scorer),
        vmap_method="broadcast_all",
    )  # fmt: skip
    return Stats(*(lax.bitcast_convert_type(leaf, rows.dtype) for leaf in found))


def _coded(leaf: Array) -> Array:
    """The bits of floating-point numbers; of double precision with a last axis of two words."""
    return lax.bitcast_convert_type(leaf, np.uint32)


def _pass(number: Any, *coded: Any) -> tuple[np.ndarray, ...]:
    numbers = np.asarray(number)
    source = _SOURCES[int(numbers.flat[0])]
    try:
        return source.context.copy().run(_statistics, source.rows, numbers.shape, [np.asarray(one) for one in coded])
    except BaseException as error:  # JAX would keep its words only
        source.failure.append(error)
        raise


def _statistics(rows: HostRows, lanes: tuple[int, ...], coded: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """For lanes of any number of axes."""
    words = (2,) if rows.dtype.itemsize == 8 else ()
    parts = [one.view(rows.dtype).reshape(one.shape[: one.ndim - len(words)]) for one in coded]
    flat = Scorer(*(part.reshape(-1, *part.shape[len(lanes) :]) for part in parts))
    with scope(rows.dtype.name):
        found = rows.total((jr.split(jr.key(0), len(flat.offsets)), flat), average).stats
        made = [np.ascontiguousarray(leaf, rows.dtype) for leaf in found]
    return tuple(
        one.reshape(*lanes, *one.shape[1:], 1).view(np.uint32).reshape(*lanes, *one.shape[1:], *words) for one in made
    )
