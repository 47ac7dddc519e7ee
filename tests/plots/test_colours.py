"""Colours of components can be told apart, also by colour-blind readers."""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb

from bayesgmm.plots.style import COMPONENT_COLORS, ENGINE_COLORS

SEEN = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
}  # fmt: skip
"""Linear RGB as it is seen (Machado, Oliveira & Fernandes 2009, severity 1)."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color: str, kind: str) -> np.ndarray:
    """CIELAB of a colour as it is seen."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(SEEN[kind] @ linear, 0.0, 1.0) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.array([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])


def nearest(colors: tuple[str, ...]) -> float:
    return min(
        float(np.linalg.norm(lab(one, kind) - lab(other, kind)))
        for kind in SEEN
        for one, other in combinations(colors, 2)
    )


def test_components_can_be_told_apart():
    assert nearest(COMPONENT_COLORS) >= 17.0
    assert (
        nearest((*COMPONENT_COLORS[:3], "#B8860B")) < 15.0
    )  # the eighth colour of earlier versions: a negative control
    assert not set(COMPONENT_COLORS) & set(ENGINE_COLORS.values())
