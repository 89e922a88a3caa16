"""Directions of the axes of a network's arrays."""

from __future__ import annotations

import nibabel.orientations as nibo
import numpy as np
from numpy.typing import NDArray


def network_axes(orientation: str, transpose_forward: tuple[int, ...] | list[int] | None) -> NDArray[np.float64]:
    """Find the directions of a network's three spatial axes, in the form of ``nibabel.orientations``.

    nnU-Net reverses the axes (z, y, x) and then permutes them by ``transpose_forward`` of the plans.
    """
    reversed_codes = orientation[::-1]
    codes = [reversed_codes[axis] for axis in (transpose_forward or (0, 1, 2))]
    axes: NDArray[np.float64] = nibo.axcodes2ornt(codes)
    return axes
