"""The devices that share the rows: what users name, as a mesh of JAX."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.checks import shown

ROWS, CHAINS = "rows", "chains"
"""The axes of a mesh along which the rows and the chains are shared."""


def mesh_of(devices: Any) -> Mesh | None:
    """The mesh of these devices; None for the default device alone, which needs no mesh.

    Parameters
    ----------
    devices
        None (the default device), a number (the first so many of `jax.devices`), a list of devices, or a
        `jax.sharding.Mesh` with an axis ``"rows"``, an axis ``"chains"``, or both.

    Raises
    ------
    ArgumentError
        If there are not so many devices, one is named twice, or a mesh has neither axis.
    """
    if devices is None:
        return None
    if isinstance(devices, Mesh):
        if ROWS not in devices.shape and CHAINS not in devices.shape:
            raise ArgumentError(
                f"The mesh has the axes {', '.join(map(str, devices.shape)) or '()'}; the rows are shared along one "
                f"called {ROWS!r}, and chains along one called {CHAINS!r}. Use jax.make_mesh(({devices.size or 1},), "
                f"({ROWS!r},))."
            )
        # Meshes of jax.make_mesh ask programs to say how each array is shared; here the compiler finds it.
        if ROWS in devices.shape:
            return _unless_default(Mesh(devices.devices, devices.axis_names))
        return _unless_default(Mesh(devices.devices[..., None], (*devices.axis_names, ROWS)))
    if isinstance(devices, (int, np.integer)) and not isinstance(devices, bool):
        return _mesh(_first(int(devices)))
    if isinstance(devices, (list, tuple)) and devices and all(isinstance(one, jax.Device) for one in devices):
        if len(set(devices)) < len(devices):
            raise ArgumentError("devices names a device twice. Name each once.")
        return _mesh(list(devices))
    raise ArgumentError(
        f"devices must be a number, a list of jax.devices() or a jax.sharding.Mesh with an axis {ROWS!r}, got "
        f"{shown(devices)}."
    )


def _first(count: int) -> list[Any]:
    here = jax.devices()
    if count < 1:
        raise ArgumentError(f"devices must be at least 1, got {count}.")
    if count > len(here):
        advice = f"Use devices={len(here)}."
        if here[0].platform == "cpu":
            advice += (
                f" A processor counts as one; for several, start Python with the environment variable "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={count}."
            )
        raise ArgumentError(f"JAX sees {len(here)} device{'s' * (len(here) > 1)}, not {count}. {advice}")
    return here[:count]


def _mesh(devices: list[Any]) -> Mesh | None:
    return _unless_default(Mesh(np.asarray(devices), (ROWS,)))


def _unless_default(mesh: Mesh) -> Mesh | None:
    return mesh if mesh.size > 1 or mesh.devices.flat[0] != jax.devices()[0] else None


def on_host() -> AbstractContextManager[Any]:
    """A scope in which arrays are made on the processor, if JAX has it."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        return nullcontext()
