"""Slices of a volume in the radiological convention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, reorient


class Plane(Enum):
    """An orthogonal plane; the value is the axis of an RAS array that it cuts."""

    SAGITTAL = 0
    CORONAL = 1
    AXIAL = 2


# Direction at the left, right, top and bottom edge of the picture: the patient's right is on the viewer's left,
# anterior is up or left, the head is up.
EDGES: dict[Plane, tuple[str, str, str, str]] = {
    Plane.AXIAL: ("R", "L", "A", "P"),
    Plane.CORONAL: ("R", "L", "S", "I"),
    Plane.SAGITTAL: ("A", "P", "S", "I"),
}


@dataclass(frozen=True)
class Section:
    """One slice for display.

    Attributes
    ----------
    pixels : (rows, columns); row 0 is the top, column 0 the left of the picture.
    width_mm, height_mm : its size in the patient.
    """

    plane: Plane
    pixels: NDArray[Any]
    width_mm: float
    height_mm: float


def to_ras(array: NDArray[Any], geometry: Geometry) -> tuple[NDArray[Any], Geometry]:
    """Reorder a volume so that its axes run nearest to right, anterior, superior."""
    return reorient(array, geometry, "RAS")


def section(array: NDArray[Any], geometry: Geometry, plane: Plane, index: int) -> Section:
    """Cut a slice out of a volume that is in RAS order.

    Parameters
    ----------
    array : (X, Y, Z) with axes nearest to right, anterior, superior (:func:`to_ras`).
    index : along the axis that the plane cuts.
    """
    cut = np.take(array, index, axis=plane.value)
    # Both remaining axes rise towards R, A or S, which belong at the left or the top edge: reverse both.
    pixels = cut[::-1, ::-1].T
    across, up = (axis for axis in range(3) if axis != plane.value)
    spacing = geometry.spacing_mm
    return Section(plane, pixels, cut.shape[0] * spacing[across], cut.shape[1] * spacing[up])


def window(image: NDArray[Any], low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    """Compute the grey-level window of an image from percentiles of everything but its background.

    Returns
    -------
    black, white : the grey values that are shown as black and as white.
    """
    values = image[image > image.min()]
    if values.size == 0:
        return float(image.min()), float(image.min()) + 1.0
    black, white = np.percentile(values, (low, high))
    return float(black), float(max(white, black + 1e-6))


def richest_index(labels: NDArray[np.integer[Any]], plane: Plane, structures: int) -> int:
    """Find the slice that shows most structures with most area.

    Each area counts by its square root, so that one large organ does not outweigh many small ones.
    """
    along = np.moveaxis(labels, plane.value, 0)
    flat = along.reshape(along.shape[0], -1).astype(np.int64)
    shifted = flat + np.arange(flat.shape[0])[:, None] * (structures + 1)
    counts = np.bincount(shifted.ravel(), minlength=flat.shape[0] * (structures + 1)).reshape(
        flat.shape[0], structures + 1
    )
    score: NDArray[np.float64] = np.sqrt(counts[:, 1:]).sum(axis=1)
    return int(score.argmax())
