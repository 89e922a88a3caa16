"""Determine the grid of a stack of slices from their positions alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError
from mrseg_label.imaging.dicom.stacks import SAME_PLACE_MM
from mrseg_label.imaging.geometry import ROUNDING_TOLERANCE, SHEAR_TOLERANCE, Geometry, resolve_affine

# A slice may be off its place on an even grid by this fraction of the spacing; from the first value on with a warning.
_ROUNDING_SLICES, _UNEVEN_SLICES = 5e-3, 5e-2
_UNIT_TOLERANCE = 1e-2
_SAME_DIRECTION = 1e-4  # of slices of one object
LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0))


@dataclass(frozen=True)
class SlicePlace:
    """Where a slice lies: ImagePositionPatient, ImageOrientationPatient and PixelSpacing, and its size."""

    position: tuple[float, ...]
    directions: tuple[float, ...]
    spacing_mm: tuple[float, float]
    rows: int
    columns: int


def place_slices(places: Sequence[SlicePlace]) -> tuple[list[int], Geometry]:
    """Sort slices along their normal and determine their grid.

    Returns
    -------
    order : indices of the slices in the order of the third axis.
    geometry : the grid.

    Raises
    ------
    GeometryError
        The slices differ in direction, spacing or size, two are in one place, or they do not form an even block.
    """
    first = places[0]
    normal = directions_of(first.directions)[2]
    for place in places:
        if (place.rows, place.columns) != (first.rows, first.columns) or not np.allclose(
            place.spacing_mm, first.spacing_mm, rtol=1e-4, atol=0
        ):
            raise GeometryError(
                "the slices differ in size or in the spacing of their voxels, so they do not form one block"
            )
        if np.abs(np.subtract(place.directions, first.directions)).max() > _SAME_DIRECTION:
            raise GeometryError("the slices are not parallel, so they do not form one block")
    order = sorted(range(len(places)), key=lambda index: float(np.dot(places[index].position, normal)))
    positions = [places[index].position for index in order]
    for one, other in itertools.pairwise(positions):
        if np.linalg.norm(np.subtract(one, other)) < SAME_PLACE_MM:
            raise GeometryError("two slices are in the same place")
    geometry, _ = grid_of_slices(first.directions, first.spacing_mm, (first.columns, first.rows), positions)
    return order, geometry


def grid_of_slices(
    directions: Sequence[float],
    spacing_mm: Sequence[float],
    size: tuple[int, int],
    positions: Sequence[Sequence[float]],
) -> tuple[Geometry, list[str]]:
    """Determine the grid of slices that are sorted along their normal, and check that they form an even block.

    Parameters
    ----------
    directions : ImageOrientationPatient.
    spacing_mm : between rows, and between columns.
    size : number of columns and of rows.
    positions : ImagePositionPatient of each slice.

    Returns
    -------
    geometry : axes (columns, rows, slices).
    warnings : corrections that were made.

    Raises
    ------
    GeometryError
        Slices are missing, unevenly spaced or shifted sideways (a tilted stack), or there is only one.
    """
    if len(positions) < 2:
        raise GeometryError("the stack has only one slice; at least two are needed")
    row, column, normal = directions_of(directions)
    places = np.array(positions, dtype=np.float64)
    step = (places[-1] - places[0]) / (len(places) - 1)
    warnings: list[str] = []
    _check_even(places @ normal, warnings)
    _check_straight(places, step, normal)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = row * spacing_mm[1], column * spacing_mm[0], step
    lps[:3, 3] = places[0]
    ras = lps.copy()
    ras[:3] = LPS_TO_RAS @ lps[:3]
    affine, repaired = resolve_affine(ras)
    return Geometry((size[0], size[1], len(places)), affine), warnings + repaired


def directions_of(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read ImageOrientationPatient: the directions of a row and of a column, and the normal of the slices, LPS unit vectors.

    Raises
    ------
    GeometryError
        The vectors have not unit length, or are not perpendicular.
    """
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(length - 1) for length in lengths) > _UNIT_TOLERANCE:
        raise GeometryError(f"the vectors of ImageOrientationPatient must have unit length: {tuple(orientation)}")
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    size = float(np.linalg.norm(normal))
    if size < 0.5:
        raise GeometryError(f"the directions of rows and columns are not perpendicular: {tuple(orientation)}")
    return row, column, normal / size


def _check_even(along: NDArray[np.float64], warnings: list[str]) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual < SAME_PLACE_MM:
        raise GeometryError("the slices lie in one plane and do not form a stack")
    wide = [index for index, gap in enumerate(gaps) if gap > 1.5 * usual]
    if wide:
        missing = int(sum(round(float(gaps[index]) / usual) - 1 for index in wide))
        where = ", ".join(f"{along[index]:.2f} and {along[index + 1]:.2f} mm" for index in wide[:3])
        raise GeometryError(
            f"about {missing} slices are missing, between {where} along the stack (the spacing is {usual:.3g} mm)"
        )
    even = along[0] + np.arange(len(along)) * (along[-1] - along[0]) / (len(along) - 1)
    off = float(np.abs(along - even).max()) / usual
    if off > _UNEVEN_SLICES:
        raise GeometryError(
            f"the slices are unevenly spaced ({gaps.min():.3g} to {gaps.max():.3g} mm); slices are missing or misplaced"
        )
    if off > _ROUNDING_SLICES:
        warnings.append(f"slices are off an even grid by up to {off:.2g} of their spacing; the even grid was used")


def _check_straight(positions: NDArray[np.float64], step: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    spacing = float(np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(np.clip(np.dot(step, normal) / spacing, -1, 1))))
    # Making the axes orthogonal turns two of them by half of the tilt each.
    if np.sin(np.radians(tilt)) / 2 > SHEAR_TOLERANCE + ROUNDING_TOLERANCE:
        raise GeometryError(
            f"the stack is tilted: its slices are shifted sideways, {tilt:.1f} degrees off their normal; "
            "resample it to an orthogonal grid"
        )
    line = positions[0] + np.arange(len(positions))[:, None] * step
    off = float(np.linalg.norm(positions - line, axis=1).max())
    if off > _UNEVEN_SLICES * spacing:
        raise GeometryError(f"slices are shifted sideways by up to {off:.2g} mm, so they do not form a straight stack")
