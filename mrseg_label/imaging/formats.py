"""Which formats are read, chosen by suffix and checked against the content."""

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
    """The image suffix of a file's name, one of :data:`SUFFIXES`, whatever its case.

    Raises
    ------
    InvalidInput
        The name has none of them.
    """
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InvalidInput(f"{path.name}: not a name of an image that is read here (known: {', '.join(SUFFIXES)})")


def read_header(path: Path) -> Header:
    """Read a header, chosen by the file's suffix and checked against its content.

    Raises
    ------
    InvalidInput
        No such file, unknown or wrong suffix, or not a header of that format.
    GeometryError
        Spacing or orientation cannot be used.
    """
    suffix = known_suffix(path)
    if not path.is_file():
        raise InvalidInput(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path.name}: the file is empty")
    return _READERS[suffix](path)
