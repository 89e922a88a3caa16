"""Small DICOM files for tests: series with a known grid, in folders and zips."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

MR, CT, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
NAME, NUMBER = "Musterfrau^Erika", "H4711-0815"


def noise(seed: int, shape: tuple[int, int, int] = (6, 5, 4)) -> NDArray[np.int16]:
    """Make an image (X, Y, Z) in which no two voxels are equal."""
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.int16)


def series(
    array: NDArray[np.int16],
    *,
    directions: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-30.0, -20.0, 100.0),
    spacing: tuple[float, float] = (2.5, 1.5),
    step: float = 4.0,
    uid: str | None = None,
    study: str = "1.2.3",
    **attributes: Any,
) -> list[FileDataset]:
    """Make one file a slice; ``spacing`` between rows and columns, slices ``step`` mm apart along their normal."""
    row, column = np.array(directions[:3]), np.array(directions[3:])
    normal = np.cross(row, column)
    uid = uid or generate_uid()
    files = []
    for k in range(array.shape[2]):
        position = np.array(origin) + k * step * normal
        ds = empty(MR, study=study, uid=uid)
        ds.ImagePositionPatient = [float(f"{value:.6g}") for value in position]
        ds.ImageOrientationPatient = [float(f"{value:.12g}") for value in directions]
        ds.PixelSpacing = list(spacing)
        ds.InstanceNumber = k + 1
        # Wrong on purpose: the geometry must come from the positions alone.
        ds.SliceLocation, ds.SpacingBetweenSlices, ds.SliceThickness = -k, 99.0, step / 2
        ds.Rows, ds.Columns = array.shape[1], array.shape[0]
        ds.PixelData = np.ascontiguousarray(array[:, :, k].T).tobytes()
        for key, value in attributes.items():
            setattr(ds, key, value)
        files.append(ds)
    return files


def empty(kind: str, *, study: str = "1.2.3", uid: str = "1.2.3.4") -> FileDataset:
    """Make a file for signed 16-bit voxels, complete but for the voxels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = UID(kind), ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, uid, f"{study}.99"
    ds.Modality = "CT" if kind == CT else "MR"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, NUMBER, "19640812"
    ds.PatientSex, ds.PatientAge, ds.StudyDate = "F", "061Y", "20251124"
    ds.SeriesNumber, ds.SeriesDescription = 3, "t1_vibe_tra"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    return ds


def enhanced(array: NDArray[np.int16], order: Sequence[int], *, step: float = 4.0) -> FileDataset:
    """Make one enhanced file with a frame a slice, the frames in the given order."""
    ds = empty(ENHANCED_MR)
    del ds.SeriesDescription
    ds.SeriesDescription = "T2 HASTE"
    ds.Rows, ds.Columns, ds.NumberOfFrames = array.shape[1], array.shape[0], len(order)
    ds.PixelData = b"".join(np.ascontiguousarray(array[:, :, k].T).tobytes() for k in order)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[2.5, 1.5])]
    shared.PixelValueTransformationSequence = [_item(RescaleSlope=2, RescaleIntercept=-5, RescaleType="US")]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        groups = Dataset()
        groups.PlanePositionSequence = [_item(ImagePositionPatient=[-30.0, -20.0, 100.0 + k * step])]
        groups.FrameContentSequence = [_item(StackID="1", InStackPositionNumber=k + 1)]
        frames.append(groups)
    ds.PerFrameFunctionalGroupsSequence = frames
    return ds


def _item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for key, value in attributes.items():
        setattr(ds, key, value)
    return ds


def as_bytes(ds: FileDataset) -> bytes:
    """Encode a file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, write_like_original=False)
    return buffer.getvalue()


def save(folder: Path, files: Sequence[FileDataset], stem: str = "IM") -> Path:
    """Write files without a suffix, as on hospital discs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(files):
        (folder / f"{stem}{number:04d}").write_bytes(as_bytes(ds))
    return folder


def save_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path
