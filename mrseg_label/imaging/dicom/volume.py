"""Assemble a stack into an image: its grid from ImagePositionPatient alone, its voxels as real values."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from mrseg_label.errors import GeometryError, InvalidInput, TooLarge
from mrseg_label.imaging.dicom.files import BROKEN, parse
from mrseg_label.imaging.dicom.frames import Frame
from mrseg_label.imaging.dicom.stacks import SAME_PLACE_MM
from mrseg_label.imaging.geometry import ROUNDING_TOLERANCE, SHEAR_TOLERANCE, Geometry, resolve_affine
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import check_values, compact

# A slice may be off its place on an even grid by this fraction of the spacing; from the first value on with a warning.
_ROUNDING_SLICES, _UNEVEN_SLICES = 5e-3, 5e-2
_UNIT_TOLERANCE = 1e-2
_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0))


def arrange(frames: Sequence[Frame]) -> tuple[list[Frame], Geometry, list[str]]:
    """Sort the frames of a stack by position, check that they form an even block, and determine its grid.

    Returns
    -------
    frames : in the order of the third axis, which points along the normal of the slices (the cross product of their
        row and column directions).
    geometry : the grid.
    warnings : corrections that were made.

    Raises
    ------
    GeometryError
        Slices are missing, unevenly spaced or shifted sideways (a tilted stack), or there is only one.
    InvalidInput
        Two frames with different voxels are in the same place.
    """
    first = frames[0]
    row, column, normal = _directions(first)
    placed = sorted(frames, key=lambda frame: (float(np.dot(frame.position, normal)), frame.file, frame.index))
    placed, warnings = _without_duplicates(placed, normal)
    if len(placed) < 2:
        raise GeometryError("the stack has only one slice; at least two are needed")
    positions = np.array([frame.position for frame in placed], dtype=np.float64)
    along = positions @ normal
    step = (positions[-1] - positions[0]) / (len(placed) - 1)
    _check_even(along, warnings)
    _check_straight(positions, step, normal)
    between_rows, between_columns = first.spacing_mm
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = row * between_columns, column * between_rows, step
    lps[:3, 3] = positions[0]
    ras = lps.copy()
    ras[:3] = _LPS_TO_RAS @ lps[:3]
    affine, repaired = resolve_affine(ras)
    return placed, Geometry((first.columns, first.rows, len(placed)), affine), warnings + repaired


def load_stack(
    frames: Sequence[Frame], open_file: Callable[[str], bytes], *, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read the voxels of a stack.

    Parameters
    ----------
    open_file : returns the content of a file by its name in the frames.

    Returns
    -------
    array : (X, Y, Z) = (columns, rows, slices), rescaled to real values; int16 if all are integers in its range,
        otherwise float32.
    geometry : its grid.
    warnings : the conversions and corrections that were made.

    Raises
    ------
    GeometryError, InvalidInput
        As :func:`arrange`; or the voxels cannot be read, are constant or not finite.
    TooLarge
        The voxels take more than ``max_bytes``.
    """
    placed, geometry, warnings = arrange(frames)
    if int(np.prod(geometry.shape, dtype=object)) * 4 > max_bytes:
        raise TooLarge(f"the stack of {geometry.shape} voxels is larger than the {max_bytes:,} bytes that are allowed")
    scaled = any((frame.slope, frame.intercept) != (1.0, 0.0) for frame in placed)
    array = np.empty(geometry.shape, dtype=np.float64 if scaled else np.int32, order="F")
    order: dict[str, list[int]] = {}
    for position, frame in enumerate(placed):
        order.setdefault(frame.file, []).append(position)
    for file, slices in order.items():
        planes = _planes(parse(open_file(file)))
        for position in slices:
            frame = placed[position]
            plane = planes[frame.index].T
            array[:, :, position] = plane * frame.slope + frame.intercept if scaled else plane
    check_values(array, "the stack")
    return compact(array), geometry, warnings


def _directions(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    row, column = np.array(frame.directions[:3]), np.array(frame.directions[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(length - 1) for length in lengths) > _UNIT_TOLERANCE:
        raise GeometryError(f"the vectors of ImageOrientationPatient must have unit length: {frame.directions}")
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    size = float(np.linalg.norm(normal))
    if size < 0.5:
        raise GeometryError(f"the directions of rows and columns are not perpendicular: {frame.directions}")
    return row, column, normal / size


def _without_duplicates(placed: list[Frame], normal: NDArray[np.float64]) -> tuple[list[Frame], list[str]]:
    kept: list[Frame] = []
    dropped = 0
    for frame in placed:
        if kept and np.linalg.norm(np.subtract(frame.position, kept[-1].position)) < SAME_PLACE_MM:
            same = frame.pixels == kept[-1].pixels and (frame.slope, frame.intercept) == (
                kept[-1].slope,
                kept[-1].intercept,
            )
            if not same:
                place = float(np.dot(frame.position, normal))
                raise InvalidInput(
                    f"two slices with different voxels lie in the same place, {place:.2f} mm along the stack"
                )
            dropped += 1
            continue
        kept.append(frame)
    return kept, [f"{dropped} slices that occurred twice were dropped"] if dropped else []


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


def _planes(ds: Dataset) -> NDArray[Any]:
    """Read the stored numbers of all frames of a file, (frame, row, column)."""
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    try:
        if syntax is None:
            ds.file_meta = getattr(ds, "file_meta", None) or FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if ds.is_implicit_VR else ExplicitVRLittleEndian
        if syntax is not None and syntax.is_compressed and not syntax.is_deflated and syntax != RLELossless:
            planes = _planes_by_itk(ds)
        else:
            planes = ds.pixel_array
    except (*BROKEN, RuntimeError, MemoryError) as error:
        raise InvalidInput(f"the voxels of a file cannot be read: {error}"[:300]) from error
    return planes if planes.ndim == 3 else planes[np.newaxis]


def _planes_by_itk(ds: Dataset) -> NDArray[Any]:
    """Decompress voxels by GDCM, which is part of SimpleITK, through a file without the patient's attributes."""
    import SimpleITK as sitk

    bare = FileDataset("", {}, file_meta=ds.file_meta, preamble=b"\0" * 128)
    for key in (
        *(
            "SOPClassUID",
            "SOPInstanceUID",
            "Modality",
            "SamplesPerPixel",
            "PhotometricInterpretation",
            "NumberOfFrames",
        ),
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    ):
        if key in ds:
            bare[key] = ds[key]
    bare.is_little_endian, bare.is_implicit_VR = True, False
    buffer = io.BytesIO()
    bare.save_as(buffer, write_like_original=False)
    with tempfile.TemporaryDirectory(prefix="dicom-") as folder:
        file = Path(folder, "voxels.dcm")
        file.write_bytes(buffer.getvalue())
        planes: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    return planes
