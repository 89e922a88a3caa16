"""Fill closed contours on the voxels of an image.

A voxel is inside if a ray from its centre crosses the contours of its slice an odd number of times. So a contour within another one is a
hole, and so is what a keyhole (a contour that runs to the hole, around it and back along the same line) leaves out. Of a border that
runs through voxel centres, the lower side is inside and the upper one is not, so that neighbours neither overlap nor leave a gap.

References
----------
DICOM PS3.3, C.8.8.6 (ROI Contour). Even-odd rule: Shimrat M. Algorithm 112: position of point relative to polygon.
Commun ACM 1962;5:434. https://doi.org/10.1145/368637.368653
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError
from mrseg_label.imaging.geometry import Geometry

# A contour may be off the middle of its slice, and out of its plane, by this fraction of the distance between slices.
PLANE_TOLERANCE = 0.1
_DECIMALS = 6  # of a voxel; finer differences are rounding


def fill_contours(contours: Sequence[NDArray[np.float64]], image: Geometry) -> NDArray[np.bool_]:
    """Fill the contours of one structure.

    Parameters
    ----------
    contours : closed polygons, each (n, 3) points in RAS mm, in planes of voxels of the image along any of its axes.

    Returns
    -------
    (X, Y, Z) which voxels have their centre inside.

    Raises
    ------
    GeometryError
        A contour is not in a plane of voxels, lies outside the image, or others lie along another axis.
    """
    inverse = np.linalg.inv(image.affine)
    placed = [np.round(points @ inverse[:3, :3].T + inverse[:3, 3], _DECIMALS) for points in contours]
    axis = _axis_of(placed)
    others = [other for other in range(3) if other != axis]
    crossings = np.zeros(np.array(image.shape)[[axis, *others]] + (0, 0, 1), dtype=np.int32)
    for points in placed:
        plane = _plane_of(points[:, axis], image, axis)
        _add_crossings(crossings[plane], points[:, others], image)
    inside = (np.cumsum(crossings[..., :-1], axis=-1) % 2).astype(np.bool_)
    return np.moveaxis(inside, (0, 1, 2), (axis, *others))


def _axis_of(contours: Sequence[NDArray[np.float64]]) -> int:
    """The axis of the image that all contours are perpendicular to."""
    for axis in (2, 1, 0):
        if all(float(np.ptp(points[:, axis])) <= PLANE_TOLERANCE for points in contours):
            return axis
    off = max(float(np.ptp(points, axis=0).min()) for points in contours)
    raise GeometryError(
        f"the contours do not lie in slices of the image: one leaves its plane by up to {off:.2g} voxels; draw them on this image, or "
        "convert the structure to a segmentation in 3D Slicer"
    )


def _plane_of(positions: NDArray[np.float64], image: Geometry, axis: int) -> int:
    middle = float(positions.mean())
    plane = round(middle)
    if abs(middle - plane) > PLANE_TOLERANCE:
        raise GeometryError(
            f"a contour lies between two slices of the image, {abs(middle - plane) * image.spacing_mm[axis]:.3g} mm off the nearer one; "
            "draw the contours on this image, or convert the structure to a segmentation in 3D Slicer"
        )
    if not 0 <= plane < image.shape[axis]:
        raise GeometryError(
            f"a contour lies outside the image: in slice {plane} of {image.shape[axis]} along axis {axis}"
        )
    return plane


def _add_crossings(crossings: NDArray[np.int32], points: NDArray[np.float64], image: Geometry) -> None:
    """Count, for each line of voxels, the edges that a ray meets before each voxel.

    Parameters
    ----------
    crossings : (rows, columns + 1), changed in place.
    points : (n, 2) row and column of the points of a polygon.
    """
    rows, columns = crossings.shape[0], crossings.shape[1] - 1
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < -0.5 - PLANE_TOLERANCE).any() or (high > np.array((rows, columns)) - 0.5 + PLANE_TOLERANCE).any():
        raise GeometryError(f"a contour reaches beyond the image: {image}")
    first, second = points, np.roll(points, -1, axis=0)
    upwards = (first[:, 0] <= second[:, 0])[:, None]
    start, end = np.where(upwards, first, second), np.where(upwards, second, first)
    # The lines from which an edge is met: their rows lie at its lower end or above, and below its upper end.
    begin = np.maximum(np.ceil(start[:, 0]), 0).astype(np.int64)
    stop = np.minimum(np.ceil(end[:, 0]), rows).astype(np.int64)
    counts = np.maximum(stop - begin, 0)
    edge = np.repeat(np.arange(len(points)), counts)
    line = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + begin[edge]
    share = (line - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    met = np.round(start[edge, 1] + share * (end[edge, 1] - start[edge, 1]), _DECIMALS)
    np.add.at(crossings, (line, np.clip(np.ceil(met), 0, columns).astype(np.int64)), 1)
