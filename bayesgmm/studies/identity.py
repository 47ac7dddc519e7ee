"""What determines the replicates of a study."""

from typing import Any

import jax

from bayesgmm.runtime.fingerprint import fingerprint
from bayesgmm.studies.replicate import Plan
from bayesgmm.version import __version__


def identity(plan: Plan) -> dict[str, Any]:
    """What must be the same in a study that resumes: not the grid and not the number of replicates."""
    truths = plan.truths
    return {
        "study": "replicates", "bayesgmm": __version__, "jax": jax.__version__,
        "truths": {name: fingerprint(params) for name, params in truths.fixed.items()},
        "truths from prior": None if truths.family_prior is None else fingerprint(truths.family_prior),
        "prior": plan.prior if plan.prior is None or isinstance(plan.prior, str) else fingerprint(plan.prior),
        "covariance_type": plan.covariance_type, "level": plan.level, "em_intervals": plan.em_intervals,
        "test_rows": plan.test_rows, "seed": fingerprint(plan.key_words),
        "engines": {label: [name, _plain(settings)] for label, (name, settings) in plan.engines.items()},
    }  # fmt: skip


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them."""
    simple = (bool, int, float, str, type(None))
    return {name: value if isinstance(value, simple) else fingerprint(value) for name, value in settings.items()}
