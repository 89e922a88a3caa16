"""Reorient images exactly: axes are permuted and flipped, voxels are never interpolated."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import nibabel.orientations as nibo
import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError
from mrseg_label.imaging.geometry import CORNER_TOLERANCE_VOXELS, Geometry, parse_axcodes

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
    _check_shape(array, geometry)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1.0, -1.0), repeat=3):
            transform = np.array(list(zip(order, flips, strict=True)))
            if _transformed(geometry, transform).matches(target, tolerance_voxels):
                reordered: NDArray[Voxel] = nibo.apply_orientation(array, transform)
                return reordered
    raise GeometryError(f"the grids differ in any order of axes: {geometry.difference(target) or geometry}")


def _transform_to(geometry: Geometry, axcodes: str) -> NDArray[np.float64]:
    transform: NDArray[np.float64] = nibo.ornt_transform(
        nibo.io_orientation(geometry.affine), nibo.axcodes2ornt(parse_axcodes(axcodes))
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
