"""Honest timing on a noisy machine: ours and the peer alternate, medians are taken, and the ratio is what counts."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

LEAST = 0.1
"""Seconds that one timing takes at least: short work is done again and again, as its users do it, and the mean is taken."""


def seconds(work: Callable[[], object], calls: int = 1) -> float:
    """Seconds per call, over so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def alternate(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 7) -> tuple[float, float, float]:
    """Medians of ours and the peer's seconds, and the median of their ratios peer / ours; two rounds first."""
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
