"""Uploads go to a file of the workspace before anything looks at them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from mrseg_label.errors import InvalidInput

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def suffix_of(file_name: str | None, default: str = ".nii.gz") -> str:
    """The suffix of a client's file name, which may be a whole path of the reader's machine and is used for nothing else."""
    lowered = (file_name or "").lower()
    for suffix in SUFFIXES:
        if lowered.endswith(suffix):
            return suffix
    return default


def save(stream: BinaryIO, target: Path) -> Path:
    """Write an upload to a file.

    Raises
    ------
    InvalidInput
        It is empty.
    """
    with target.open("wb") as output:
        shutil.copyfileobj(stream, output, 1024 * 1024)
    if target.stat().st_size == 0:
        raise InvalidInput("the uploaded file is empty; save the image or the segmentation again and send it again")
    return target
