"""Rows shared among devices: each device passes over its own blocks, and their sums are added up.

Block i lies on device i mod n, so that devices have equal work whatever the number of rows. Random numbers follow the
number of the block among all, so that z does not depend on the number of devices. With a second axis of the mesh,
groups of devices have the same rows and different chains.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Float, Int

from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.devices import CHAINS, ROWS
from bayesgmm.sweep.incomplete import Incomplete, Patterns
from bayesgmm.sweep.rows import Blocks

SHARED = {Blocks: ("x", "weights", "labels"), Incomplete: ("seen", "roots"), Patterns: ("which",)}
"""Fields with an axis of blocks, the first. Every device has all of the others."""


@partial(jax.tree_util.register_dataclass, data_fields=("held", "total"), meta_fields=("mesh", "capacity"))
@dataclass(frozen=True)
class Sharded:
    """Rows whose blocks lie on the devices of a mesh, along its axis `ROWS`."""

    held: Blocks | Incomplete | Patterns
    """The rows, with the blocks of the first device first."""
    mesh: Mesh
    capacity: int
    """Number of rows, padding included, as on one device: choices by size do not depend on the number of devices."""
    total: Any = None
    """Number of blocks on all devices, in a program of one of them (`over_chains`), which sees only its own."""

    @property
    def num_devices(self) -> int:
        """Number of devices along the rows."""
        return self.mesh.shape[ROWS]

    @property
    def num_rows(self) -> Int[Array, ""]:
        """Number of rows."""
        return self.held.num_rows

    @property
    def num_blocks(self) -> int | Array:
        """Number of blocks that hold rows, on all devices."""
        return self.held.num_blocks if self.total is None else self.total

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.held.dtype

    @property
    def weights(self) -> Float[Array, "C n"] | None:
        """How often each row counts, in the order of the blocks on the devices; None: once."""
        return self.held.weights

    @property
    def noise(self) -> Float[Array, ""] | None:
        """Log density of the noise, the last component; None: all components are Gaussians."""
        return self.held.noise

    def take(self, rows: Int[Array, "B"]) -> Blocks | Incomplete:
        """These rows only, as one block, on every device."""
        if isinstance(self.held, Patterns):  # its places are those on the devices
            return self.held.take(rows)
        x = self.held.x if isinstance(self.held, Blocks) else self.held.blocks.x
        num, width = x.shape[0], x.shape[2]
        return self.held.take(_place(rows // width, self.num_devices, num) * width + rows % width)


def _place(index: Any, num_devices: int, num_blocks: int) -> Any:
    """Where block `index` is in the order of the devices."""
    return index % num_devices * (num_blocks // num_devices) + index // num_devices


def shard(rows: Blocks | Incomplete | Patterns, mesh: Mesh) -> Sharded:
    """The rows on the devices of a mesh. Their blocks are filled up to as many for each device."""
    num = mesh.shape[ROWS]

    def along(leaf: Any) -> Array:
        leaf = np.asarray(leaf)
        each = -(-len(leaf) // num)

        def of_device(index: Any) -> np.ndarray:
            own = leaf[(index[0].start or 0) // each :: num]
            return np.concatenate([own, np.zeros((each - len(own), *leaf.shape[1:]), leaf.dtype)])

        return jax.make_array_from_callback((num * each, *leaf.shape[1:]), NamedSharding(mesh, Spec(ROWS)), of_device)

    held = _for_each_field(rows, along, lambda leaf: jax.device_put(leaf, NamedSharding(mesh, Spec())))
    if isinstance(rows, Patterns):
        width, count = held.blocks.x.shape[2], len(held.which)
        places = np.asarray(rows.places)
        places = _place(places // width, num, count) * width + places % width
        held = held._replace(places=jax.device_put(places, NamedSharding(mesh, Spec())))
    return Sharded(held, mesh, rows.capacity)


def _for_each_field(rows: Any, along: Callable, other: Callable) -> Any:
    """`along` of the fields with an axis of blocks, and `other` of the others."""
    made = {}
    for name, field in zip(rows._fields, rows, strict=True):
        if isinstance(field, Blocks):
            made[name] = _for_each_field(field, along, other)
        else:
            one = along if name in SHARED[type(rows)] else other
            made[name] = None if field is None else one(field)
    return type(rows)(**made)


def over_devices(local: Callable, rows: Sharded, operands: tuple) -> Any:
    """The sum over all devices of ``local(rows, operands, number of blocks, block → its number among all)``."""
    num = rows.num_devices

    def of_device(part, operands, num_blocks):
        device = lax.axis_index(ROWS)
        return lax.psum(local(part, operands, (num_blocks - device + num - 1) // num, lambda i: i * num + device), ROWS)

    if rows.total is not None:
        return of_device(rows.held, operands, rows.total)
    specs = _specs(rows), Spec(), Spec()
    shared = jax.shard_map(of_device, mesh=rows.mesh, in_specs=specs, out_specs=Spec(), check_vma=False)
    return shared(rows.held, operands, jnp.asarray(rows.num_blocks))


def over_chains(run: Callable, rows: Any, shared: Any, *lanes: Any) -> Any:
    """``run(rows, shared, *lane)`` for each chain, along the leading axis of `lanes`.

    If the rows lie on a mesh with an axis `CHAINS`, each group of devices along it runs its own chains. Their number is
    filled up to one that divides evenly, by chains that are run twice.
    """
    if not isinstance(rows, Sharded) or CHAINS not in rows.mesh.shape:
        return jax.vmap(partial(run, rows, shared))(*lanes)
    count, groups = len(jax.tree.leaves(lanes)[0]), rows.mesh.shape[CHAINS]
    which = np.arange(-(-count // groups) * groups) % count

    def of_group(held, total, shared, lanes):
        own = Sharded(held, rows.mesh, rows.capacity, total)
        return jax.vmap(partial(run, own, shared))(*lanes)

    specs = _specs(rows), Spec(), Spec(), Spec(CHAINS)
    mapped = jax.shard_map(of_group, mesh=rows.mesh, in_specs=specs, out_specs=Spec(CHAINS), check_vma=False)
    filled = jax.tree.map(lambda leaf: leaf[which], lanes)
    found = mapped(rows.held, jnp.asarray(rows.num_blocks), shared, filled)
    return jax.tree.map(lambda leaf: leaf[:count], found)


def _specs(rows: Sharded) -> Any:
    """How the fields of the rows lie on the mesh."""
    return _for_each_field(rows.held, lambda leaf: Spec(ROWS), lambda leaf: Spec())
