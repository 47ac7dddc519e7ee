"""Timing on a noisy machine: bayesgmm and the other program alternate; the result is the median of the ratios."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

LEAST = 0.1
"""Minimum seconds of one timing. Shorter work is repeated, and the time is the mean per call."""


def seconds(work: Callable[[], object], calls: int = 1) -> float:
    """Mean seconds per call over `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def alternate(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 7) -> tuple[float, float, float]:
    """Median seconds of both, and the median ratio peer / ours; two calls of each come first."""
    sides = [(work, max(1, round(LEAST / max(min(seconds(work), seconds(work)), 1e-6)))) for work in (ours, peer)]
    pairs = [tuple(seconds(*side) for side in sides) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, theirs, statistics.median(b / a for a, b in pairs)


def fresh(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Standard output of Python code in a new process."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def row(what: str, ours: float, theirs: float, ratio: float, peer: str) -> None:
    print(f"| {what} | {ours * 1e3:.4g} ms | {theirs * 1e3:.4g} ms | {ratio:.3g}× | {peer} |", flush=True)
