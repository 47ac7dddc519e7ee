"""How many components: every criterion over the same candidates, side by side."""

from collections.abc import Iterable
from typing import Any

from bayesgmm.data.described import described
from bayesgmm.data.table import as_table
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.errors import SamplingInterrupted
from bayesgmm.model.families import FAMILIES
from bayesgmm.model_choice.answers import Answer, Candidate, nothing
from bayesgmm.model_choice.arguments import (
    check_bootstrap,
    check_criteria,
    check_engine,
    check_models,
    check_prior_of_fits,
    check_rows_left,
)
from bayesgmm.model_choice.criteria import CRITERIA, FITS
from bayesgmm.model_choice.selection import Selection
from bayesgmm.model_choice.work import Work
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.arguments import as_key, check_count
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.selection.fit_table import fit_table


def select(
    x: Any,
    n_components: int | Iterable[int] = range(1, 10),
    *,
    families: str | Iterable[str] | None = None,
    criteria: str | Iterable[str] = ("bic", "icl", "loo"),
    prior: Belief | str | None = None,
    engine: str = "gibbs",
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    n_init: int = 16,
    folds: int = 10,
    held_out: Any = 0.2,
    num_bootstrap: int = 199,
    level: float = 0.05,
    seed: Any = 0,
    progress_bar: Progress = None,
) -> Selection:
    """How many components? Several criteria over the same models, in one table, with how sure each is.

    The criteria answer different questions, and need not agree; see docs/selecting.md.

    Parameters
    ----------
    x
        Data of shape (N, D), or `rows` with what else is known of them.
    n_components
        One K, or several, each once.
    families
        Covariance families: None for free covariances only (``"full"``), ``"all"``, or a selection as for `fit_table`.
        Criteria of draws take those families that `engine` takes.
    criteria
        Of the fits, by `fit_table`: ``"bic"``, ``"icl"``, ``"soft_icl"``, ``"aic"``, ``"aicc"``, and ``"lrt"``, the
        bootstrap likelihood-ratio test of K against K + 1 in sequence (McLachlan 1987; with several families, within
        that of the smallest BIC). Of draws: ``"loo"``, ``"kfold"`` and ``"held_out"``, the expected log density of new
        rows, with stacking weights (Yao et al. 2018); ``"evidence"``, by bridge sampling (`evidence`). Of one run of
        the telescoping sampler with the default prior of K and 4 × ``num_samples`` draws: ``"posterior_of_k"``, the
        probability of each number of clusters (`sample_telescoping`; within one family, as ``"lrt"``).
    prior
        None: fits by maximum likelihood, draws under the default prior. ``"default"`` or a `Prior` that fits every K:
        fits (MAP) and draws under it.
    engine
        What makes the draws, by its name in `compare`: ``"gibbs"``, ``"nuts"``, ``"cavi"``, …
    num_warmup, num_samples, num_chains
        Of the draws of each candidate.
    n_init
        Starts of each fit.
    folds
        Of ``"kfold"``.
    held_out
        For ``"held_out"``: the share of rows that is held out at random, or new rows.
    num_bootstrap, level
        Of ``"lrt"``: data sets for each test, and its level.
    seed, progress_bar
        As for `fit_em`.

    Returns
    -------
    Selection
        ``summary()``, ``conclusion()``, ``best(criterion)``, ``plot()``, ``fits``, ``posteriors``. After Ctrl-C it has
        the criteria that were complete.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before anything is computed, if an input is invalid; see `bayesgmm.model_choice.arguments`.
    CollapseError
        If no cell of the table of fits has a fit.
    SamplingInterrupted
        If stopped before any criterion was complete.
    """
    table = as_table(described(x, None, None, None))
    names = check_criteria(criteria, table)
    sizes, found = check_models(n_components, families, table)
    chains = num_warmup, num_samples, num_chains
    check_prior_of_fits(prior, names)
    record = check_engine(engine, names, found, table, max(sizes), prior, chains)
    num_bootstrap, level = check_bootstrap(num_bootstrap, level, names, sizes)
    folds, left = check_rows_left(folds, held_out, names, table, max(sizes))
    n_init = check_count("n_init", n_init, most=MOST_CHAINS)
    as_key(seed)
    labels = [FAMILIES[name].label(table.dim) for name in found]
    candidates = tuple(Candidate(label, size) for size in sizes for label in labels)
    settings = record.select({"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains})
    with listening(progress_bar) as listener, interruptible() as stop, stopwatch() as clock:
        work = Work(
            table, candidates, prior, record, settings, seed, listener, stop, level, num_bootstrap, folds, left
        )  # fmt: skip
        if any(CRITERIA[name].needs == FITS for name in names):
            work.fits = fit_table(
                table, sizes, found, prior=prior, n_init=n_init, seed=work.key("fits"), progress_bar=listener
            )  # fmt: skip
        answers = {name: _answer(name, work) for name in names}
    if stop.is_set() and all(one.best is None for one in answers.values()):
        raise SamplingInterrupted("Stopped before any criterion was complete. Nothing can be returned.")
    return Selection(candidates, answers, work.fits, work.posteriors, _notes(work), stop.is_set(), clock, seed)


def _answer(name: str, work: Work) -> Answer:
    """The answer of one criterion; none if the run is stopped before it is complete."""
    if not work.stop.is_set():
        try:
            return CRITERIA[name].answer(name, work)
        except SamplingInterrupted:
            pass
    return nothing(name, name, work.candidates, False, ["The run was stopped before."])


def _notes(work: Work) -> tuple[str, ...]:
    """What happened on the way."""
    lines = []
    if work.fits is not None:
        missing = [f"{c.family} {c.n_components} ({c.status})" for c in work.fits.cells if c.fit is None]
        spurious = [f"{c.family} {c.n_components}" for c in work.fits.cells if c.spurious and c.fit is not None]
        if missing:
            lines.append(f"No fit: {_some(missing)}.")
        if spurious:
            lines.append(
                f"A component with too few rows for its covariance: {_some(spurious)}. Such fits are not chosen; "
                "prior='default' bounds the likelihood."
            )
    if work.unmixed:
        lines.append(f"The chains have not mixed: {_some(work.unmixed)}. Draw more (num_warmup, num_samples).")
    lines += [f"No draws or score of {words}: {why}" for words, why in list(work.failures.items())[:4]]
    return tuple(lines)


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
