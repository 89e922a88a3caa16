"""Uploads go to a file of the workspace before anything looks at them."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fastapi import UploadFile

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES

CHUNK = 1024 * 1024


def base_name(file: UploadFile) -> str:
    """A client's file name without folders; it may come as a whole path of the reader's machine, of any system."""
    return PurePosixPath((file.filename or "").replace("\\", "/")).name


def image_suffix(file: UploadFile) -> str:
    """The suffix of an image that is sent; all that is used of its name.

    Raises
    ------
    InvalidInput
        It is none that is read here.
    """
    name = base_name(file).lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(
        f"an image is sent as one file that ends in {', '.join(SUFFIXES)}; this one is called {name[-60:]!r}"
    )


def image_name(file: UploadFile) -> str:
    """A client's own name for an image that it sends without one: the file's name without its suffix."""
    return base_name(file)[: -len(image_suffix(file))]


def save(file: UploadFile, target: Path) -> Path:
    """Write an upload to a file.

    Raises
    ------
    InvalidInput
        It is empty.
    """
    source: BinaryIO = file.file
    with target.open("wb") as output:
        shutil.copyfileobj(source, output, CHUNK)
    if target.stat().st_size == 0:
        raise InvalidInput("the uploaded file is empty; save the image or the segmentation again and send it again")
    return target
