"""What a client's name for an uploaded file says: the format, and a name for the image."""

from __future__ import annotations

from pathlib import PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX


def base_name(name: str | None) -> str:
    """Return a client's file name without folders: it may be a full path on the reader's machine, of any system."""
    return PurePosixPath((name or "").replace("\\", "/")).name


def image_suffix(name: str | None) -> str:
    """Return the suffix of an uploaded image, the only part of its file name that is used.

    Raises
    ------
    InvalidInput
        Images with this suffix cannot be read.
    """
    lower = base_name(name).lower()
    for suffix in (SEGMENTATION_SUFFIX, *SUFFIXES):  # a segmentation is named as such, so that it is refused as one
        if lower.endswith(suffix):
            return suffix
    raise InvalidInput(f"an image must be one file whose name ends in {', '.join(SUFFIXES)}, not {lower[-60:]!r}")


def image_name(name: str | None) -> str:
    """Return the name of an image that was sent without one: the file's name without its suffix."""
    return base_name(name)[: -len(image_suffix(name))]
