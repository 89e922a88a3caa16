"""Whether two images are the same scan, in whatever order of axes and type of values they are stored."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import every_orientation

# Rounding of float32, as a fraction of the largest value.
_SAME_VALUE = 1e-6
_INT16_VALUES = 2**16


class Relation(StrEnum):
    """How an image is related to another with the same voxels."""

    SAME = "same"
    MOVED = "moved"
    FLIPPED = "flipped"


def fingerprint(array: NDArray[Any]) -> str:
    """Compute a digest that the same scan has in every order and direction of its axes, as integers or as float32.

    It is the SHA-256 of the values that occur, how often each does, and the largest and smallest value of each slice
    along each axis. Other scans may share it in theory; :func:`relation` decides.

    Parameters
    ----------
    array : (X, Y, Z) of finite values.
    """
    values, counts = _values(array)
    profiles = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        profile = _as_float32(np.stack([array.max(axis=others), array.min(axis=others)]))
        profiles.append(min(profile.tobytes(), np.ascontiguousarray(profile[:, ::-1]).tobytes()))
    digest = hashlib.sha256(_as_float32(values).tobytes() + counts.astype("<u8").tobytes())
    for data in sorted(profiles):
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def relation(array: NDArray[Any], geometry: Geometry, other: NDArray[Any], other_geometry: Geometry) -> Relation | None:
    """Compare two images.

    Parameters
    ----------
    array, other : (X, Y, Z), each on its grid.

    Returns
    -------
    SAME if every voxel has the same value in the same place; MOVED if the voxels agree and the axes
    have the same directions, but not the same place or spacing; FLIPPED if the voxels agree only with axes flipped or
    exchanged against what the headers say; None for other images.
    """
    found: Relation | None = None
    for turned, grid in every_orientation(other, other_geometry):
        if turned.shape != array.shape or not _agree(array, turned):
            continue
        if grid.matches(geometry):
            return Relation.SAME
        if grid.axcodes == geometry.axcodes:
            found = Relation.MOVED
        found = found or Relation.FLIPPED
    return found


def _values(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values that occur, sorted, and how often each does."""
    if array.dtype == np.int16:  # counted instead of sorted, a slice at a time to save memory
        counts = np.zeros(_INT16_VALUES, dtype=np.int64)
        for plane in range(array.shape[2]):
            shifted = array[:, :, plane].ravel().astype(np.int32) + _INT16_VALUES // 2
            counts += np.bincount(shifted, minlength=_INT16_VALUES)
        present = np.flatnonzero(counts)
        return (present - _INT16_VALUES // 2).astype(np.int16), counts[present]
    values, counts = np.unique(_as_float32(array), return_counts=True)
    return values, counts


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Convert to the form of values that is hashed; 0 and -0 are one value."""
    converted: NDArray[np.float32] = array.astype("<f4") + np.float32(0)
    return converted


def _agree(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether all values are equal, up to the rounding of float32; both arrays have the same shape."""
    tolerance = _SAME_VALUE * max(abs(float(one.max())), abs(float(one.min())))

    def agree(first: NDArray[Any], second: NDArray[Any]) -> bool:
        return float(np.abs(first.astype(np.float64) - second).max()) <= tolerance

    # A line through the middle tells most other orientations apart, before all voxels are compared slice by slice.
    line = (slice(None), one.shape[1] // 2, one.shape[2] // 2)
    return agree(one[line], other[line]) and all(agree(one[..., k], other[..., k]) for k in range(one.shape[2]))
