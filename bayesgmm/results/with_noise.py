"""What results with a noise component show, and how rows of noise are drawn."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.noise import Noise
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.problem import Model
from bayesgmm.runtime.arguments import as_key, derived_key, host_generator

if TYPE_CHECKING:
    import pandas as pd


def components_words(model: Model, weights: Any) -> str:
    """The number of components, and the share of the noise if there is one; weights have the components last."""
    words = f"{model.num_gaussians} component{'' if model.num_gaussians == 1 else 's'}"
    if model.table.noise is None:
        return words
    return f"{words} and noise ({100.0 * float(np.asarray(weights)[..., -1].mean()):.3g} %)"


def component_index(model: Model) -> "pd.Index":
    """The numbers of the components; the last one is called noise if it is."""
    import pandas as pd

    if model.table.noise is None:
        return pd.RangeIndex(model.num_components, name="component")
    return pd.Index([*range(model.num_gaussians), "noise"], name="component")


def without_moments(params: Params, table: Table) -> Params:
    """θ in which the noise has no mean and no spread (NaN); unchanged without noise."""
    if table.noise is None:
        return params
    means, trils = (np.array(part, float) for part in params[1:])
    means[..., -1, :], trils[..., -1, :, :] = np.nan, np.nan
    return params._replace(means=means, scale_trils=trils)  # pyright: ignore[reportArgumentType]


def of_gaussians(name: str, table: Table, num: int) -> bool:
    """Whether a parameter of this name is one of the mixture, and no mean or covariance of the noise."""
    return table.noise is None or not name.startswith((f"means[{num - 1}, ", f"covariances[{num - 1}, "))


def redrawn(noise: Noise | None, seed: Any, z: np.ndarray, x: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes z (…) and rows x (…, D) that were drawn as if all components were Gaussians, with rows of noise redrawn.

    They are uniform over the box of the noise.
    """
    if noise is None:
        return z, x
    uniform = noise.sample(host_generator(derived_key(as_key(seed), 7)), np.shape(z))
    return z, np.where((z == num - 1)[..., None], uniform, x)


def refuse_noise(table: Table | None, what: str) -> None:
    """Refuse a noise component where only Gaussians are taken.

    Raises
    ------
    ArgumentError
        If there is one.
    """
    if table is not None and table.noise is not None:
        raise ArgumentError(
            f"{what} take mixtures of Gaussians only, and this one has a noise component. For the Gaussians alone, "
            "with p = result.params: w = p.weights[..., :-1]; "
            "bayesgmm.from_parameters(w / w.sum(axis=-1, keepdims=True), p.means[..., :-1, :], "
            "p.covariances[..., :-1, :, :], result.table.features)."
        )


def same_box(table: Table, rows: np.ndarray) -> Table:
    """Some rows with the names and the noise of a table, and nothing else that is known."""
    noise = None if table.noise is None else replace(table.noise, guess=None)
    return Table(rows, table.features, noise=noise)
