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

from mrseg_label.errors import InvalidInput, TooLarge
from mrseg_label.imaging.dicom.files import BROKEN, parse
from mrseg_label.imaging.dicom.frames import Frame
from mrseg_label.imaging.dicom.grid import directions_of, grid_of_slices
from mrseg_label.imaging.dicom.stacks import SAME_PLACE_MM
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import check_values, compact


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
    normal = directions_of(first.directions)[2]
    placed = sorted(frames, key=lambda frame: (float(np.dot(frame.position, normal)), frame.file, frame.index))
    placed, warnings = _without_duplicates(placed, normal)
    geometry, corrections = grid_of_slices(
        first.directions, first.spacing_mm, (first.columns, first.rows), [frame.position for frame in placed]
    )
    return placed, geometry, warnings + corrections


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
