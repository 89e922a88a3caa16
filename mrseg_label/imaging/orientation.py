"""Reorient images exactly: axes are permuted and flipped, voxels are never interpolated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

import nibabel.orientations as nibo
import numpy as np
from numpy.typing import NDArray

from mrseg_label.axis_codes import parse_axcodes
from mrseg_label.errors import GeometryError
from mrseg_label.imaging.geometry import CORNER_TOLERANCE_VOXELS, Geometry, orientation_of

Voxel = TypeVar("Voxel", bound=np.generic)


def reorient(array: NDArray[Voxel], geometry: Geometry, axcodes: str = "RAS") -> tuple[NDArray[Voxel], Geometry]:
    """Reorient an image; every voxel keeps its place in the world.

    Parameters
    ----------
    array : (X, Y, Z), on the grid of ``geometry``.
    axcodes : for example ``"RAS"`` (TotalSegmentator) or ``"LPS"`` (published MRSegmentator weights).

    Returns
    -------
    array : a view of the array with the new axes.
    geometry : its grid. An oblique image gets the nearest axes and stays oblique.
    """
    _check_shape(array, geometry)
    transform = _transform_to(geometry, axcodes)
    return nibo.apply_orientation(array, transform), _transformed(geometry, transform)


def canonical(
    array: NDArray[Voxel], geometry: Geometry, axcodes: str = "RAS"
) -> tuple[NDArray[Voxel], tuple[float, float, float]]:
    """Bring an image into the one form that a network gets, in whatever order and direction its axes are stored.

    Sums and samples of voxels depend on their order in memory, so that is fixed too; and lengths are rounded to
    float32, as NIfTI stores them, so that no rounding of an affine remains.

    Returns
    -------
    array : (X, Y, Z) with the axes ``axcodes``; the first axis varies fastest in memory.
    spacing_mm : of the three axes.
    """
    reoriented, grid = reorient(array, geometry, axcodes)
    x, y, z = (float(np.float32(value)) for value in grid.spacing_mm)
    return np.asfortranarray(reoriented), (x, y, z)


def from_canonical(array: NDArray[Voxel], axcodes: str, geometry: Geometry) -> NDArray[Voxel]:
    """Reorient an array with the axes ``axcodes`` back to an image's own axes; the inverse of :func:`canonical`.

    Parameters
    ----------
    array : (X, Y, Z), made from the image's canonical form.
    geometry : the image's grid.

    Returns
    -------
    The array on the image's grid; the first axis varies fastest in memory.

    Raises
    ------
    GeometryError
        The array does not have the image's shape.
    """
    back = nibo.ornt_transform(nibo.axcodes2ornt(parse_axcodes(axcodes)), orientation_of(geometry.affine))
    restored: NDArray[Voxel] = nibo.apply_orientation(array, back)
    _check_shape(restored, geometry)
    return np.asfortranarray(restored)


def reorient_like(
    array: NDArray[Voxel], geometry: Geometry, target: Geometry, tolerance_voxels: float = CORNER_TOLERANCE_VOXELS
) -> NDArray[Voxel]:
    """Reorient an array to the axes of ``target``, the same grid with its axes in another order or direction.

    Returns
    -------
    A view of the array with the shape of ``target``.

    Raises
    ------
    GeometryError
        The two are not the same grid in any axis order; the message has both geometries.
    """
    for reordered, grid in every_orientation(array, geometry):
        if grid.matches(target, tolerance_voxels):
            return reordered
    raise GeometryError(f"the grids differ in any order of axes: {geometry.difference(target) or geometry}")


def every_orientation(array: NDArray[Voxel], geometry: Geometry) -> Iterator[tuple[NDArray[Voxel], Geometry]]:
    """Yield views of an image with its axes in each of the 48 orders and directions, with their grids."""
    _check_shape(array, geometry)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1.0, -1.0), repeat=3):
            transform = np.array(list(zip(order, flips, strict=True)))
            yield nibo.apply_orientation(array, transform), _transformed(geometry, transform)


def _transform_to(geometry: Geometry, axcodes: str) -> NDArray[np.float64]:
    transform: NDArray[np.float64] = nibo.ornt_transform(
        orientation_of(geometry.affine), nibo.axcodes2ornt(parse_axcodes(axcodes))
    )
    return transform


def _transformed(geometry: Geometry, transform: NDArray[np.float64]) -> Geometry:
    shape = [0, 0, 0]
    for axis, (new_axis, _) in enumerate(transform):
        shape[int(new_axis)] = geometry.shape[axis]
    affine = geometry.affine @ nibo.inv_ornt_aff(transform, geometry.shape)
    return Geometry((shape[0], shape[1], shape[2]), affine)


def _check_shape(array: NDArray[Any], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        raise GeometryError(f"the array has the shape {array.shape}, but its geometry has {geometry.shape}")
