"""What a checkpoint compares, so that a run goes on only as itself."""

from typing import Any

import jax

from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.problem import Model
from bayesgmm.runtime.fingerprint import fingerprint, fingerprint_of_seed
from bayesgmm.version import __version__


def run_identity(model: Model, algorithm: str, seed: Any, **settings: Any) -> dict[str, Any]:
    """Everything that determines a run, in short form: model, data, seed, and its settings."""
    return {
        "bayesgmm": __version__,
        "jax": jax.__version__,
        "algorithm": algorithm,
        **settings,
        "covariance_type": model.family.name,
        "seed": fingerprint_of_seed(seed),
        "data": fingerprint_of_table(model.table),
        "prior": fingerprint(model.prior),
    } | ({} if model.fixed is None else {"fixed": fingerprint(model.fixed.parts)})
