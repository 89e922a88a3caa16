"""Save uploads to files of the workspace before anything reads them."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fastapi import UploadFile

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES

CHUNK = 1024 * 1024


def base_name(file: UploadFile) -> str:
    """Return a client's file name without folders: it may be a full path on the reader's machine, of any system."""
    return PurePosixPath((file.filename or "").replace("\\", "/")).name


def image_suffix(file: UploadFile) -> str:
    """Return the suffix of an uploaded image, the only part of its name that is used.

    Raises
    ------
    InvalidInput
        Images with this suffix cannot be read.
    """
    name = base_name(file).lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(f"an image must be one file whose name ends in {', '.join(SUFFIXES)}, not {name[-60:]!r}")


def image_name(file: UploadFile) -> str:
    """Return the name of an image that was sent without one: the file's name without its suffix."""
    return base_name(file)[: -len(image_suffix(file))]


def save(file: UploadFile, target: Path) -> Path:
    """Write an upload to a file.

    Raises
    ------
    InvalidInput
        The upload is empty.
    """
    source: BinaryIO = file.file
    with target.open("wb") as output:
        shutil.copyfileobj(source, output, CHUNK)
    if target.stat().st_size == 0:
        raise InvalidInput("the uploaded file is empty; save the image or the segmentation again, then send it again")
    return target
