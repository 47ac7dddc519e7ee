"""The evidence of a model, with its error and what limits it."""

import math
from dataclasses import dataclass

import numpy as np

from bayesgmm.runtime.formatting import for_html, significant, wrapped

ROUNDING = 1e-9
"""Standard errors below this are rounding."""


@dataclass(frozen=True, repr=False)
class Evidence:
    """``log p(x)``: the log marginal likelihood of a model with its prior, in the units of the data."""

    log_evidence: float
    """All constants included. Differences between models of the same rows are log Bayes factors."""
    standard_error: float
    """Monte Carlo standard error of ``log_evidence``; 0 if it is exact, NaN if it is a bound or an approximation."""
    method: str
    """``"bridge"``, ``"thames"``, ``"exact"``, ``"bound"`` or ``"laplace"``."""
    num_draws: int
    """Draws of the posterior that the estimate uses; 0 if it uses none."""
    algorithm: str
    """The engine of the draws."""
    model: str
    """Components and covariances, in words."""
    by_chain: np.ndarray | None
    """The estimate with the draws of each chain alone, (chain,); None for other methods than ``"bridge"``."""
    notes: tuple[str, ...]
    """What a reader must know of this number; empty if there is nothing."""

    @property
    def trusted(self) -> bool:
        """Whether there is no note, and the error is known."""
        return not self.notes and math.isfinite(self.standard_error)

    def _title(self) -> str:
        error = "" if math.isnan(self.standard_error) else f" ± {significant(self.standard_error, 2)}"
        error = " (exact)" if self.standard_error < ROUNDING else error
        digits = 3 if math.isnan(self.standard_error) else _digits(self.standard_error)
        draws = f", {self.num_draws:,} draws" if self.num_draws else ""
        value = f"{self.log_evidence:.{digits}f}{error}"
        return f"log evidence {value} by {self.method}: {self.model}, {self.algorithm}{draws}"

    def __repr__(self) -> str:
        return "\n".join(map(wrapped, (self._title(), *self.notes)))

    def _repr_html_(self) -> str:
        """For Jupyter: the number with its error, and the notes."""
        notes = "".join(f"<li>{for_html(note)}</li>" for note in self.notes)
        return f"<p><b>{for_html(self._title())}</b></p>" + (f"<ul>{notes}</ul>" if notes else "")


def _digits(error: float) -> int:
    """Decimals that an error justifies: two of its digits, at most six."""
    return 6 if error < ROUNDING else min(max(1 - math.floor(math.log10(error)), 0), 6)
