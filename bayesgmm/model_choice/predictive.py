"""Expected log density of new rows: leave-one-out, K-fold, and rows that are held out; stacking weights."""

import numpy as np
from jaxtyping import Float

from bayesgmm.checking.loo import kfold, loo, too_high
from bayesgmm.data.order import same_features
from bayesgmm.model_choice.answers import Answer, ranked
from bayesgmm.model_choice.work import Work
from bayesgmm.results.posterior import Posterior

SMALL = 4.0
"""A difference of elpd below this is small, whatever its standard error (Sivula et al. 2023)."""


def leave_one_out(name: str, work: Work) -> Answer:
    """PSIS-LOO of every candidate."""
    doubtful: list[str] = []

    def score(posterior: Posterior, words: str) -> np.ndarray:
        elpd = loo(posterior, progress_bar=False)
        if bad := len(too_high(elpd)):
            doubtful.append(f"{words}: {bad} of {elpd.n_data_points} rows have a Pareto k-hat above {elpd.good_k:.2f}")
        return elpd.elpd_i.values

    return _answer(name, "LOO elpd", work, work.of_each(work.draws(), score), work.table.num_rows, doubtful)


def k_fold(name: str, work: Work) -> Answer:
    """K-fold cross-validation of every candidate, with the same folds."""
    key = work.key("kfold")

    def score(posterior: Posterior, words: str) -> np.ndarray:
        del words
        return kfold(posterior, k=work.folds, seed=key, progress_bar=False).elpd_i.values

    return _answer(name, f"{work.folds}-fold elpd", work, work.of_each(work.draws(), score), work.table.num_rows, [])


def held_out(name: str, work: Work) -> Answer:
    """The log density of rows that no candidate has seen."""
    train, test = work.split()
    test = same_features(test, work.table)

    def score(posterior: Posterior, words: str) -> np.ndarray:
        del words
        return posterior.score_samples(test)

    scores = work.of_each(work.draws_without(train), score)
    return _answer(name, "held-out log score", work, scores, test.num_rows, [])


Scores = list[np.ndarray | None]
"""The log density of each row under each candidate, (N,); None where there is none."""


def _answer(name: str, title: str, work: Work, scores: Scores, num_rows: int, doubtful: list[str]) -> Answer:
    rows = np.stack([np.full(num_rows, np.nan) if one is None else one for one in scores])
    totals, errors = rows.sum(axis=1), _error_of_sum(rows)
    notes = (
        [f"{title} is unreliable for {'; '.join(doubtful)}. Use criterion kfold, or more draws."] if doubtful else []
    )
    return ranked(
        name, title, work.candidates, totals, larger=True, errors=errors,
        errors_of_differences=lambda best: _error_of_sum(rows - rows[best]),
        close=lambda difference, error: difference < max(SMALL, 2.0 * error), say=_say,
        more={"weight": stacking_weights(rows)}, notes=notes,
    )  # fmt: skip


def _error_of_sum(rows: Float[np.ndarray, "C N"]) -> Float[np.ndarray, "C"]:
    """Standard error of a sum over rows: √N times their sd."""
    num = rows.shape[1]
    return np.sqrt(num * rows.var(axis=1, ddof=1)) if num > 1 else np.full(len(rows), np.nan)


def _say(best: str, rivals: list, others: list) -> str:
    if not others:
        return f"{best}, the only one."
    if not rivals:
        what, difference, error = others[0]
        return f"{best}. The next, {what}, is {difference:.1f} ± {error:.1f} behind, more than its error."
    near = ", ".join(f"{what} (−{difference:.1f} ± {error:.1f})" for what, difference, error in rivals)
    fewest = min(rivals, key=lambda one: int(one[0].split()[0]))[0]
    simplest = min((best, fewest), key=lambda one: int(one.split()[0]))
    rule = f"within {SMALL:g} nats or twice the error"
    return f"{best} is highest, but {near} cannot be told from it ({rule}); the fewest of them is {simplest}."


def stacking_weights(rows: Float[np.ndarray, "C N"]) -> Float[np.ndarray, "C"]:
    """Weights of the mixture of predictive densities with the highest log score (Yao, Vehtari, Simpson & Gelman 2018).

    ``max_w Σ_n log Σ_c w_c p_cn`` over weights that add up to 1: a concave problem. Candidates without a score have
    weight NaN.
    """
    from scipy.optimize import minimize

    weights = np.full(len(rows), np.nan)
    known = np.flatnonzero(np.isfinite(rows).all(axis=1))
    if not len(known):
        return weights
    top = rows[known].max(axis=0)
    shares = np.exp(rows[known] - top)

    def loss(w):
        mixed = np.maximum(w @ shares, np.finfo(float).tiny)
        return -np.log(mixed).mean(), -(shares / mixed).mean(axis=1)

    start = np.full(len(known), 1.0 / len(known))
    found = minimize(
        loss, start, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * len(known),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )  # fmt: skip
    kept = np.clip(found.x, 0.0, None)
    weights[known] = kept / kept.sum()
    return weights
