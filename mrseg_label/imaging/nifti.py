"""Read headers of single-file NIfTI-1 and NIfTI-2, and write NIfTI-1 in one canonical form."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import data_type_codes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.files import replacing
from mrseg_label.imaging.geometry import Affine, Geometry, axcodes_of
from mrseg_label.imaging.header import Encoding, Header, plain_dtype, positive_shape
from mrseg_label.imaging.streams import is_gzip

NiftiHeader = Any  # nibabel's Nifti1Header or Nifti2Header, which carry no types
_MAX_OFFSET = 64 * 1024**2  # header extensions are small; a larger offset is corrupt
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # code 0, unknown, is read as mm
_UNIT_NAME = {1: "metres", 3: "micrometres"}
# By rounding, sform and qform of one file may place a corner voxel this far apart, in voxels.
_AGREEMENT_VOXELS = 0.02
_MAX_AXIS = 32767
_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


def read_header(path: Path) -> Header:
    """Read the header of a ``.nii`` or ``.nii.gz`` file.

    If sform and qform differ, the sform is used and a warning is added.

    Raises
    ------
    InvalidInput
        The file is not NIfTI, or a value in its header is invalid.
    GeometryError
        A spacing is zero, or sform and qform disagree about the direction of an axis.
    """
    compressed = is_gzip(path)
    if compressed != path.name.lower().endswith(".gz"):
        raise InvalidInput(
            f"{path.name}: the content is {'' if compressed else 'not '}compressed by gzip, contrary to the name; "
            f"rename the file to end in {'.nii.gz' if compressed else '.nii'}"
        )
    header = _parse(path, compressed)
    dims = header["dim"].astype(int)
    if not 1 <= dims[0] <= 7:
        raise InvalidInput(f"{path.name}: the header declares {dims[0]} axes; 1 to 7 are possible")
    shape = positive_shape(dims[1 : dims[0] + 1], path)
    dtype = _dtype(header, path)
    offset = float(header["vox_offset"])
    if not header.sizeof_hdr <= offset <= _MAX_OFFSET:
        raise InvalidInput(f"{path.name}: the header is corrupt; it declares that the voxels begin at byte {offset:g}")
    warnings: list[str] = []
    slope, intercept = _scaling(header, path)
    spacing, affine = _geometry(header, shape, path, warnings)
    return Header(
        path=path,
        shape=shape,
        dtype=dtype,
        spacing_mm=spacing,
        affine=affine,
        offset=int(offset),
        encoding=Encoding.GZIP_FILE if compressed else Encoding.RAW,
        slope=slope,
        intercept=intercept,
        warnings=tuple(warnings),
    )


def _parse(path: Path, compressed: bool) -> NiftiHeader:
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            block = file.read(540)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"{path.name}: the beginning of the compressed file is damaged: {error}") from error
    for order, endianness in (("little", "<"), ("big", ">")):
        size = int.from_bytes(block[:4], order)  # type: ignore[arg-type]
        kind, magic = {348: (nib.Nifti1Header, block[344:348]), 540: (nib.Nifti2Header, block[4:8])}.get(
            size, (None, b"")
        )
        if kind is None or len(block) < size:
            continue
        if magic[:3] not in (b"n+1", b"n+2"):
            raise InvalidInput(
                f"{path.name}: not a single-file NIfTI (its magic is {magic!r}); "
                "convert .hdr/.img pairs and ANALYZE files first"
            )
        return _HEADERS[size](binaryblock=block[:size], endianness=endianness, check=False)
    raise InvalidInput(f"{path.name}: the content is not NIfTI; check the name")


def _dtype(header: NiftiHeader, path: Path) -> np.dtype[Any]:
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = np.dtype(data_type_codes.dtype[code])
    except KeyError:
        raise InvalidInput(f"{path.name}: the data type code {code} is unknown") from None
    plain_dtype(dtype, path)
    if int(header["bitpix"]) != 8 * dtype.itemsize:
        raise InvalidInput(
            f"{path.name}: the header declares {int(header['bitpix'])} bits a voxel, "
            f"its data type {dtype} has {8 * dtype.itemsize}"
        )
    ordered: np.dtype[Any] = dtype.newbyteorder(header.endianness)
    return ordered


def _scaling(header: NiftiHeader, path: Path) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):  # not scaled, as the standard and nibabel express it
        return 1.0, 0.0
    if not np.isfinite(slope) or not np.isfinite(intercept):
        raise InvalidInput(
            f"{path.name}: the scaling of the voxels (slope {slope}, intercept {intercept}) is not finite"
        )
    return slope, intercept


def _geometry(
    header: NiftiHeader, shape: tuple[int, ...], path: Path, warnings: list[str]
) -> tuple[tuple[float, ...], Affine | None]:
    code = int(header["xyzt_units"]) & 7
    if code not in _UNIT_MM:
        warnings.append(f"the unit of length has the unknown code {code}; mm is assumed")
    to_mm = _UNIT_MM.get(code, 1.0)
    if code in _UNIT_NAME:
        warnings.append(f"lengths were in {_UNIT_NAME[code]} and were converted to mm")
    axes = min(3, len(shape))
    spacing = header["pixdim"][1 : axes + 1].astype(np.float64) * to_mm
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise GeometryError(
            f"{path.name}: the header gives a spacing of {spacing.tolist()} mm; each must be greater than zero"
        )
    sform = _scaled(header.get_sform(), to_mm) if int(header["sform_code"]) > 0 else None
    qform: Affine | None = None
    if int(header["qform_code"]) > 0:
        if header["pixdim"][0] == 0:  # by the standard, 0 stands for 1
            header["pixdim"][0] = 1
        try:
            qform = _scaled(header.get_qform(), to_mm)
        except (HeaderDataError, ValueError) as error:
            if sform is None:
                raise GeometryError(f"{path.name}: the qform cannot be used and there is no sform: {error}") from error
            warnings.append(f"the qform cannot be used ({error}); the sform was used")
    for name, affine in (("sform", sform), ("qform", qform)):
        if affine is not None and (
            not np.isfinite(affine).all() or np.linalg.norm(affine[:3, :axes], axis=0).min() == 0
        ):
            raise GeometryError(f"{path.name}: the {name} is not finite or has a spacing of zero: {affine.tolist()}")
    if sform is None:
        return tuple(spacing.tolist()), qform
    _compare(sform, qform, spacing, shape, path, warnings)
    return tuple(spacing.tolist()), sform


def _scaled(affine: NDArray[Any], to_mm: float) -> Affine:
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3] *= to_mm
    return scaled


def _compare(
    sform: Affine,
    qform: Affine | None,
    spacing: NDArray[np.float64],
    shape: tuple[int, ...],
    path: Path,
    warnings: list[str],
) -> None:
    axes = len(spacing)
    norms = np.linalg.norm(sform[:3, :axes], axis=0)
    if qform is None:
        if not np.allclose(norms, spacing, rtol=1e-3):
            warnings.append(
                f"the spacing of the sform, {norms.round(5).tolist()} mm, was used "
                f"instead of the header's {spacing.round(5).tolist()} mm"
            )
        return
    cosines = (sform[:3, :axes] * qform[:3, :axes]).sum(axis=0) / (norms * np.linalg.norm(qform[:3, :axes], axis=0))
    # 45 degrees: beyond that, the two give the axis different or opposite names.
    if cosines.min() < np.sqrt(0.5):
        raise GeometryError(
            f"{path.name}: sform and qform disagree about the direction of the axes "
            f"({axcodes_of(sform)} against {axcodes_of(qform)}), so left and right are undefined; "
            f"sform {sform.round(4).tolist()}, qform {qform.round(4).tolist()}; correct the header first"
        )
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
    corners *= np.array([*(n - 1 for n in shape[:axes]), *[0] * (3 - axes)])
    moved = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
    distance = float(np.linalg.norm(moved, axis=1).max())
    if distance > _AGREEMENT_VOXELS * float(norms.min()):
        warnings.append(
            f"sform and qform place corner voxels up to {distance:.3g} mm apart; the sform was used: "
            f"sform {sform.round(4).tolist()}, qform {qform.round(4).tolist()}"
        )


def write(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write voxels, without converting their type, as ``.nii`` or ``.nii.gz``; see :func:`mrseg_label.imaging.volume.write_nifti`."""
    # Slice by slice: no copy of the whole volume.
    write_slabs(path, array.dtype, geometry, (array[:, :, k : k + 1] for k in range(array.shape[2])))


def write_slabs(path: Path, dtype: DTypeLike, geometry: Geometry, slabs: Iterable[NDArray[Any]]) -> None:
    """Write an image that is never in memory as a whole, in the same form as :func:`write`.

    Parameters
    ----------
    slabs : (X, Y, n) each, from the first slice to the last.
    """
    if max(geometry.shape) > _MAX_AXIS:
        raise GeometryError(
            f"{path.name}: NIfTI-1 allows at most {_MAX_AXIS:,} voxels along an axis; this image has {geometry.shape}"
        )
    header: NiftiHeader = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(geometry.shape)
    header.set_qform(geometry.affine, code=1)
    header.set_sform(geometry.affine, code=1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            # No time and no name in the stream, so that equal images give equal bytes.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
                _write_to(packed, header, slabs)
        else:
            _write_to(file, header, slabs)


def _write_to(file: Any, header: NiftiHeader, slabs: Iterable[NDArray[Any]]) -> None:
    file.write(header.binaryblock + b"\0\0\0\0")
    for slab in slabs:
        for k in range(slab.shape[2]):
            file.write(slab[:, :, k].astype(header.get_data_dtype(), copy=False).tobytes(order="F"))
