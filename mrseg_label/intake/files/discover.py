"""Find images, DICOM files and zips in the paths of an import."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mrseg_label.companions import is_companion, is_companion_folder
from mrseg_label.config import CONFIG_FILE
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.options import Refused
from mrseg_label.text import readable
from mrseg_label.workspace import FOLDERS

PARTICIPANT_TABLES = ("participants.csv", "participants.tsv")
IMAGE_TABLE = "meta.csv"  # of TotalSegmentator's public data sets
AMOS_TABLES = "labeled_data_meta_*.csv"  # of AMOS22, with the numbers of its cases
# Images, by their names, in formats that are not supported: refused, where other files beside images are ignored.
_OTHER_IMAGES = (".hdr", ".img", ".img.gz", ".mhd", ".nhdr", ".mgz", ".mgh", ".mnc", ".gipl", ".vtk")
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_PREAMBLE = 128


@dataclass(frozen=True)
class FoundFile:
    """A file that was found.

    Attributes
    ----------
    path : absolute; symbolic links are not resolved. It may have bytes that are no text.
    shown : the path as the report shows it, relative to how the import was called; always text.
    relative : path below the imported folder, or the bare name of an imported file.
    """

    path: Path
    shown: str
    relative: PurePosixPath

    @property
    def origin(self) -> str:
        """The path as text, as the catalogue stores it: bytes that are not UTF-8 as their codes, so that no two are equal."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def encoding_warning(self) -> tuple[str, ...]:
        """What to say of an image whose name, below the imported folder, is not UTF-8."""
        name = readable(str(self.relative))
        return () if name == str(self.relative) else (f"its name is not UTF-8; it was read as {name}",)


@dataclass
class DicomFolder:
    """The DICOM files below an imported folder, and the other files of the same folders (``beside``)."""

    found: FoundFile
    files: list[FoundFile] = field(default_factory=list)
    beside: list[FoundFile] = field(default_factory=list)


@dataclass
class Findings:
    """What was found under the paths of an import; ``tables`` and ``amos_tables`` are tables of participants."""

    images: list[FoundFile] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    amos_tables: list[Path] = field(default_factory=list)
    zips: list[FoundFile] = field(default_factory=list)
    dicom: list[DicomFolder] = field(default_factory=list)


def discover(paths: Sequence[Path], workspace_root: Path) -> Findings:
    """Find the images in files and folders, in the given order and then by name, each once.

    Hidden files, files that are no images and the workspace's own folders are ignored.
    """
    findings = Findings()
    seen: set[Path] = set()
    own = {workspace_root / folder.split("/")[0] for folder in FOLDERS}
    for given in paths:
        base = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would follow symbolic links
        if base.is_dir():
            findings.tables += [base / name for name in PARTICIPANT_TABLES if (base / name).is_file()]
            if lists_images(base):
                findings.tables.append(base / IMAGE_TABLE)
            findings.amos_tables += sorted(base.glob(AMOS_TABLES))
            dicom = DicomFolder(FoundFile(base, readable(str(given)), PurePosixPath(base.name)))
            for file in _walk(base, own, findings):
                relative = PurePosixPath(file.relative_to(base).as_posix())
                _sort(FoundFile(file, readable(str(given / relative)), relative), findings, seen, dicom)
            _add_dicom(dicom, findings)
        elif base.is_file():
            found = FoundFile(base, readable(str(given)), PurePosixPath(base.name))
            dicom = DicomFolder(found)
            _sort(found, findings, seen, dicom)
            if dicom.files:
                _add_dicom(dicom, findings)
            elif found.path not in {other.path for other in (*findings.images, *findings.zips)}:
                reason = f"not an image that can be imported (supported: {', '.join(SUFFIXES)}, DICOM, zips of DICOM)"
                findings.refused.append(Refused(found.shown, reason))
        else:
            findings.refused.append(Refused(str(given), "no such file or folder"))
    return findings


def lists_images(folder: Path) -> bool:
    """Whether a folder has the table of TotalSegmentator's public data sets: ``meta.csv`` with a column ``image_id``."""
    try:
        with (folder / IMAGE_TABLE).open(encoding="utf-8", errors="replace") as table:
            return "image_id" in re.split(r"[;,\t]", table.readline().lstrip("\ufeff").strip())
    except OSError:
        return False


def _sort(found: FoundFile, findings: Findings, seen: set[Path], dicom: DicomFolder) -> None:
    name = found.path.name.lower()
    if found.path in seen:
        return
    seen.add(found.path)
    if not _is_file(found.path):  # opening a pipe would block
        if name.endswith((*SUFFIXES, ".zip", *DICOM_SUFFIXES)):
            what = "a broken symbolic link" if found.path.is_symlink() else "not a regular file"
            findings.refused.append(Refused(found.shown, what))
        return
    if name.endswith(SUFFIXES):
        findings.images.append(found)
    elif name.endswith(".zip"):
        findings.zips.append(found)
    elif name.endswith(DICOM_SUFFIXES) or _is_dicom(found.path):
        dicom.files.append(found)
    elif name.endswith(_OTHER_IMAGES):
        reason = f"this format is not supported; convert the file to one of {', '.join(SUFFIXES)}"
        findings.refused.append(Refused(found.shown, reason))
    else:
        dicom.beside.append(found)


def _add_dicom(dicom: DicomFolder, findings: Findings) -> None:
    if dicom.files:
        folders = {file.path.parent for file in dicom.files}
        dicom.beside = [other for other in dicom.beside if other.path.parent in folders]
        findings.dicom.append(dicom)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a folder that may be listed, but whose files may not be used
        return False


def _is_dicom(path: Path) -> bool:
    """Whether the content of a file is DICOM: ``DICM`` after the preamble."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except OSError:
        return False


def _is_workspace(folder: Path, own: set[Path]) -> bool:
    """Whether a folder belongs to this workspace or is another workspace, whose files are not imported."""
    return folder.resolve() in own or (folder / CONFIG_FILE).is_file()


def _walk(base: Path, own: set[Path], findings: Findings) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()  # a link to a folder above must not loop

    def refuse(error: OSError) -> None:
        findings.refused.append(Refused(str(error.filename), f"the folder cannot be read: {error.strerror}"))

    for folder, subfolders, files in os.walk(base, onerror=refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(
            name for name in subfolders if not is_companion_folder(name) and not _is_workspace(Path(folder, name), own)
        )
        for name in sorted(files):
            if not is_companion(PurePosixPath(name)):
                yield Path(folder, name)
