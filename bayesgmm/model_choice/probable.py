"""Probable numbers of components: the evidence of every candidate, and the posterior of the number of clusters."""

import itertools
import warnings
from dataclasses import replace

import numpy as np

from bayesgmm.engines.telescoping.sample_telescoping import sample_telescoping
from bayesgmm.errors import BayesGMMError, SamplingInterrupted
from bayesgmm.marginal_likelihood.evidence import evidence
from bayesgmm.marginal_likelihood.result import Evidence
from bayesgmm.model_choice.answers import Answer, nothing, ranked
from bayesgmm.model_choice.penalised import BARE, GRADES, family_of, within_words
from bayesgmm.model_choice.work import QUIET, Work
from bayesgmm.numerics.mixing import UNMIXED
from bayesgmm.results.posterior import Posterior

POSSIBLE = 0.05
"""Posterior probability from which a number of clusters is not ruled out."""
MORE_DRAWS = 4
"""So many times the draws of a candidate: the number of components mixes more slowly than θ, and takes one run."""


def evidence_of_each(name: str, work: Work) -> Answer:
    """The log evidence of every candidate by bridge sampling, and its probability if all are equal before."""
    values, errors = np.full((2, len(work.candidates)), np.nan)
    notes: list[str] = []
    places = itertools.count()

    def of_one(posterior: Posterior, words: str) -> Evidence:
        work.listener("evidence", next(places), len(work.candidates), words)
        found = evidence(posterior, seed=work.key("evidence"), progress_bar=False)
        notes.extend(f"Evidence of {words}: {note}" for note in found.notes)
        return found

    for i, found in enumerate(work.of_each(work.draws(), of_one)):
        if found is not None:
            values[i], errors[i] = found.log_evidence, found.standard_error
    work.listener("evidence", len(work.candidates), len(work.candidates), "")
    top = np.nanmax(values) if np.isfinite(values).any() else 0.0
    shares = np.exp(values - top)
    return ranked(
        name, "log evidence", work.candidates, values, larger=True, errors=errors,
        errors_of_differences=lambda best: np.hypot(errors, errors[best]),
        close=lambda difference, error: 2.0 * difference < max(BARE, 4.0 * error), say=_say_evidence,
        more={"probability": shares / np.nansum(shares)}, notes=notes,
    )  # fmt: skip


def _say_evidence(best: str, rivals: list, others: list) -> str:
    if not others:
        return f"{best}, the only one."
    if rivals:
        near = ", ".join(f"{what} (−{difference:.1f} ± {error:.2g})" for what, difference, error in rivals)
        return f"{best} is highest, but {near} {'is' if len(rivals) == 1 else 'are'} too close to tell apart."
    what, difference, error = others[0]
    grade = next(word for end, word in GRADES if 2.0 * difference <= end)
    return f"{best}. The next, {what}, is {difference:.1f} ± {error:.2g} behind, {grade} evidence (Kass & Raftery)."


def posterior_of_clusters(name: str, work: Work) -> Answer:
    """The posterior of the number of clusters K₊ under the default prior of K, by the telescoping sampler.

    Within one family: that of the smallest BIC, if there are several.
    """
    title, family = "posterior of K₊", family_of(work)
    chains = {key: work.settings.get(key, value) for key, value in CHAINS.items()}
    try:
        with warnings.catch_warnings():
            for category in QUIET:
                warnings.simplefilter("ignore", category)
            found = sample_telescoping(
                work.table, covariance_type=family, prior="default" if work.prior is None else work.prior,
                seed=work.key("posterior of K"), progress_bar=work.listener,
                **chains | {"num_samples": MORE_DRAWS * chains["num_samples"]},
            )  # fmt: skip
    except SamplingInterrupted:
        raise
    except BayesGMMError as error:
        return nothing(name, title, work.candidates, True, [str(error)])
    table = found.posterior_of_k()
    own = np.array([one.n_components if one.family == family else 0 for one in work.candidates])
    values = np.where(own > 0, table["posterior_clusters"].reindex(own, fill_value=0.0).to_numpy(), np.nan)
    errors = np.where(own > 0, table["error_clusters"].reindex(own).to_numpy(), np.nan)
    components = np.where(own > 0, table["posterior_components"].reindex(own, fill_value=0.0).to_numpy(), np.nan)
    top, beyond = np.nanmax(values), 1.0 - np.nansum(values)
    notes = [] if beyond < 0.01 else [f"K₊: {beyond:.0%} of the posterior is at other numbers than these."]
    notes += [f"K₊: {words}" for words in within_words(work, family)]
    if found.mixing == UNMIXED:
        notes.append("K₊: the chains have not mixed, so that the errors may be too small. Draw more (num_samples).")
    answer = ranked(
        name, title, work.candidates, values, larger=True, errors=errors,
        close=lambda difference, _: top - difference >= POSSIBLE,
        say=lambda best, rivals, others: _say_posterior(best, top, rivals, others),
        more={"P(K)": components}, notes=notes,
    )  # fmt: skip
    return replace(answer, unit="probability", decimals=3)


CHAINS = {"num_warmup": 1000, "num_samples": 1000, "num_chains": 4}


def _say_posterior(best: str, top: float, rivals: list, others: list) -> str:
    if not others:
        return f"{best}, the only one."
    if not rivals:
        return f"{best}, with probability {top:.2f}; no other has {POSSIBLE:g} or more."
    near = ", ".join(f"{what} ({top - difference:.2f})" for what, difference, _ in rivals)
    return f"{best} is most probable ({top:.2f}), but {near} {'is' if len(rivals) == 1 else 'are'} possible."
