"""Find the images in files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mrseg_label.config import CONFIG_FILE
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.options import Refused
from mrseg_label.workspace import FOLDERS

PARTICIPANT_TABLES = ("participants.csv", "participants.tsv")
# Images by their name that are not read here: said aloud, where other files beside images are passed over.
_OTHER_IMAGES = (".hdr", ".img", ".img.gz", ".mhd", ".nhdr", ".mgz", ".mgh", ".mnc", ".gipl", ".vtk")
DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_PREAMBLE = 128


@dataclass(frozen=True)
class Found:
    """An image file.

    Attributes
    ----------
    path : absolute; symbolic links are kept.
    shown : the path as the person who imports would write it.
    relative : below the folder that was given, or the bare name of a file that was given.
    """

    path: Path
    shown: str
    relative: PurePosixPath


@dataclass
class DicomFolder:
    """The DICOM files below a folder that was given, and what lies in the same folders beside them."""

    found: Found
    files: list[Found] = field(default_factory=list)
    beside: list[Found] = field(default_factory=list)


@dataclass
class Findings:
    """What lies under the given paths."""

    images: list[Found] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    zips: list[Found] = field(default_factory=list)
    dicom: list[DicomFolder] = field(default_factory=list)


def strip_suffix(name: str) -> str:
    """A file's name without its image suffix; dots, blanks and umlauts before it stay."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def discover(paths: Sequence[Path], workspace_root: Path) -> Findings:
    """List the images under files and folders, in the order given and then by name, each once.

    Hidden files, other files beside the images and the workspace's own folders are passed over.
    """
    findings = Findings()
    seen: set[Path] = set()
    own = {workspace_root / folder.split("/")[0] for folder in FOLDERS}
    for given in paths:
        base = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would replace links by what they lead to
        if base.is_dir():
            findings.tables += [base / name for name in PARTICIPANT_TABLES if (base / name).is_file()]
            dicom = DicomFolder(Found(base, str(given), PurePosixPath(base.name)))
            for file in _walk(base, own):
                relative = PurePosixPath(file.relative_to(base).as_posix())
                _sort_in(Found(file, str(given / relative), relative), findings, seen, dicom)
            _add_dicom(dicom, findings)
        elif base.is_file():
            found = Found(base, str(given), PurePosixPath(base.name))
            dicom = DicomFolder(found)
            _sort_in(found, findings, seen, dicom)
            if dicom.files:
                _add_dicom(dicom, findings)
            elif found.path not in {other.path for other in (*findings.images, *findings.zips)}:
                reason = f"no image that is read here (known: {', '.join(SUFFIXES)}, DICOM, zips of DICOM)"
                findings.refused.append(Refused(found.shown, reason))
        else:
            findings.refused.append(Refused(str(given), "there is no such file or folder"))
    return findings


def _sort_in(found: Found, findings: Findings, seen: set[Path], dicom: DicomFolder) -> None:
    name = found.path.name.lower()
    if found.path in seen:
        return
    seen.add(found.path)
    if not found.path.is_file():  # opening a pipe waits for ever
        if name.endswith((*SUFFIXES, ".zip", *DICOM_SUFFIXES)):
            what = "a link that leads nowhere" if found.path.is_symlink() else "no regular file"
            findings.refused.append(Refused(found.shown, what))
        return
    if name.endswith(SUFFIXES):
        findings.images.append(found)
    elif name.endswith(".zip"):
        findings.zips.append(found)
    elif name.endswith(DICOM_SUFFIXES) or _is_dicom(found.path):
        dicom.files.append(found)
    elif name.endswith(_OTHER_IMAGES):
        reason = f"this format is not read here; convert it to one of {', '.join(SUFFIXES)}"
        findings.refused.append(Refused(found.shown, reason))
    else:
        dicom.beside.append(found)


def _add_dicom(dicom: DicomFolder, findings: Findings) -> None:
    if dicom.files:
        folders = {file.path.parent for file in dicom.files}
        dicom.beside = [other for other in dicom.beside if other.path.parent in folders]
        findings.dicom.append(dicom)


def _is_dicom(path: Path) -> bool:
    """Whether a file without a telling name is DICOM: the four letters after the preamble."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except OSError:
        return False


def _is_workspace(folder: Path, own: set[Path]) -> bool:
    """Whether a folder belongs to this workspace or is another: what is stored there is no source."""
    return folder.resolve() in own or (folder / CONFIG_FILE).is_file()


def _walk(base: Path, own: set[Path]) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()  # a link to a folder above must not lead in circles
    for folder, subfolders, files in os.walk(base, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith(".") and not _is_workspace(Path(folder, name), own)
        )
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name)
