"""The image formats that are read: chosen by the suffix, checked against the content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import metaimage, nifti, nrrd_file
from mrseg_label.imaging.header import Header

_READERS: dict[str, Callable[[Path], Header]] = {
    ".nii.gz": nifti.read_header,
    ".nii": nifti.read_header,
    ".nrrd": nrrd_file.read_header,
    ".mha": metaimage.read_header,
}
SUFFIXES = tuple(_READERS)


def known_suffix(path: Path) -> str:
    """Return the image suffix of a file name, one of :data:`SUFFIXES`, ignoring case.

    Raises
    ------
    InvalidInput
        The name has another suffix.
    """
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InvalidInput(f"{path.name} is not an image file; supported are {', '.join(SUFFIXES)}")


def read_header(path: Path) -> Header:
    """Read the header of an image file.

    Raises
    ------
    InvalidInput
        The file does not exist, or its content does not match its suffix.
    GeometryError
        The spacing or the orientation is invalid.
    """
    suffix = known_suffix(path)
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path.name}: the file is empty")
    return _READERS[suffix](path)
