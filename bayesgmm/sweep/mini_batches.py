"""Mini-batches of rows inside compiled programs: several at a time, drawn from rows in memory or read from disk."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.rows import Blocks


class Drawn(NamedTuple):
    """Batches of rows in memory, by the numbers of their rows."""

    rows: Rows
    numbers: Int[Array, "M B"]

    @property
    def most(self) -> int:
        """Number of batches for which there is space."""
        return self.numbers.shape[0]

    def size(self, i) -> Float[Array, ""]:
        """Rows of batch `i`."""
        return jnp.asarray(self.numbers.shape[1], self.rows.dtype)

    def batch(self, i) -> Rows:
        """The rows of batch `i`."""
        return self.rows.take(jnp.asarray(self.numbers)[i])


class Cut(NamedTuple):
    """Batches that follow one another in the order of the rows; each fills its own blocks."""

    x: Float[Array, "M C D1 n"]
    num_rows: Int[Array, "M"]

    @property
    def most(self) -> int:
        """Number of batches for which there is space."""
        return self.x.shape[0]

    def size(self, i) -> Float[Array, ""]:
        """Rows of batch `i`."""
        return jnp.asarray(self.num_rows)[i].astype(self.x.dtype)

    def batch(self, i) -> Rows:
        """The rows of batch `i`."""
        return Blocks(jnp.asarray(self.x)[i], jnp.asarray(self.num_rows)[i])


Batches = Drawn | Cut
"""A pytree with ``most``, ``size(i)`` and ``batch(i)``."""
