"""Write an image as a series of DICOM files, one for each slice, without anything that identifies a patient.

A workspace keeps no attributes of the files that an image was imported from. What other objects refer to, such as a segmentation, is
therefore a series that is made of the stored image: its UIDs follow from the names that it is given, so that making it again gives the
same series.

References
----------
DICOM PS3.3, A.4 (MR Image IOD), A.3 (CT Image IOD).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from mrseg_label.imaging.geometry import Geometry

MR_IMAGE, CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4"), UID("1.2.840.10008.5.1.4.1.1.2")
_RAS_TO_LPS = np.diag((-1.0, -1.0, 1.0))
_INT16 = np.iinfo(np.int16)
_MAX_TEXT = 64


@dataclass(frozen=True)
class SeriesNames:
    """What a series that is made of a stored image is called.

    Attributes
    ----------
    patient : code of the participant; it is the patient's id and name.
    study, frame_of_reference, series : texts from which the UIDs follow: the session, the grid that channels share, the image.
    description : of the series, such as the station and the sequence.
    number : of the series.
    is_ct : CT and not MR.
    moment : date and time of the image in the files: when it was imported, since others are not kept.
    """

    patient: str
    study: str
    frame_of_reference: str
    series: str
    description: str
    moment: datetime
    number: int = 1
    is_ct: bool = False


def uid_of(*parts: str) -> str:
    """Make the UID that follows from texts: the same texts give the same UID."""
    return str(generate_uid(entropy_srcs=list(parts)))


def slice_headers(geometry: Geometry, names: SeriesNames) -> list[Dataset]:
    """Make the attributes of the slices of an image, without voxels, in the order of its third axis.

    Rows of a slice run along the second axis of the grid and columns along the first, as in the series that images are imported from.
    """
    lps = _RAS_TO_LPS @ geometry.affine[:3, :]
    x, y, z = geometry.spacing_mm
    directions = [_decimal(value) for value in (*(lps[:, 0] / x), *(lps[:, 1] / y))]
    study, series = uid_of("study", names.patient, names.study), uid_of("series", names.series)
    kind = CT_IMAGE if names.is_ct else MR_IMAGE
    headers = []
    for k in range(geometry.shape[2]):
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID, ds.SOPInstanceUID = kind, uid_of("slice", names.series, str(k))
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID = uid_of("frame of reference", names.frame_of_reference)
        ds.PatientID = ds.PatientName = names.patient[:_MAX_TEXT]
        ds.PatientBirthDate = ds.PatientSex = ds.AccessionNumber = ds.ReferringPhysicianName = ""
        ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "stored without attributes of the source"
        ds.StudyID, ds.Modality = "1", "CT" if names.is_ct else "MR"
        ds.StudyDate, ds.StudyTime = names.moment.strftime("%Y%m%d"), names.moment.strftime("%H%M%S")
        ds.SeriesNumber, ds.InstanceNumber = names.number, k + 1
        ds.SeriesDescription = names.description[:_MAX_TEXT]
        ds.Manufacturer = ds.PositionReferenceIndicator = ds.PatientPosition = ds.Laterality = ""
        ds.ImageType = ["DERIVED", "PRIMARY"]
        ds.ImageOrientationPatient = directions
        ds.ImagePositionPatient = [_decimal(value) for value in lps[:, 3] + k * lps[:, 2]]
        ds.PixelSpacing = [_decimal(y), _decimal(x)]
        ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(z)
        ds.Rows, ds.Columns = geometry.shape[1], geometry.shape[0]
        headers.append(ds)
    return headers


class ImageSeries:
    """The files of an image, in the order of its third axis.

    Values are stored as 16-bit integers. Where they are not whole numbers in that range, they are scaled, and rounded by at most half of
    a 65,535th of their range.

    Parameters
    ----------
    array : (X, Y, Z) int16 or float32.
    """

    def __init__(self, array: NDArray[Any], geometry: Geometry, names: SeriesNames) -> None:
        self._array, self._is_ct = array, names.is_ct
        self._headers = slice_headers(geometry, names)
        self._slope, self._intercept = _scaling(array)

    def __iter__(self) -> Iterator[FileDataset]:
        return map(self.file, range(len(self._headers)))

    def file(self, k: int) -> FileDataset:
        """Make the file of the slice k."""
        header = self._headers[k]
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset("", header, file_meta=meta, preamble=b"\0" * 128)
        ds.is_little_endian, ds.is_implicit_VR = True, False
        plane = self._array[:, :, k].T
        if (self._slope, self._intercept) != (1.0, 0.0):
            plane = np.rint((plane - self._intercept) / self._slope)
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = _decimal(self._slope), _decimal(self._intercept), "US"
        if self._is_ct:
            ds.KVP, ds.AcquisitionNumber = None, None
        else:
            ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "3D"
            ds.EchoTime = ds.RepetitionTime = ds.EchoTrainLength = None
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = np.ascontiguousarray(plane.astype("<i2")).tobytes()
        return ds


def encode(ds: Dataset) -> bytes:
    """Encode a data set as a DICOM file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, write_like_original=False)
    return buffer.getvalue()


def _scaling(array: NDArray[Any]) -> tuple[float, float]:
    """Find slope and intercept with which values fit into 16 bits: 1 and 0 where they do as they are."""
    if array.dtype == np.int16:
        return 1.0, 0.0
    low, high = float(array.min()), float(array.max())
    slope = float(_decimal((high - low) / (int(_INT16.max) - int(_INT16.min))))
    return slope, float(_decimal(low - int(_INT16.min) * slope))


def _decimal(value: float) -> DSfloat:
    """Write a number in the 16 characters that DICOM allows."""
    return DSfloat(float(value), auto_format=True)
