"""Checks of what users give to a plot: results, and features by name or index."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.plots.style import in_style
from bayesgmm.runtime.checks import as_list, shown
from bayesgmm.runtime.formatting import for_figure

FIT, POSTERIOR = "MixtureFit", "Posterior"
MADE_BY = {
    FIT: "bg.fit_em(x, 2)", POSTERIOR: "bg.sample_gibbs(x, 2)", "FitTable": "bg.fit_table(x)",
    "Calibration": "bg.calibrate(x, 2)", "ModelCheck": "bg.check(posterior)",
    "PredictiveChecks": "bg.predictive_checks(posterior)", "ELPDDataLOO": "bg.loo(posterior)",
    "DataTree": "bg.loo_pit(posterior)", "DataFrame": "bg.prior_sensitivity(posterior)",
    "Relabelling": "bg.relabel(posterior)", "Partition": "bg.partition(posterior)",
    "Dataset": "bg.label_invariant_view(posterior)", "Walk": "bg.walk(x, 2)",
    "Study": "bg.study(params)",
    "Comparison": "bg.compare(x, 2, reference='gibbs')", "Errors": "comparison.errors()",
    "Profile": "fit.profile('means[0, x0]')", "TelescopingPosterior": "bg.sample_telescoping(x)",
    "Merging": "bg.merge(fit)", "Selection": "bg.select(x)",
}  # fmt: skip
"""What a plot takes, by the name of its class, and what makes it. The classes are defined above this folder."""


Results = Mapping[str, Any]
"""Fits and posteriors by name. Both have `params`, `table` and `n_components`."""


def styled(*takes: str, several: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function draw in the style of the package, after a check of its first argument.

    `takes` has names of classes, of which the first argument is one. With `several`, it may also be a mapping of names
    to such results; the function gets a mapping in both cases.

    Raises
    ------
    ArgumentError
        If the first argument is none of these.
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        first = next(iter(signature(function).parameters))
        check = _as_results if several else _checked

        @wraps(function)
        def wrapped(*args, **kwargs):
            if args:
                args = check(function.__name__, first, args[0], takes), *args[1:]
            elif first in kwargs:
                kwargs[first] = check(function.__name__, first, kwargs[first], takes)
            with in_style():
                return function(*args, **kwargs)

        return wrapped

    return decorated


def _is_one(value: Any, takes: tuple[str, ...]) -> bool:
    return any(cls.__name__ in takes for cls in type(value).__mro__)


def _checked(function: str, name: str, value: Any, takes: tuple[str, ...], more: str = "") -> Any:
    if not _is_one(value, takes):
        what = " or ".join(f"a {one}, such as {MADE_BY[one]}" for one in takes)
        raise ArgumentError(f"{function} takes as {name} {what}{more}; got {_short(value)}.")
    return value


def _short(value: Any) -> str:
    """The type of an object, and a short value itself."""
    kind = "None" if value is None else f"a {type(value).__name__}"
    return f"{kind}: {shown(value)}" if isinstance(value, (str, int, float, list, tuple)) else kind


def _as_results(function: str, name: str, value: Any, takes: tuple[str, ...]) -> dict[str, Any]:
    if _is_one(value, takes):
        return {value.algorithm: value}
    if not isinstance(value, Mapping):
        _checked(function, name, value, takes, ", or several of them by name")
    results = {str(key): _checked(function, f"{name}[{shown(key)}]", one, takes) for key, one in value.items()}
    if not results:
        raise ArgumentError(f"{function} takes at least one result as {name}; the mapping is empty.")
    return results


def shared_table(results: Results) -> Table:
    """The data of the first result, whose features all results share, or an `ArgumentError`."""
    tables = [result.table for result in results.values()]
    if len({table.features for table in tables}) > 1:
        raise ArgumentError(f"The results must be of the same features; those of {', '.join(results)} differ.")
    return tables[0]


def is_point(result: Any) -> bool:
    """Whether a result is one estimate, without draws."""
    return np.ndim(result.params.weights) == 1


def has_chains(result: Any) -> bool:
    """Whether draws come from chains. Draws of an approximation are independent."""
    return not hasattr(result, "pareto_k")


def feature_indices(features: Any, names: tuple[str, ...], most: int, exactly: int | None = None) -> list[int]:
    """Indices of the features to show: those that the user names or numbers, else the first few.

    Raises
    ------
    ArgumentError
        If a feature is not in the data, or stands twice, or their number is not `exactly` this.
    """
    if features is None:
        return list(range(min(len(names), most)))
    given = as_list("features", [features] if isinstance(features, (str, int, np.integer)) else features)
    indices = [_index(feature, names) for feature in given]
    if not indices or len(set(indices)) < len(indices) or exactly not in (None, len(indices)):
        count = "different names or indices" if exactly is None else f"{exactly} different names or indices"
        raise ArgumentError(f"features must be {count} of columns, got {shown(features)}.")
    return indices


def _index(feature: Any, names: tuple[str, ...]) -> int:
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    whole = isinstance(feature, (int, np.integer)) and not isinstance(feature, bool)
    if not whole or not 0 <= int(feature) < len(names):
        listed = ", ".join(map(shown, names[:8])) + (", …" if len(names) > 8 else "")
        raise ArgumentError(
            f"features must be names of columns ({listed}) or indices of at most {len(names) - 1}, "
            f"got {shown(feature)}."
        )
    return int(feature)


def left_out(
    indices: list[int], names: tuple[str, ...], shown: int = 0, total: int = 0, what: str = "rows", why: str = ""
) -> str:
    """What a figure leaves out: "first 2 of 8 features; 5,000 of 20,000 rows"; an empty text if nothing."""
    count = f"{shown:,} of {total:,} {what}" if shown < total else ""
    return "; ".join(part for part in (features_note(indices, names, why), count) if part)


def features_note(indices: list[int], names: tuple[str, ...], why: str = "") -> str:
    """Which features a figure shows, if not all: "first 4 of 8 features"; else an empty text. ``why``: their choice."""
    count = len(indices)
    if count == len(names):
        return ""
    if why:
        return f"{count} of {len(names)} features, those {why}"
    if indices == list(range(count)):
        return f"first {count} of {len(names)} features" if count > 1 else f"first of {len(names)} features"
    return f"{', '.join(for_figure(names[i], 20) for i in indices)}: {count} of {len(names)} features"
