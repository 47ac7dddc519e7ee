"""Compiled programs as bytes: the key that says when two are the same, and conversion in both directions.

JAX's own cache on disk still traces and lowers a function to find its key. Here the key is everything that determines
the program: the function, shapes and static arguments, the source of this package, the versions of the libraries that
it traces, JAX's configuration, and the machine. A function, prior or guide from elsewhere has no key, because its
source is not known; its programs are compiled in each process.
"""

import functools
import hashlib
import importlib.metadata
import io
import os
import pickle
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jaxlib.lapack
import numpy as np
from jax.experimental import serialize_executable

KNOWN = ("bayesgmm", "builtins", "jax", "numpy", "numpyro")
"""Packages whose version or source is part of every key."""
LIBRARIES = ("jax", "jaxlib", "numpy", "numpyro", "funsor", "opt_einsum")
"""What a program may be traced through or compiled by."""
NO_EFFECT = ("_cache", "jax_log", "debug_leaked", "traceback", "jax_pgle", "transfer_guard", "jax_explain")
"""Parts of the names of JAX's settings that do not change a program."""


FOREIGN_CALL = re.compile(r'custom_call @"?([\w.]+)')
"""Calls of functions outside the program. Whether they are ready in a new process is known of LAPACK only."""
LAPACK = "lapack_"


STARTED = time.time()
"""When this process imported the package: later changes of the source are not what it runs."""


class NoKey(Exception):
    """Something that determines the program has no name that stays the same in another process."""


def program_key(function: Callable, shapes: tuple, structure: Any, static: dict[str, Any]) -> bytes | None:
    """What determines a compiled program; None if part of it cannot be named."""
    try:
        parts = [_written(function), *map(repr, shapes), *_nodes(structure)]
        parts += [f"{name}={_written(value)}" for name, value in sorted(static.items())]
        return "\n".join([*parts, *_settings(), *_machine(), _validation(), _source()]).encode()
    except (NoKey, OSError, importlib.metadata.PackageNotFoundError):
        return None


def _written(value: Any) -> str:
    """A static argument, type or function in words that are the same in every process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, tuple):
        return f"{_written(type(value))}({', '.join(map(_written, value))})"
    if isinstance(value, jax.tree_util.PyTreeDef):
        return f"[{' '.join(_nodes(value))}]"
    name, module = getattr(value, "__qualname__", "<"), getattr(value, "__module__", None) or ""
    if module.split(".")[0] not in KNOWN or not _is(value, module, name):
        raise NoKey
    return f"{module}.{name}"


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a name leads to this very object: a wrapper or a bound method may only bear it."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value or getattr(found, "_function", None) is value  # as the function of a `Program`


def _nodes(structure: Any) -> list[str]:
    """The nodes of a pytree structure, the outermost first."""
    node = structure.node_data()
    if node is None:
        return [str(structure)]
    kind, data = node
    if kind is type(None):  # a field without arrays
        return ["None"]
    if isinstance(data, (list, tuple)):
        data = tuple(data)
    inner = [part for child in structure.children() for part in _nodes(child)]
    return [f"{_written(kind)} {_written(data)} {len(structure.children())}", *inner]


def _settings() -> list[str]:
    """JAX's configuration, as it is in this thread."""
    values = sorted(jax.config.values.items())
    told = [(name, value) for name, value in values if not any(word in name for word in NO_EFFECT)]
    return [f"{name}={getattr(jax.config, name, value)!r}" for name, value in told] + [os.environ.get("XLA_FLAGS", "")]


def the_device() -> Any:
    """The device on which programs run: the default of the session, or the first."""
    chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if chosen is None:
        return jax.local_devices()[0]
    return jax.local_devices(backend=chosen)[0] if isinstance(chosen, str) else chosen


def _machine() -> tuple[str, ...]:
    """The machine, and the versions of what compiles."""
    return _machine_of(the_device())


@functools.cache
def _machine_of(device: Any) -> tuple[str, ...]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    client = f"{device.client.platform} {device.client.platform_version} {len(jax.devices())} {device.id}"
    here = f"{platform.system()} {platform.machine()} {_processor()} {cores}"
    return (*versions, sys.version, client, device.device_kind, here)


def _validation() -> str:
    """NumPyro's validation, which adds checks to densities; without NumPyro, what it will be when it is imported."""
    distribution = getattr(sys.modules.get("numpyro.distributions"), "Distribution", None)
    return f"validation {getattr(distribution, '_validate_args', __debug__)}"


def _processor() -> str:
    """Model and features of the processor: a program may use instructions that another processor lacks."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return platform.processor()
    told = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant")
    return " ".join(line for line in first.splitlines() if line.startswith(told))


@functools.cache
def _source() -> str:
    """A digest of the source of this package."""
    root, digest = Path(__file__).parents[1], hashlib.blake2b(digest_size=20)
    paths = sorted(root.rglob("*.py"))
    if not paths:  # the source is not there to be told from another
        raise NoKey
    # A process that began before an upgrade runs the old source. Its programs must not pass for those of the new one.
    if max(path.stat().st_mtime for path in paths) > STARTED:
        raise NoKey
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def to_bytes(lowered: jax.stages.Lowered, program: jax.stages.Compiled) -> bytes | None:
    """A compiled program as bytes; None if it cannot be loaded by another process."""
    calls = sorted(set(FOREIGN_CALL.findall(lowered.as_text())))
    if not all(call.startswith(LAPACK) for call in calls):
        return None
    try:
        return pickle.dumps((bool(calls), serialize_executable.serialize(program)))
    except Exception:  # each backend refuses in its own way, and a program that is not kept is no error
        return None


def from_bytes(content: bytes) -> jax.stages.Compiled | None:
    """The compiled program; None if this version of JAX cannot load it. Only for content of this user."""
    try:
        calls_lapack, (serialised, in_tree, out_tree) = pickle.loads(content)
        if calls_lapack:
            # JAX looks up LAPACK's functions when it lowers a call; a program that is loaded would call address 0.
            jaxlib.lapack.prepare_lapack_call("potrf", np.float64)
        device = the_device()
        reader = _unpickler()(io.BytesIO(serialised), device.client, (device,))
        unloaded, args_flat, no_kwargs = reader.load()
        return jax.stages.Compiled(unloaded.load(), [], in_tree.unflatten(args_flat), out_tree, no_kwargs=no_kwargs)
    except Exception:  # a program that cannot be loaded is compiled
        return None


@functools.cache
def _unpickler() -> type:
    """The unpickler of JAX, except that JAX's single objects stay single.

    JAX 0.12 pickles its one ``AutoLayout`` as an object of its own. Arrays with such a layout count as another type, so
    that everything that takes them is compiled again. These classes are private to JAX: a version without them loads
    nothing, and compiles.
    """

    class Unpickler(serialize_executable._JaxPjrtUnpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)
            if name != "AutoLayoutSingleton":
                return found
            from jax._src.layout import AutoLayout

            return type(name, (), {"__new__": lambda cls: AutoLayout})

    return Unpickler
