"""What the criteria work on: candidates, their fits, and draws that are made when a criterion first asks for them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.engines.engine import Engine
from bayesgmm.errors import (
    BayesGMMError,
    LooWarning,
    MixingWarning,
    NotConvergedWarning,
    SamplingInterrupted,
)
from bayesgmm.model_choice.answers import Candidate
from bayesgmm.numerics.mixing import UNMIXED
from bayesgmm.priors.prior import Belief
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, derived_key, host_generator, named_key
from bayesgmm.runtime.progress import Listener
from bayesgmm.selection.cells import Cell, FitTable

QUIET = (MixingWarning, NotConvergedWarning, LooWarning)
"""Warnings that become notes of the selection."""


@dataclass
class Work:
    """Data, candidates and settings; fits and draws as they come."""

    table: Table
    candidates: tuple[Candidate, ...]
    prior: Belief | str | None
    """Of fits: None for maximum likelihood. Draws under None have the default prior."""
    engine: Engine
    """Makes the draws."""
    settings: dict[str, Any]
    """Arguments of the engine."""
    seed: Any
    listener: Listener
    stop: Any
    """The flag of Ctrl-C."""
    level: float
    num_bootstrap: int
    folds: int
    held_out: "float | Table"
    fits: FitTable | None = None
    posteriors: dict[Candidate, Posterior] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why there are no draws, by candidate in words."""
    unmixed: list[str] = field(default_factory=list)
    """Candidates whose chains have not mixed."""
    _trained: dict[Candidate, Posterior] = field(default_factory=dict)

    def key(self, name: str) -> Any:
        """A key for each purpose."""
        return named_key(as_key(self.seed), name)

    @property
    def cells(self) -> dict[Candidate, Cell]:
        """The cells of the table of fits by candidate."""
        return {} if self.fits is None else {Candidate(c.family, c.n_components): c for c in self.fits.cells}

    def draws(self) -> list[Posterior | None]:
        """The posterior of each candidate given all rows; None where the engine failed."""
        return self._all(self.posteriors, self.table, "draws")

    def split(self) -> tuple[Table, Table]:
        """The rows to fit and the rows that are held out."""
        if isinstance(self.held_out, Table):
            return self.table, self.held_out
        num = self.table.num_rows
        count = min(max(1, round(self.held_out * num)), num - 1)
        order = host_generator(self.key("held out")).permutation(num)
        return self.table.take(np.sort(order[count:])), self.table.take(np.sort(order[:count]))

    def of_each(self, posteriors: "list[Posterior | None]", function: Callable[[Posterior, str], Any]) -> list[Any]:
        """``function(posterior, words)`` of each candidate; None where there are no draws, or it failed."""
        found = []
        for candidate, posterior in zip(self.candidates, posteriors, strict=True):
            words = f"{candidate.family} {candidate.n_components}"
            try:
                with warnings.catch_warnings():
                    for category in QUIET:
                        warnings.simplefilter("ignore", category)
                    found.append(None if posterior is None else function(posterior, words))
            except SamplingInterrupted:
                raise
            except BayesGMMError as error:
                self.failures.setdefault(words, str(error))
                found.append(None)
            if self.stop.is_set():
                raise SamplingInterrupted("Stopped before all candidates were scored.")
        return found

    def draws_without(self, train: Table) -> list[Posterior | None]:
        """The posterior of each candidate given some rows."""
        return self.draws() if train is self.table else self._all(self._trained, train, "held out")

    def _all(self, known: dict[Candidate, Posterior], table: Table, what: str) -> list[Posterior | None]:
        found: list[Posterior | None] = []
        for number, candidate in enumerate(self.candidates):
            if candidate not in known:
                self.listener(what, number, len(self.candidates), f"{candidate.family} {candidate.n_components}")
                self._draw(candidate, known, table, what)
            found.append(known.get(candidate))
            if self.stop.is_set():
                raise SamplingInterrupted("Stopped before all draws were made.")
        self.listener(what, len(self.candidates), len(self.candidates), "")
        return found

    def _draw(self, candidate: Candidate, known: dict[Candidate, Posterior], table: Table, what: str) -> None:
        """Run the engine for one candidate, and record what came of it."""
        number, words = self.candidates.index(candidate), f"{candidate.family} {candidate.n_components}"
        try:
            with warnings.catch_warnings():
                for category in QUIET:
                    warnings.simplefilter("ignore", category)
                posterior = self.engine.run(
                    table, candidate.n_components, prior="default" if self.prior is None else self.prior,
                    covariance_type=candidate.family, seed=derived_key(self.key(what), number), progress_bar=False,
                    **self.settings,
                )  # fmt: skip
        except SamplingInterrupted:
            return
        except BayesGMMError as error:
            self.failures[words] = str(error)
            return
        known[candidate] = posterior
        if self.engine.has_warmup and posterior.mixing == UNMIXED and words not in self.unmixed:
            self.unmixed.append(words)
