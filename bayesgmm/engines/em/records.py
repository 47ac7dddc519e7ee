"""The records of EM and its relatives: what `compare` and the command line run."""

from dataclasses import replace
from functools import partial
from typing import Any

from bayesgmm.data.kinds import CLASSES_DRAWN, COPIES_DRAWN
from bayesgmm.engines.em.copies import fit_mcem, fit_same
from bayesgmm.engines.em.fit_em import fit_em
from bayesgmm.engines.engine import Engine
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.families import CONJUGATE
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.progress import Progress


def _like(fit: MixtureFit, reference: Any) -> MixtureFit:
    """The fit with its components numbered as in ``reference``."""
    if reference is None:
        return fit
    target = reference.params if isinstance(reference, MixtureFit) else reference
    return replace(fit, params=permute(fit.params, align(fit.params, target, fit.model.interchangeable)))


def _run(
    x: Any, n_components: int, *, function: Any = fit_em, reference: Any = None, progress_bar: Progress = None,
    **arguments: Any,
) -> MixtureFit:  # fmt: skip
    return _like(function(x, n_components, progress_bar=progress_bar, **arguments), reference)


def _run_mle(
    x: Any, n_components: int, *, prior: Any = None, reference: Any = None, progress_bar: Progress = None,
    **arguments: Any,
) -> MixtureFit:  # fmt: skip
    """Maximum likelihood, whatever the prior of the other engines."""
    del prior
    if callable(progress_bar):
        listener = progress_bar
        progress_bar = lambda label, done, total, note: listener("mle", done, total, note)  # noqa: E731
    return _run(x, n_components, prior=None, reference=reference, progress_bar=progress_bar, **arguments)


def _point(
    name: str, title: str, run: Any, needs: Conjugacy = Conjugacy.CONDITIONAL, passes_to: Any = fit_em, **more: Any
) -> Engine:  # fmt: skip
    """A record of an engine with a point estimate from several starts."""
    return Engine(name, title, run, ("n_init",), draws=False, needs=needs, passes_to=passes_to, **more)


EM = _point("em", "EM, maximum a posteriori", _run, flat_title="EM, maximum likelihood (flat prior)", from_disk=True)
MLE = Engine(
    "mle", "EM, maximum likelihood (flat prior)", _run_mle, ("n_init",), draws=False, uses_prior=False,
    passes_to=fit_em, from_disk=True,
)  # fmt: skip
CEM = _point(
    "cem", "classification EM", partial(_run, algorithm="cem"), from_disk=True,
    caveat="It maximises the classification likelihood: where classes overlap, its means are too far apart and its "
    "variances too small, or a class stays empty.",
)  # fmt: skip
SEM = _point(
    "sem", "stochastic EM, the best θ visited", partial(_run, algorithm="sem"),
    refuses=CLASSES_DRAWN, from_disk=True,
    caveat="It moves around a mode without end, and this is the best θ that it visited.",
)  # fmt: skip
MCEM = _point(
    "mcem", "Monte Carlo EM, average over the last half of its steps", partial(_run, function=fit_mcem),
    passes_to=fit_mcem,
    refuses=COPIES_DRAWN,
    caveat="It has Monte Carlo error: other seeds give slightly other estimates.",
)  # fmt: skip
SAME = _point(
    "same", "SAME, last draw under a rising number of copies", partial(_run, function=fit_same), Conjugacy.JOINT,
    passes_to=fit_same, families=CONJUGATE, proper=True, refuses=COPIES_DRAWN,
    caveat="It is a draw from the posterior to the power of its last number of copies, near a mode.",
)  # fmt: skip
DAEM = _point("daem", "deterministic annealing EM", partial(_run, algorithm="daem"))
