"""The table of criteria: what each needs, and the function that gives its answer.

A further criterion is one row. Its function takes its name and the `Work`, and returns an `Answer`; `ranked` makes one
from a value (and a standard error) for each candidate. ``dataclasses.replace(answer, unit="probability", decimals=3)``
says how values that are no log densities are shown. The draws of each candidate are ``work.draws()``.
"""

from collections.abc import Callable
from typing import NamedTuple

from bayesgmm.data.kinds import CLASSES_DRAWN, LABELS, NOISE, WEIGHTS
from bayesgmm.model_choice.answers import Answer
from bayesgmm.model_choice.penalised import bootstrap_sequence, information
from bayesgmm.model_choice.predictive import held_out, k_fold, leave_one_out
from bayesgmm.model_choice.probable import evidence_of_each, posterior_of_clusters
from bayesgmm.model_choice.work import Work

FITS, DRAWS, DATA = "fits", "draws", "data"
"""What a criterion needs: the table of fits, draws of every candidate, or the data only."""


class Criterion(NamedTuple):
    """One way to choose the number of components."""

    needs: str
    """One of `FITS`, `DRAWS`, `DATA`."""
    answer: Callable[[str, Work], Answer]
    question: str
    """What it answers, in a line."""
    refuses: tuple[str, ...] = ()
    """Kinds of rows that it does not take (`bayesgmm.data.kinds`)."""
    plain: bool = False
    """Whether it takes complete rows that count once only."""
    exact: bool = False
    """Whether it needs draws of the posterior itself, and not of an approximation."""


NO_CLUSTERS = tuple(dict.fromkeys((*CLASSES_DRAWN, LABELS, NOISE)))
"""Kinds of rows that the telescoping sampler does not take."""

CRITERIA = {
    "bic": Criterion(FITS, information, "the most probable model, by a large-sample approximation (Schwarz 1978)"),
    "icl": Criterion(FITS, information, "how many clusters are well apart (Biernacki, Celeux & Govaert 2000)"),
    "soft_icl": Criterion(FITS, information, "the same, with the entropy of the classes (McLachlan & Peel 2000)"),
    "aic": Criterion(FITS, information, "the best predictions at the estimate, for many rows (Akaike 1974)"),
    "aicc": Criterion(FITS, information, "the same for few rows (Hurvich & Tsai 1989)"),
    "lrt": Criterion(FITS, bootstrap_sequence, "the first K that a test does not reject (McLachlan 1987)", plain=True),
    "loo": Criterion(DRAWS, leave_one_out, "the best predictions by leave-one-out (Vehtari et al. 2017)", (WEIGHTS,)),
    "kfold": Criterion(DRAWS, k_fold, "the best predictions by cross-validation, with refits", (WEIGHTS,)),
    "held_out": Criterion(DRAWS, held_out, "the best predictions of rows that are held out; for many rows", (WEIGHTS,)),
    "evidence": Criterion(
        DRAWS, evidence_of_each, "the most probable model, if all are equal before", CLASSES_DRAWN, exact=True
    ),
    "posterior_of_k": Criterion(FITS, posterior_of_clusters, "the probability of each number of clusters", NO_CLUSTERS),
}  # fmt: skip
