"""The files of one DICOM image, inside its export."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom import Stack, load_stack
from mrseg_label.imaging.dicom.files import parse_header
from mrseg_label.intake.dicom import chaos
from mrseg_label.intake.dicom.exports import Export, folder_of
from mrseg_label.intake.dicom.redaction import Redaction
from mrseg_label.intake.files.containers import Folder, Zip


@dataclass(frozen=True)
class SeriesFiles:
    """A stack of frames with the files that it is read from (:class:`mrseg_label.intake.images.Series`).

    Attributes
    ----------
    stack : the frames of the image.
    files : the opened export.
    redaction : removes what identifies the patient from a text.
    session : as a pattern or the name of a UK Biobank zip states it.
    """

    stack: Stack
    files: Folder | Zip
    export: Export
    redaction: Redaction
    session: str = ""

    @property
    def folders(self) -> set[str]:
        """Folders of the files, inside the export."""
        return {folder_of(frame.file) for frame in self.stack.frames}

    @property
    def name(self) -> str:
        """Name of the zip without suffix, or of the folder that holds the files."""
        if self.export.is_zip:
            return self.export.found.path.stem
        return self.mask_folders[-1].name

    @property
    def mask_folders(self) -> tuple[Path, ...]:
        """Folders in which a mask may lie: the imported one, and that of the files or of the zip."""
        found = self.export.found
        if self.export.is_zip:
            return tuple(dict.fromkeys((found.path.parents[len(found.relative.parts) - 1], found.path.parent)))
        base = found.path if found.path.is_dir() else found.path.parent
        return tuple(dict.fromkeys((base, base / folder_of(self.stack.first.file))))

    @property
    def ground(self) -> Path | None:
        """The folder of slices with the ground truth of the image; None where there is none."""
        if self.export.is_zip:
            return None
        paths = {file.relative.as_posix(): file.path for file in self.export.files}
        return chaos.ground_of(paths[self.stack.first.file])

    def read_ground(self, folder: Path) -> tuple[NDArray[Any], Geometry]:
        """Read the ground truth (X, Y, Z); raises as :func:`mrseg_label.intake.dicom.chaos.read_ground`."""
        return chaos.read_ground(folder, self.stack.frames)

    @property
    def source_digest(self) -> str:
        """SHA-256 over the files, in no order, and the frames in them."""
        parts = sorted(frame.content + frame.index.to_bytes(4, "big") for frame in self.stack.frames)
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def load(self, max_bytes: int) -> tuple[NDArray[Any], Geometry, list[str]]:
        """Read voxels (X, Y, Z), grid and warnings; raises as :func:`mrseg_label.imaging.dicom.load_stack`."""
        with self.files.opened() as read:
            return load_stack(self.stack.frames, read, max_bytes=max_bytes)

    def headers(self) -> list[Dataset]:
        """Read the data sets of the files, without voxels, each once."""
        with self.files.opened() as read:
            return [parse_header(read(name)) for name in dict.fromkeys(frame.file for frame in self.stack.frames)]

    def redact(self, text: str) -> str:
        """Remove what identifies the patient from a text."""
        return self.redaction(text)
