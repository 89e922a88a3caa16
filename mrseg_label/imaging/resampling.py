"""Resample label maps to another spacing, so that every voxel keeps a label that was there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import SPACING_RANGE_MM, Geometry

_AXES = ("RL", "AP", "SI")  # the directions along each of the patient's axes
_SAME = 1e-3  # relative difference of two spacings that are one, rounded


def resample_labels(
    labels: NDArray[np.uint8], geometry: Geometry, spacing_mm: Sequence[float]
) -> tuple[NDArray[np.uint8], Geometry]:
    """Resample a label map (X, Y, Z) by the nearest voxel; the outer edge at its first corner stays where it is.

    Parameters
    ----------
    spacing_mm : left to right, back to front, bottom to top; an oblique or reordered image gets each along its nearest axis.

    Returns
    -------
    labels, geometry : of the new spacing, axes in the same order and direction.

    Raises
    ------
    InvalidInput
        There are not three spacings between 0.01 and 100 mm.
    """
    low, high = SPACING_RANGE_MM
    if len(spacing_mm) != 3 or not all(low <= value <= high for value in spacing_mm):
        raise InvalidInput(
            f"a spacing is three lengths of {low:g} to {high:g} mm (left to right, back to front, bottom to top), not {tuple(spacing_mm)}"
        )
    affine = geometry.affine.copy()
    for axis, (code, old, size) in enumerate(zip(geometry.axcodes, geometry.spacing_mm, geometry.shape, strict=True)):
        new = float(spacing_mm[next(place for place, letters in enumerate(_AXES) if code in letters)])
        if abs(new / old - 1) <= _SAME:
            continue
        count = max(1, round(size * old / new))
        nearest = np.floor((np.arange(count) + 0.5) * new / old).astype(np.intp)
        labels = labels.take(np.minimum(nearest, size - 1), axis)
        step = affine[:3, axis] / old  # of one mm
        affine[:3, axis] = step * new
        affine[:3, 3] += step * (new - old) / 2
    x, y, z = labels.shape
    return labels, Geometry((x, y, z), affine)
