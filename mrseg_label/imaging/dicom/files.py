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
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=bare)
        _ = ds.get("SOPClassUID"), ds.get("PixelData")
    except BROKEN as error:
        raise InvalidInput(f"the DICOM file is damaged or truncated ({type(error).__name__})") from error
    return ds


def _looks_bare(data: bytes) -> bool:
    """Whether a file without preamble begins as old DICOM files do: group 0008 or 0002, small element."""
    return data[:2] in (b"\x08\x00", b"\x02\x00") and data[3:4] == b"\x00" and len(data) > 256
