"""What became of a call: a right result, a typed error, or a fault (and which)."""

import contextlib
import dataclasses
import io
import re
import resource
import signal
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np

from bayesgmm import errors

FAULTS = ("foreign", "accepted", "not finite", "warning", "slow", "memory", "crash", "harness")
MUCH = 2 * 2**20
"""Kilobytes by which the memory of the process may grow in one call."""
OURS = tuple(one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Warning))
MAY_BE_MISSING = re.compile(
    r"r_hat|ess_|mcse|rhat|smallest_bfmi|khat|pareto|trace|basins|frame|table|ranking|cells|adjusted|pit|view|drift|stacking"
    r"|ambiguity|exchange|separation|summary|costs|convergence|settings|model|clock|observed|components_by_group|by_group|dataset"
    r"|answers|fall by"
)
"""Parts of results that are documented as NaN or infinite where they are not defined, such as R-hat of few draws."""

TABLES = ("Comparison.costs", "Comparison.estimates", "Comparison.summary", "Comparison.to_frame",
          "Comparison.to_dataframe", "Study.to_dataframe", "FitTable.to_dataframe",
          "Diagnosis.summary", "FitTable.frame", "Selection.to_dataframe",
          "rows", "Study.replicates", "Study.to_frame", "Study.parameters", "Study.parting")  # fmt: skip
"""Tables with gaps where an engine has no such figure, and rows with gaps."""


class Outcome(NamedTuple):
    """What became of one call."""

    sort: str
    """fine, typed, or one of `FAULTS`."""
    error: str = ""
    place: str = ""
    """Last line of the package in the traceback."""
    message: str = ""


class TooSlow(BaseException):
    """The time of a call is over."""


@contextlib.contextmanager
def at_most(seconds: float):
    """Raise `TooSlow` after this time of the processor, or three times as much on the clock (machines are shared)."""

    def late(*_):
        raise TooSlow

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 3.0 * seconds)}
    before = {number: signal.signal(number, late) for number in clocks}
    for timer, limit in clocks.values():
        signal.setitimer(timer, limit, 5.0)
    try:
        yield
    finally:
        for number, (timer, _) in clocks.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def observe(call, must_refuse: bool, seconds: float) -> Outcome:
    """Run a call. Its output is dropped, and its warnings are read."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            with at_most(seconds), contextlib.redirect_stderr(io.StringIO()):
                result = call()
                bad = not_finite(result)
        except errors.BayesGMMError as error:
            return Outcome("typed" if str(error).strip() else "foreign", type(error).__name__, place(error), str(error))
        except TooSlow as error:
            return Outcome("slow", "TooSlow", place(error), f"more than {seconds:.0f} s")
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            return Outcome("foreign", type(error).__name__, place(error), str(error)[:200])
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory > MUCH:
            return Outcome("memory", type(result).__name__)
    if must_refuse:
        return Outcome("accepted", type(result).__name__, "", "")
    if bad:
        return Outcome("not finite", type(result).__name__, bad, "")
    for one in caught:
        if not issubclass(one.category, OURS):
            return Outcome("warning", one.category.__name__, short(one.filename, one.lineno), str(one.message)[:200])
    return Outcome("fine")


def place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/bayesgmm/" in frame.filename]
    return short(ours[-1].filename, ours[-1].lineno) if ours else "outside"


def short(path: str, line: int | None) -> str:
    return f"{path.split('/bayesgmm/')[-1].split('site-packages/')[-1]}:{line}"


def not_finite(value: Any, path: str = "", depth: int = 0) -> str:
    """Where a result holds NaN or an infinity that is not documented; empty if nowhere."""
    if depth > 4 or MAY_BE_MISSING.search(path.rpartition(".")[2]):
        return ""
    if isinstance(value, (float, complex, np.floating, np.ndarray)) or type(value).__module__.startswith("jax"):
        return (path or "itself") if _has_bad(value, log=not path) else ""
    for name, part in _parts(value):
        found = not_finite(part, f"{path}.{name}", depth + 1)
        if found:
            return found
    return ""


def _has_bad(value: Any, log: bool) -> bool:
    """Whether there is NaN or an infinity; a log density, returned as an array, may be -inf."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    if array.dtype.kind not in "fc":
        return False
    return bool((np.isnan(array) | (np.abs(array) == np.inf) & ~(log & (array == -np.inf))).any())


def _parts(value: Any):
    if getattr(value, "on_disk", False) is True:
        return [("moments", value.moments()), ("sample", value.sample)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    if hasattr(value, "_asdict"):
        return list(value._asdict().items())
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if type(value).__module__.startswith("pandas") and hasattr(value, "columns"):
        return [(str(name), value.iloc[:, i].to_numpy()) for i, name in enumerate(value.columns)]
    if type(value).__name__ == "DataTree":
        return list(value.children.items()) + [(name, part.values) for name, part in value.data_vars.items()]
    if type(value).__name__ == "Dataset":
        return [(name, part.values) for name, part in value.data_vars.items()]
    return []
