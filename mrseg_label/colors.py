"""Colours that people can tell apart, for the structures of a label scheme.

The difference of two colours is CIEDE2000, in which about 1 is just seen side by side and colours under 10 are easily
confused apart from each other: the smallest of that for normal vision and, at half weight, for those without red and
without green cones.

References
----------
Sharma G, et al. The CIEDE2000 color-difference formula. Color Res Appl 2005;30:21-30. https://doi.org/10.1002/col.20070
Machado GM, et al. A physiologically-based model for simulation of color vision deficiency. IEEE Trans Vis Comput Graph
2009;15:1291-1298. https://doi.org/10.1109/TVCG.2009.113
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]  # red, green, blue, 0 to 255

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
# On linear RGB, of complete protanopia and deuteranopia.
_DEFICIENCIES = (
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)
_DEFICIENCY_WEIGHT = 0.5
_STEP = 15  # of the grid of colours to choose from
_LIGHTNESS = (38.0, 92.0)  # visible on black and on grey, and not white
_MIN_CHROMA = 20.0  # grey belongs to the image


def differences(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the difference of every colour of one list (n, 3) to every colour of another (m, 3): (n, m)."""
    smallest = _ciede2000(_lab(_linear(first)), _lab(_linear(second)))
    for matrix in _DEFICIENCIES:
        seen = (np.clip(_linear(colors) @ matrix.T, 0, 1) for colors in (first, second))
        one, other = (_lab(linear) for linear in seen)
        smallest = np.minimum(smallest, _ciede2000(one, other) / _DEFICIENCY_WEIGHT)
    return smallest


def distinct(count: int, taken: Iterable[Color] = ()) -> list[Color]:
    """Choose colours one after the other, each as far as possible from all before it and from those taken."""
    levels = np.arange(0, 256, _STEP, dtype=np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(_linear(candidates))
    usable = (
        (lab[:, 0] >= _LIGHTNESS[0]) & (lab[:, 0] <= _LIGHTNESS[1]) & (np.hypot(lab[:, 1], lab[:, 2]) >= _MIN_CHROMA)
    )
    candidates = candidates[usable]
    nearest = np.full(len(candidates), np.inf)
    for color in taken:
        nearest = np.minimum(nearest, differences(candidates, np.array([color], np.uint8))[:, 0])
    chosen: list[Color] = []
    for _ in range(count):
        best = int(nearest.argmax())
        red, green, blue = candidates[best].tolist()
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, differences(candidates, candidates[best : best + 1])[:, 0])
    return chosen


def _linear(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    encoded = colors.astype(np.float64) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert linear RGB (n, 3) to CIELAB."""
    relative = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _ciede2000(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute CIEDE2000 of every colour of one list in CIELAB (n, 3) and every one of another (m, 3): (n, m)."""
    l1, a1, b1 = (channel[:, None] for channel in first.T)
    l2, a2, b2 = (channel[None, :] for channel in second.T)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.arctan2(b, stretch * a) % (2 * np.pi) for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi  # the shorter way round
    hue = np.where(np.minimum(c1, c2) > 0, h1 + turn / 2, h1 + h2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    of_hue = (
        1
        - 0.17 * np.cos(hue - np.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.radians(6))
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    from_50 = (lightness - 50) ** 2
    in_lightness = (l2 - l1) / (1 + 0.015 * from_50 / np.sqrt(20 + from_50))
    in_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    in_hue = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2) / (1 + 0.015 * chroma * of_hue)
    degrees = np.degrees(hue) % 360
    rotation = (
        -2
        * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
        * np.sin(np.radians(60 * np.exp(-(((degrees - 275) / 25) ** 2))))
    )
    found: NDArray[np.float64] = np.sqrt(
        np.maximum(in_lightness**2 + in_chroma**2 + in_hue**2 + rotation * in_chroma * in_hue, 0)
    )
    return found
