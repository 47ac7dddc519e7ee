"""Starts made from neighbouring numbers of components: a component split in two, or one left out."""

import jax
import numpy as np

from bayesgmm.model.types import Params

SPLITS, DROPS = 3, 2


def resized(best: Params, sizes: list[int], num_classes: int = 0) -> list[Params]:
    """Starts for each size K from K − 1 components (one is split) and from K + 1 (one is dropped); NaN if none.

    The first `num_classes` components are known classes: they keep their numbers, and are not dropped.
    """
    made = []
    for turn in range(SPLITS + DROPS):
        step = -1 if turn < SPLITS else 1
        theta = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), best)
        for i, size in enumerate(sizes):
            if size + step not in sizes:
                continue
            neighbour = sizes.index(size + step)
            source = Params(*(np.array(leaf[neighbour]) for leaf in best))
            if np.isnan(source.weights).any():
                continue
            ranked = np.argsort(source.weights[: size + step])
            if step < 0 and turn < size - 1:
                _split(source, int(ranked[::-1][turn]), size - 1)
            elif step > 0 and turn - SPLITS < len(free := ranked[ranked >= num_classes]):
                _drop(source, int(free[turn - SPLITS]), size)
            else:
                continue
            for whole, part in zip(theta, source, strict=True):
                whole[i] = part
        made.append(theta)
    return made


def _split(theta: Params, k: int, new: int) -> None:
    """Split component `k` along its longest axis into components `k` and `new`, in place."""
    tril = theta.scale_trils[k]
    values, vectors = np.linalg.eigh(tril @ tril.T)
    offset = 0.7 * np.sqrt(values[-1]) * vectors[:, -1]
    theta.weights[[k, new]] = 0.5 * theta.weights[k]
    theta.means[new], theta.means[k] = theta.means[k] + offset, theta.means[k] - offset
    theta.scale_trils[new] = tril


def _drop(theta: Params, k: int, last: int) -> None:
    """Drop component `k`, and replace it by the last one, in place."""
    for part in theta:
        part[k] = part[last]
    theta.weights[last], theta.means[last], theta.scale_trils[last] = 0.0, 0.0, np.eye(theta.means.shape[1])
    theta.weights[:] /= theta.weights.sum()
