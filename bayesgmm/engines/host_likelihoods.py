"""Log-likelihoods of many θ by one reading of rows over which the host passes."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from bayesgmm.engines.step import KERNELS, asked
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.arguments import as_key, key_array
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.passed import HostRows


def log_likelihoods(params: Params, prior: Belief, rows: HostRows) -> Float[np.ndarray, "L"]:
    """``log p(x | θ)`` of all rows for each θ (leading axis), all standardised."""
    keys = key_array(as_key(0), len(params.weights))
    return np.asarray(rows.total(_ASK(keys, params, prior), KERNELS["em"].assign).stats.value)


def _ask(keys: Any, params: Params, prior: Belief) -> Any:
    return jax.vmap(lambda key, theta: asked(KERNELS["em"], key, theta, prior))(keys, params)


_ASK = Program(_ask)
