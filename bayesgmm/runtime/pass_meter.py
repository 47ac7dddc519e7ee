"""Progress within one pass over rows that are read part by part."""

from collections.abc import Callable
from time import perf_counter

from bayesgmm.runtime.progress_display import duration

INTERVAL = 0.5
"""Least seconds between two reports of a pass, and from its first chunk (which may compile) to the first report."""


def speed(rows: int, seconds: float) -> str:
    """Rows a second, in words."""
    each = rows / max(seconds, 1e-9)
    return f"{each / 1e6:.1f} million rows/s" if each >= 1e5 else f"{each:,.0f} rows/s"


class Meter:
    """Counts the rows of one pass, and tells how far it is: rows done, rows per second, and the time left."""

    def __init__(self, num_rows: int, tell: Callable[[str], None] | None):
        self.num_rows, self.tell, self.done = num_rows, tell, 0
        self.start = self.last = perf_counter()
        self._since: tuple[float, int] | None = None

    def add(self, rows: int) -> None:
        """So many rows more are done."""
        self.done += rows
        now = perf_counter()
        if self._since is None:
            self._since, self.last = (now, self.done), now
        elif self.tell is not None and now - self.last >= INTERVAL and self.done < self.num_rows:
            self.last = now
            seconds, rows = now - self._since[0], self.done - self._since[1]
            left = (self.num_rows - self.done) * seconds / rows
            done = f"this pass: {self.done:,} of {self.num_rows:,} rows"
            self.tell(f"{done}, {speed(rows, seconds)}, about {duration(left)} left")

    @property
    def speed(self) -> str:
        """Rows a second up to now, in words."""
        return speed(self.done, perf_counter() - self.start)
