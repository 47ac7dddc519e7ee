"""A study described in a TOML file: the arguments of `study` as keys."""

import inspect
import tomllib
from pathlib import Path
from typing import Any

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.priors.prior import Prior
from bayesgmm.priors.stick_breaking import StickBreaking
from bayesgmm.runtime.checks import check_names, shown
from bayesgmm.studies.study import study

NOT_IN_FILES = {"checkpoint", "client", "executor", "n_jobs", "progress_bar"}
"""Arguments about how a study is run, and not about what it is."""
KEYS = set(inspect.signature(study).parameters) - NOT_IN_FILES
OF_TRUTH = {"weights", "means", "covariances"}
OF_PRIOR = {"concentration", "alpha", "loc", "strength", "df", "scale"}


def read_study(path: Path) -> dict[str, Any]:
    """The arguments of `study` in a TOML file.

    ``truths`` is ``"random"``, ``"prior"``, or a table of tables with ``weights``, ``means`` and ``covariances``;
    ``engines`` a list of names or a table of tables of settings; ``prior`` is ``"default"``, ``"none"``, or a table
    with ``concentration`` (a `Dirichlet`) or ``alpha`` (a `StickBreaking`), and ``loc``, ``strength``, ``df`` and
    ``scale`` (a `NormalInverseWishart`).

    Raises
    ------
    ArgumentError
        If the file cannot be read, is not TOML, or has an unknown key.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read ({error.strerror or error}).") from None
    except ValueError as error:
        raise ArgumentError(f"{path} is no study: {error}.") from None
    check_names(found, KEYS, str(path))
    if "truths" not in found:
        raise ArgumentError(f"{path} has no truths. Write truths = 'random', 'prior', or a table [truths.name].")
    if isinstance(found["truths"], dict):
        found["truths"] = {name: _truth(name, table) for name, table in found["truths"].items()}
    if "prior" in found:
        found["prior"] = _prior(found["prior"])
    if found.get("em_intervals") == "none":
        found["em_intervals"] = None
    return found


def _truth(name: str, table: Any) -> Params:
    parts = _table(f"truths.{name}", table, OF_TRUTH)
    lacking = OF_TRUTH - set(parts)
    if lacking:
        raise ArgumentError(f"[truths.{name}] lacks {', '.join(sorted(lacking))}.")
    return Params.of(**parts)


def _prior(value: Any) -> Any:
    if isinstance(value, str):
        return None if value == "none" else value
    parts = _table("prior", value, OF_PRIOR)
    lacking = OF_PRIOR - {"concentration", "alpha"} - set(parts)
    if lacking:
        raise ArgumentError(f"[prior] lacks {', '.join(sorted(lacking))}. See NormalInverseWishart.")
    if {"concentration", "alpha"} <= set(parts):
        raise ArgumentError("[prior] has both concentration (a Dirichlet) and alpha (a StickBreaking). Keep one.")
    weights = StickBreaking(parts.pop("alpha")) if "alpha" in parts else Dirichlet(parts.pop("concentration", 1.0))
    return Prior(weights, NormalInverseWishart(**parts))


def _table(name: str, value: Any, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArgumentError(f"{name} must be a table with {', '.join(sorted(keys))}, got {shown(value)}.")
    check_names(value, keys, f"[{name}]")
    return dict(value)
