"""Read an image file as one array with one geometry, and write images in one canonical form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.axis_codes import parse_axcodes
from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging import nifti
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry, resolve_affine, stated_affine
from mrseg_label.imaging.header import Header
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES

_INT16 = np.iinfo(np.int16)
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_WHOLE = 2**24  # float32 represents every integer up to here


def load_image(
    path: Path, orientation: str | None = None, *, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read an image and determine its geometry.

    Parameters
    ----------
    path : ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``.
    orientation : axis codes such as ``"LPS"``, for a file without an orientation of its own.
    max_bytes : largest size of the stored voxels.

    Returns
    -------
    array : (X, Y, Z) values after scaling; int16 if all are integers in its range, otherwise float32.
    geometry : its grid.
    warnings : the conversions and corrections that were made.

    Raises
    ------
    GeometryError
        The file has no orientation and none is stated, the stated one contradicts the file, the axes are sheared, a
        spacing is zero, or sform and qform disagree about a direction.
    InvalidInput
        The file is not a valid image: three-dimensional, real, finite and not constant.
    TooLarge
        The voxels take more than ``max_bytes``.
    """
    header = read_header(Path(path))
    geometry, warnings = grid_of(header, orientation)
    array = real_values(header, geometry, header.read_voxels(max_bytes))
    check_values(array, header.path.name)
    _check_float32(array, header.path.name, warnings)
    return compact(array), geometry, warnings


def write_nifti(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write an image or a label map so that every program reads the same voxels in the same place.

    sform and qform are equal (code 1), lengths are in mm, values are not scaled, and equal images give equal bytes.
    The file appears complete or not at all: it is written under a temporary name and renamed, but not synced to disk.

    Parameters
    ----------
    path : ends in ``.nii.gz`` or ``.nii``.
    array : (X, Y, Z) on the grid of ``geometry``. bool and uint8 are stored as uint8; other values as int16 if all
        are integers in its range, otherwise as float32.

    Raises
    ------
    GeometryError
        The array does not have the geometry's shape.
    InvalidInput
        The suffix is another one, or the values are not real numbers.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InvalidInput(f"{path.name}: images are written as NIfTI only; use a name ending in .nii.gz or .nii")
    if array.shape != geometry.shape:
        raise GeometryError(
            f"{path.name}: the array has the shape {array.shape}, but its geometry has {geometry.shape}"
        )
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.kind not in "iuf":
        raise InvalidInput(f"{path.name}: voxels of type {array.dtype} cannot be written; convert them to real numbers")
    nifti.write(path, array if array.dtype == np.uint8 else compact(array), geometry)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Convert to int16 if all values are integers in its range, otherwise to float32."""
    if array.dtype == np.int16:
        return array
    low, high = array.min(), array.max()
    fits = bool(_INT16.min <= low and high <= _INT16.max)  # False for NaN
    if fits and array.dtype.kind == "f":
        fits = all(np.array_equal(plane, np.trunc(plane)) for plane in _planes(array))
    return array.astype(np.int16 if fits else np.float32, copy=False)


def grid_of(header: Header, orientation: str | None = None) -> tuple[Geometry, list[str]]:
    """Determine the geometry from a header; parameters, warnings and errors as in :func:`load_image`."""
    name, warnings = header.path.name, list(header.warnings)
    shape = _spatial_shape(header, warnings)
    stated = parse_axcodes(orientation) if orientation else None
    affine = header.affine
    if affine is None and stated is None:
        raise GeometryError(
            f"{name}: the file gives no orientation, so left and right are unknown; state the directions of its axes "
            "(--orientation, for example LPS)"
        )
    try:
        if affine is None:
            assert stated is not None
            affine = stated_affine(stated, header.spacing_mm, shape)
            warnings.append(
                f"the file gives no orientation; the stated {stated} was used, "
                "with the origin at the centre of the image"
            )
            stated = None
        affine, repaired = resolve_affine(affine)
        geometry = Geometry(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error
    if stated is not None and stated != geometry.axcodes:
        raise GeometryError(
            f"{name}: in the file the axes point {geometry.axcodes}, which contradicts the stated orientation {stated}"
        )
    return geometry, warnings + repaired


def real_values(header: Header, geometry: Geometry, stored: NDArray[Any]) -> NDArray[Any]:
    """Reshape the stored numbers to (X, Y, Z) and apply the header's scaling; float64 if scaled."""
    array = stored.reshape(geometry.shape, order="F")
    if (header.slope, header.intercept) == (1.0, 0.0):
        return array
    scaled: NDArray[Any] = array * np.float64(header.slope) + np.float64(header.intercept)
    return scaled


def _spatial_shape(header: Header, warnings: list[str]) -> tuple[int, int, int]:
    name, shape = header.path.name, list(header.shape)
    if header.component_axis is not None:
        components = shape.pop(header.component_axis)
        if components != 1:
            raise InvalidInput(
                f"{name}: each voxel has {components} components (colour, vector or layers); export a single one"
            )
        warnings.append("an axis of one component was dropped")
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) > 3:
        volumes = int(np.prod(shape[3:], dtype=object))
        raise InvalidInput(
            f"{name}: holds {volumes} volumes (size {tuple(shape)}); save each volume as a file of its own"
        )
    if len(shape) < len(header.shape) - (header.component_axis is not None):
        warnings.append(f"axes of length one were dropped: the size {tuple(header.shape)} became {tuple(shape)}")
    if len(shape) < 3:
        raise InvalidInput(f"{name} is {len(shape)}D (size {tuple(shape)}); three axes are needed")
    if min(shape) == 1:
        raise InvalidInput(f"{name} has only one slice (size {tuple(shape)}); at least two along every axis are needed")
    return shape[0], shape[1], shape[2]


def check_values(array: NDArray[Any], name: str) -> None:
    """Raise :class:`InvalidInput` if an image (X, Y, Z) has NaN or infinite values, or is constant."""
    if array.dtype.kind == "f":
        nan = infinite = 0
        for plane in _planes(array):
            if not np.isfinite(plane).all():
                nan += int(np.isnan(plane).sum())
                infinite += int(np.isinf(plane).sum())
        if nan or infinite:
            raise InvalidInput(f"{name} has {nan:,} NaN and {infinite:,} infinite of {array.size:,} voxels")
    if array.min() == array.max():
        raise InvalidInput(f"{name}: all {array.size:,} voxels have the value {array.flat[0]}")


def _check_float32(array: NDArray[Any], name: str, warnings: list[str]) -> None:
    """Refuse values beyond the range of float32, and warn if it rounds integers."""
    if array.dtype.itemsize < 4 or array.dtype == np.float32:
        return
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest > _FLOAT32_MAX:
        raise InvalidInput(f"{name} has values up to {largest:.3g}; at most {_FLOAT32_MAX:.3g} can be stored (float32)")
    if largest > _FLOAT32_WHOLE:
        warnings.append("values above 16,777,216 were rounded to float32")


def _planes(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[:, :, k] for k in range(array.shape[2])]
