"""DICOM files to data sets, and what can be wrong with them."""

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

# pydicom warns of every value that breaks the standard, and quotes it, whoever's it is; what matters of it is
# checked here.
logging.getLogger("pydicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"pydicom\.")


# What pydicom and what stands behind it raise for files that are broken in one way or another.
BROKEN = (
    *(InvalidDicomError, EOFError, OSError, zlib.error, struct.error, RecursionError, AssertionError),
    *(AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, NotImplementedError),
)


_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD, _CHUNK = 4096, 1024**2
_MAX_RATIO, _SMALL_BYTES = 200, 64 * 1024**2


class NotAnImage(InvalidInput):
    """A file that is no MR or CT image: a report, a directory, a screenshot, something else altogether."""


class Unusable(InvalidInput):
    """A file of an image that cannot be used: its whole series lacks a slice.

    Attributes
    ----------
    series : SeriesInstanceUID.
    """

    def __init__(self, message: str, series: str) -> None:
        super().__init__(message)
        self.series = series


def parse(data: bytes) -> Dataset:
    """Read the data set of a file, with or without the preamble.

    Raises
    ------
    NotAnImage
        It is not DICOM.
    InvalidInput
        It is damaged.
    """
    bare = data[128:132] != b"DICM"
    if bare and not _looks_bare(data):
        raise NotAnImage("not a DICOM file")
    _check_deflated(data)
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=bare)
        _ = ds.get("SOPClassUID"), ds.get("PixelData")
    except BROKEN as error:
        raise InvalidInput(f"the DICOM file is damaged or truncated ({type(error).__name__})") from error
    return ds


def _check_deflated(data: bytes) -> None:
    """Refuse a data set that would unpack to far more than any image does; pydicom unpacks it whole."""
    if data[128:136] != b"DICM\x02\x00\x00\x00" or _DEFLATED not in data[:_HEAD]:
        return
    start = 144 + int.from_bytes(data[140:144], "little")  # behind the file's meta information
    limit = max(_SMALL_BYTES, len(data) * _MAX_RATIO)
    inflater, unpacked, position = zlib.decompressobj(-zlib.MAX_WBITS), 0, start
    packed = data[position : position + _CHUNK]
    try:
        while packed and not inflater.eof:
            unpacked += len(inflater.decompress(packed, _CHUNK))
            if unpacked > limit:
                raise InvalidInput(f"the DICOM file unpacks to more than {limit:,} bytes; no image does")
            packed = inflater.unconsumed_tail
            if not packed:
                position += _CHUNK
                packed = data[position : position + _CHUNK]
    except zlib.error as error:
        raise InvalidInput("the DICOM file is damaged or truncated (deflated data set)") from error


def _looks_bare(data: bytes) -> bool:
    """Whether a file without preamble begins as old DICOM files do: group 0008 or 0002, small element."""
    return data[:2] in (b"\x08\x00", b"\x02\x00") and data[3:4] == b"\x00" and len(data) > 256
