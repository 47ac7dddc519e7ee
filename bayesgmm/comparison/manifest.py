"""How to make a comparison again: its call in Python, and a manifest of data, arguments and versions."""

import json
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.data.table import Table
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.fingerprint import fingerprint_of_seed

PACKAGES = ("bayesgmm", "jax", "jaxlib", "numpyro", "arviz", "numpy", "scipy")


def call_of(comparison: Any) -> str:
    """The call of `compare` that makes these results again, with every argument that is not its default."""
    known = {"weights": comparison.table.weights, "labels": comparison.table.labels, "errors": comparison.table.errors}
    told = [f"{name}={name}" for name, value in known.items() if value is not None]
    if comparison.table.noise is not None:
        told.append(f"noise={np.exp(comparison.table.noise.log_volume):.17g}")
    data = f"bg.rows(x, {', '.join(told)})" if told else "x"
    parts = [f"{data}, n_components={comparison.model.num_gaussians}", f"engines={_engines(comparison)!r}"]
    if comparison.family.name != "VVV":
        parts.append(f"covariance_type={comparison.family.name!r}")
    parts.append(f"prior={_prior_code(comparison)}")
    if comparison.model.fixed is not None:
        parts.append(f"fixed={comparison.model.fixed.code()}")
    parts += [f"{name}={value!r}" for name, value in comparison.settings.items()]
    if comparison.interval is not None:
        parts.append(f"interval={comparison.interval:g}")
    if comparison.em_intervals is not None:
        parts.append(f"em_intervals={comparison.em_intervals!r}")
    own = [name for name in comparison.descriptions if not (name == comparison.reference and comparison.reference_ran)]
    if own:
        parts.append(f"also={{{', '.join(f'{name!r}: …' for name in own)}}}")
    if comparison.reference is not None:
        parts.append(f"reference={_reference_code(comparison)}")
    return f"bg.compare({', '.join(parts)}, seed={_seed_code(comparison.seed)})"


def manifest(comparison: Any) -> bytes:
    """The manifest as JSON: the call, a fingerprint of the data, the seed, the versions, and what each engine was."""
    content = {
        "call": call_of(comparison),
        "data": data_words(comparison.table),
        "prior": None if comparison.prior is None else comparison.prior.describe(comparison.family),
        **({} if comparison.model.fixed is None else {"fixed": comparison.model.fixed.code()}),
        "prior as code": None if comparison.prior is None else code_of(comparison.prior),
        "held-out folds": None if comparison.scores is None else int(comparison.scores.folds.max()) + 1,
        "covariance_type": comparison.family.name,
        "seed": fingerprint_of_seed(comparison.seed),
        "results": {name: _result_words(result) for name, result in comparison.results.items()},
        "failures": comparison.failures,
        "versions": versions(),
    }
    return (json.dumps(content, indent=2, default=str, ensure_ascii=False) + "\n").encode()


def data_words(table: Table) -> dict[str, Any]:
    """Rows, features, and a fingerprint that changes with any value."""
    known = {"known": table.about} if table.about else {}
    return {
        "rows": table.num_rows, "features": list(table.features), **known, "fingerprint": fingerprint_of_table(table)
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine the numbers, and the machine."""
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def code_of(value: Any) -> str:
    """A prior, or a part of one, as Python code with ``bg.``; a leading axis of equal parts is left out."""
    parts = getattr(value, "_asdict", None)
    if parts is not None:
        name = "Prior" if isinstance(value, Belief) else type(value).__name__
        return f"bg.{name}({', '.join(f'{field}={code_of(part)}' for field, part in parts().items())})"
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        return repr(value)
    if array.ndim and len(array) > 1 and (array == array[:1]).all():
        array = array[0]
    return repr(array.tolist())


def _engines(comparison: Any) -> tuple[str, ...]:
    """The engines that were asked for, whether or not they gave a result."""
    names = [*comparison.results, *comparison.failures]
    return tuple(name for name in names if name not in comparison.descriptions)


def _prior_code(comparison: Any) -> str:
    if comparison.prior is None:
        return "None"
    return repr(comparison.prior_name) if comparison.prior_name else code_of(comparison.prior)


def _reference_code(comparison: Any) -> str:
    """The name of an engine, if one made the reference."""
    found = comparison.results.get(comparison.reference)
    named = comparison.reference_ran or comparison.reference in _engines(comparison)
    return repr(found.algorithm if named and found is not None else comparison.reference)


def _seed_code(seed: Any) -> str:
    return repr(int(seed)) if isinstance(seed, int | np.integer) else "…  # a key"


def _result_words(result: Any) -> dict[str, Any]:
    clock = result.clock
    return {
        "algorithm": result.algorithm, "settings": {name: _plain(value) for name, value in result.settings.items()},
        "seconds": clock.run_seconds, "seconds compiling": clock.compile_seconds,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__
