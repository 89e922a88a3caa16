"""DICOM exports, folders or zips, and the images in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mrseg_label.imaging.dicom import Stack
from mrseg_label.intake.containers import Folder, Zip
from mrseg_label.intake.discover import Found
from mrseg_label.intake.pseudonyms import Redaction


@dataclass(frozen=True)
class Export:
    """A zip, or all DICOM files below one imported folder.

    Attributes
    ----------
    beside : other files in the folders of DICOM files, which are named in the report.
    """

    found: Found
    files: tuple[Found, ...] = ()
    beside: tuple[Found, ...] = ()

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip."""
        return not self.files


@dataclass(frozen=True)
class Volume:
    """A stack with the files that it is read from.

    Attributes
    ----------
    redact : takes what names the patient out of a text.
    session : as a pattern or a UK Biobank zip's name states it.
    """

    stack: Stack
    files: Folder | Zip
    export: Export
    redact: Redaction
    session: str = ""

    @property
    def folders(self) -> set[str]:
        """Folders of the files."""
        return {folder_of(frame.file) for frame in self.stack.frames}

    @property
    def name(self) -> str:
        """Of the zip without suffix, or of the folder that the files lie in."""
        if self.export.is_zip:
            return self.export.found.path.stem
        return self.beside[-1].name

    @property
    def beside(self) -> tuple[Path, ...]:
        """Folders in which something may lie beside the image: the imported one, and that of its files or its zip."""
        found = self.export.found
        if self.export.is_zip:
            return tuple(dict.fromkeys((found.path.parents[len(found.relative.parts) - 1], found.path.parent)))
        base = found.path if found.path.is_dir() else found.path.parent
        return tuple(dict.fromkeys((base, base / folder_of(self.stack.first.file))))

    @property
    def source_digest(self) -> str:
        """SHA-256 over the files that the image is made of, in no order, and the frames in them."""
        parts = sorted(frame.content + frame.index.to_bytes(4, "big") for frame in self.stack.frames)
        return hashlib.sha256(b"".join(parts)).hexdigest()


def folder_of(name: str) -> str:
    """Folder of a file in an export."""
    return PurePosixPath(name).parent.as_posix()
