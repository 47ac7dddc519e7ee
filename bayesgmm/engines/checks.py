"""Argument checks that every engine with draws makes before any work, besides those of its `Engine`."""

from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.types import Params
from bayesgmm.problem import Model
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import as_floats, check_count, check_memory, shown

MOST_CHAINS = 10_000
"""Most chains, replicas or starts of one run: all are in memory at once."""


def check_chain_arguments(num_warmup: int, num_samples: int, num_chains: int, prior: Any) -> None:
    """Refuse chain lengths and priors that no sampler can use."""
    check_count("num_warmup", num_warmup, least=0)
    check_count("num_samples", num_samples)
    check_count("num_chains", num_chains, most=MOST_CHAINS)
    if prior is None:
        raise PriorError(
            "A sampler needs a proper prior. prior=None is the flat prior of maximum likelihood. Under it the "
            "posterior of a mixture is improper. Use prior='default' or a bayesgmm.Prior."
        )


def check_sampled(model: Model, num_chains: int, num_draws: int) -> None:
    """Refuse more draws than fit in memory."""
    k, dim = model.num_components, model.table.dim
    # The draws, their copies in the user's units and after relabelling, and their covariances in the DataTree.
    needed = 4 * 8.0 * num_chains * num_draws * k * (1 + dim + dim**2)
    what = f"{num_chains} chains × {num_draws} draws of {k} components in {dim} dimensions"
    check_memory(what, needed, "Use fewer chains or draws.")


def check_hessian(model: Model) -> None:
    """Refuse a Hessian of all parameters that does not fit in memory, with the derivatives that it is made of."""
    free, size = model.num_parameters, model.num_components * model.table.dim**2
    what = f"The Hessian of {free:,} parameters"
    check_memory(what, 8.0 * free * (free + 8 * size), "Use fit_cavi or a sampler, or a simpler covariance_type.")


def check_reference(reference: MixtureFit | Params | None, model: Model) -> None:
    """Refuse a reference of the wrong shape before any draw is made."""
    if reference is not None and check_params("reference", reference, model).weights.ndim != 1:
        raise ArgumentError("reference must hold one set of parameters, without leading axes.")


def check_params(name: str, value: Any, model: Model) -> Params:
    """θ from a fit or from `Params`. Refuse it if it does not match the model."""
    params = value.params if isinstance(value, MixtureFit) else value
    k, dim = model.num_components, model.table.dim
    shapes = {"weights": (k,), "means": (k, dim), "scale_trils": (k, dim, dim)}
    if not isinstance(params, Params) or any(
        _shape(getattr(params, part))[-len(shape) :] != shape for part, shape in shapes.items()
    ):
        raise ArgumentError(
            f"{name} must be a fit or Params of {k} components in {dim} dimensions, got {_size_of(params)}."
        )
    lead = _shape(params.means)[:-2]
    if len(lead) > 1 or any(_shape(array)[: len(lead)] != lead for array in params):
        raise ArgumentError(
            f"{name} must hold one set of parameters, or one for each chain on a leading axis; it has weights of shape "
            f"{_shape(params.weights)}. Take one draw of each chain, such as Params(*(part[:, -1] for part in params))."
        )
    params = Params(*(as_floats(f"{part} of {name}", array) for part, array in params._asdict().items()))
    finite = all(np.isfinite(part).all() for part in params)
    if not finite or (np.asarray(params.weights) <= 0).any():
        raise ArgumentError(f"{name} must be finite, with weights above 0.")
    if (np.diagonal(np.asarray(params.scale_trils), axis1=-2, axis2=-1) <= 0).any():
        raise ArgumentError(f"{name} must have positive definite covariances.")
    return params


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of something that should be an array; () if it has none."""
    try:
        return np.shape(value)
    except ValueError:  # ragged
        return ()


def _size_of(value: Any) -> str:
    """What a start is, in words."""
    shape = _shape(getattr(value, "means", None))
    return f"{shape[-2]} components in {shape[-1]} dimensions" if len(shape) >= 2 else shown(value)
