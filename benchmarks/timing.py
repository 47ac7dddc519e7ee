"""Honest timing on a noisy machine: ours and the peer alternate, medians are taken, and the ratio is what counts."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternate(ours: Callable[[], object], peer: Callable[[], object], rounds: int = 7) -> tuple[float, float, float]:
    """Medians of ours and the peer's seconds, and the median of their ratios peer / ours; one untimed round first."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, theirs, statistics.median(b / a for a, b in pairs)


def fresh(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Standard output of Python code in a new process."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def row(what: str, ours: float, theirs: float, ratio: float, peer: str) -> None:
    print(f"| {what} | {ours * 1e3:.4g} ms | {theirs * 1e3:.4g} ms | {ratio:.3g}× | {peer} |", flush=True)
