"""Parse DICOM files into data sets, and the errors that this can raise."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from mrseg_label.errors import InvalidInput

# pydicom warns of every value that violates the standard and quotes it, even a patient's name. What matters is checked
# here.
logging.getLogger("pydicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"pydicom\.")


# The exceptions that pydicom and its libraries raise for broken files.
BROKEN = (
    *(InvalidDicomError, EOFError, OSError, zlib.error, struct.error, RecursionError, AssertionError),
    *(AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, NotImplementedError),
)


_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD, _CHUNK = 4096, 1024**2
_MAX_RATIO, _SMALL_BYTES = 200, 64 * 1024**2


class NotAnImage(InvalidInput):
    """The file is not an MR or CT image, but for example a report, a directory or a screenshot."""


class NotDicom(NotAnImage):
    """The file is not DICOM."""


class MaskObject(NotAnImage):
    """The file is a segmentation or a structure set: a mask, which belongs to an image.

    Attributes
    ----------
    ds : its data set.
    """

    def __init__(self, message: str, ds: Dataset) -> None:
        super().__init__(message)
        self.ds = ds


class UnusableImage(InvalidInput):
    """The file is an image that cannot be used, so that its series lacks a slice.

    Attributes
    ----------
    series : SeriesInstanceUID of the file.
    """

    def __init__(self, message: str, series: str) -> None:
        super().__init__(message)
        self.series = series


def parse(data: bytes) -> Dataset:
    """Parse the data set of a file, with or without a preamble.

    Raises
    ------
    NotDicom
        The file is not DICOM.
    InvalidInput
        The file is damaged.
    """
    bare = data[128:132] != b"DICM"
    if bare and not _looks_bare(data):
        raise NotDicom("not a DICOM file")
    _check_deflated(data)
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=bare)
        _ = ds.get("SOPClassUID"), ds.get("PixelData")
    except BROKEN as error:
        raise InvalidInput(f"the DICOM file is damaged or truncated ({type(error).__name__})") from error
    return ds


def parse_header(data: bytes) -> Dataset:
    """Parse the data set of a file without its voxels; raises as :func:`parse`."""
    ds = parse(data)
    for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if key in ds:
            del ds[key]
    return ds


def _check_deflated(data: bytes) -> None:
    """Refuse a data set that would unpack to far more than any image, since pydicom unpacks all of it."""
    if data[128:136] != b"DICM\x02\x00\x00\x00" or _DEFLATED not in data[:_HEAD]:
        return
    start = 144 + int.from_bytes(data[140:144], "little")  # after the file meta information
    limit = max(_SMALL_BYTES, len(data) * _MAX_RATIO)
    inflater, unpacked, position = zlib.decompressobj(-zlib.MAX_WBITS), 0, start
    packed = data[position : position + _CHUNK]
    try:
        while packed and not inflater.eof:
            unpacked += len(inflater.decompress(packed, _CHUNK))
            if unpacked > limit:
                raise InvalidInput(f"the DICOM file unpacks to more than {limit:,} bytes, which no image does")
            packed = inflater.unconsumed_tail
            if not packed:
                position += _CHUNK
                packed = data[position : position + _CHUNK]
    except zlib.error as error:
        raise InvalidInput("the DICOM file is damaged or truncated (deflated data set)") from error


def _looks_bare(data: bytes) -> bool:
    """Whether a file without a preamble begins as old DICOM files do: group 0002 or 0008, small element number."""
    return data[:2] in (b"\x08\x00", b"\x02\x00") and data[3:4] == b"\x00" and len(data) > 256
