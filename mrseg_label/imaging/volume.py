"""Images: one file in, one array with one geometry out; and the one form in which images are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging import nifti
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry, parse_axcodes, resolve_affine, stated_affine
from mrseg_label.imaging.header import Header
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES

_INT16 = np.iinfo(np.int16)
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_WHOLE = 2**24  # up to here float32 holds every whole number


def load_image(
    path: Path, orientation: str | None = None, *, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read an image and decide, once, where its voxels lie.

    Parameters
    ----------
    path : ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``.
    orientation : axis codes such as ``"LPS"`` for a file that gives no orientation of its own.
    max_bytes : largest size of the stored voxels.

    Returns
    -------
    array : (X, Y, Z) real values (scaling applied); int16 where they are whole numbers in its range, else float32.
    geometry : its grid.
    warnings : every conversion and repair, in words.

    Raises
    ------
    GeometryError
        No orientation and none stated, one stated that the file contradicts, sheared axes, zero spacing,
        sform and qform that disagree about a direction.
    InvalidInput
        Anything else that is not one finite, real, three-dimensional, non-constant image.
    TooLarge
        More than ``max_bytes``.
    """
    header = read_header(Path(path))
    geometry, warnings = grid_of(header, orientation)
    array = real_values(header, geometry, header.read_voxels(max_bytes))
    check_values(array, header.path.name)
    _check_float32(array, header.path.name, warnings)
    return compact(array), geometry, warnings


def write_nifti(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write an image or a label map so that every reader sees the same voxels in the same place.

    sform and qform are equal (code 1), lengths in mm, no scaling, and the same image gives the same bytes.
    The file appears whole or not at all (written beside and renamed; not synced to disk).

    Parameters
    ----------
    path : ends in ``.nii.gz`` or ``.nii``.
    array : (X, Y, Z) on the grid of ``geometry``. bool and uint8 are stored as uint8; other values as int16
        where all are whole numbers in its range, else as float32.

    Raises
    ------
    GeometryError
        The array does not have the geometry's shape.
    InvalidInput
        Another suffix, or values that are not real numbers.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InvalidInput(f"{path.name}: images are written as .nii.gz or .nii")
    if array.shape != geometry.shape:
        raise GeometryError(f"{path.name}: the array has the shape {array.shape}, its geometry {geometry.shape}")
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    elif array.dtype.kind not in "iuf":
        raise InvalidInput(f"{path.name}: cannot write voxels of type {array.dtype}")
    nifti.write(path, array if array.dtype == np.uint8 else compact(array), geometry)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """The same values as int16 where all are whole numbers in its range, else as float32."""
    if array.dtype == np.int16:
        return array
    low, high = array.min(), array.max()
    fits = bool(_INT16.min <= low and high <= _INT16.max)  # False for NaN
    if fits and array.dtype.kind == "f":
        fits = all(np.array_equal(plane, np.trunc(plane)) for plane in _planes(array))
    return array.astype(np.int16 if fits else np.float32, copy=False)


def grid_of(header: Header, orientation: str | None = None) -> tuple[Geometry, list[str]]:
    """Resolve the geometry that a header stands for. Raises as :func:`load_image`."""
    name, warnings = header.path.name, list(header.warnings)
    shape = _spatial_shape(header, warnings)
    stated = parse_axcodes(orientation) if orientation else None
    affine = header.affine
    if affine is None and stated is None:
        raise GeometryError(
            f"{name}: the file gives no orientation, so left and right are unknown; state where its axes point "
            "(--orientation, for example LPS)"
        )
    try:
        if affine is None:
            assert stated is not None
            affine = stated_affine(stated, header.spacing_mm, shape)
            warnings.append(
                f"the file gives no orientation; the stated {stated} was taken, "
                "with the origin in the middle of the image"
            )
            stated = None
        affine, repaired = resolve_affine(affine)
        geometry = Geometry(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error
    if stated is not None and stated != geometry.axcodes:
        raise GeometryError(
            f"{name}: the file says that its axes point {geometry.axcodes}, the stated orientation is {stated}"
        )
    return geometry, warnings + repaired


def real_values(header: Header, geometry: Geometry, stored: NDArray[Any]) -> NDArray[Any]:
    """Bring the stored numbers to three axes and apply the header's scaling; float64 if scaled."""
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
                f"{name}: {components} components a voxel (colour, vector or layers); an image here has one"
            )
        warnings.append("an axis of one component was dropped")
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) > 3:
        volumes = int(np.prod(shape[3:], dtype=object))
        raise InvalidInput(f"{name}: holds {volumes} volumes (size {tuple(shape)}); import one volume a file")
    if len(shape) < len(header.shape) - (header.component_axis is not None):
        warnings.append(f"axes of length one were dropped: {tuple(header.shape)} became {tuple(shape)}")
    if len(shape) < 3:
        raise InvalidInput(f"{name}: {len(shape)}D with the size {tuple(shape)}; three axes are needed")
    if min(shape) == 1:
        raise InvalidInput(f"{name}: only one slice (size {tuple(shape)}); at least two along every axis are needed")
    return shape[0], shape[1], shape[2]


def check_values(array: NDArray[Any], name: str) -> None:
    """Raise :class:`InvalidInput` for NaN, infinite values and a constant image (X, Y, Z)."""
    if array.dtype.kind == "f":
        nan = infinite = 0
        for plane in _planes(array):
            if not np.isfinite(plane).all():
                nan += int(np.isnan(plane).sum())
                infinite += int(np.isinf(plane).sum())
        if nan or infinite:
            raise InvalidInput(f"{name}: {nan:,} NaN and {infinite:,} infinite of {array.size:,} voxels")
    if array.min() == array.max():
        raise InvalidInput(f"{name}: all {array.size:,} voxels have the value {array.flat[0]}")


def _check_float32(array: NDArray[Any], name: str, warnings: list[str]) -> None:
    """Refuse values that float32 has no number for, and say where it rounds whole numbers."""
    if array.dtype.itemsize < 4 or array.dtype == np.float32:
        return
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest > _FLOAT32_MAX:
        raise InvalidInput(f"{name}: values up to {largest:.3g}; at most {_FLOAT32_MAX:.3g} can be stored (float32)")
    if largest > _FLOAT32_WHOLE:
        warnings.append("values above 16,777,216 were rounded to float32")


def _planes(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[:, :, k] for k in range(array.shape[2])]
