"""Scan an export: read the header of every DICOM file, and collect what cannot be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mrseg_label.errors import MrsegError
from mrseg_label.imaging.dicom import Frame, MaskObject, NotAnImage, NotDicom, UnusableImage, read_frames
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.dicom.exports import Export, folder_of
from mrseg_label.intake.dicom.redaction import Redaction
from mrseg_label.intake.dicom.ukbiobank import is_manifest, read_manifest
from mrseg_label.intake.files.containers import DamagedZip, Folder, ReadFile, Zip
from mrseg_label.intake.files.discover import DICOM_SUFFIXES
from mrseg_label.intake.options import ImportReport
from mrseg_label.segments.dicom.references import References, references_of


@dataclass(frozen=True)
class FoundMask:
    """A segmentation or a structure set: its name in the export, and what it refers to."""

    name: str
    references: References


@dataclass
class Scan:
    """The frames of an export, and its problems by reason: a series of a hundred files is one line of the report.

    Attributes
    ----------
    refused, passed_over : names of files by reason.
    broken_series : UIDs of series that are refused as a whole.
    unreadable : number of files by folder of which not even the series is known.
    masks : segmentations and structure sets.
    """

    frames: list[Frame] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    broken_series: set[str] = field(default_factory=set)
    unreadable: Counter[str] = field(default_factory=Counter)
    masks: list[FoundMask] = field(default_factory=list)

    def usable_frames(self) -> list[Frame]:
        """Return the frames of the series that are not refused."""
        return [frame for frame in self.frames if frame.series not in self.broken_series]

    def report_problems(self, export: Export, redact: Redaction, report: ImportReport) -> None:
        """Add the problems to the report, without what identifies a patient."""
        start = f"{redact(export.found.shown)}{':' if export.is_zip else '/'}"
        for problems, add in ((self.refused, report.refuse), (self.passed_over, report.pass_over)):
            for reason, names in problems.items():
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                add(f"{start}{redact(names[0])}{more}", reason)


def scan_export(files: Folder | Zip) -> Scan:
    """Read the headers of all files of an export.

    Raises
    ------
    DamagedZip
        A member of the zip is damaged, so that what is missing cannot be known.
    """
    scan = Scan()
    with files.opened() as read:
        descriptions = _read_manifests(files, read)
        for name in files.names:
            if not is_manifest(name):
                _scan_file(scan, name, read, descriptions)
    present = {PurePosixPath(name).name for name in files.names}
    missing = [name for name in descriptions if name not in present]
    if missing:
        scan.passed_over.setdefault("listed in the manifest but missing", []).extend(missing)
    return scan


def _scan_file(scan: Scan, name: str, read: ReadFile, descriptions: dict[str, str]) -> None:
    try:
        scan.frames += read_frames(read(name), name, descriptions.get(PurePosixPath(name).name))
    except MaskObject as error:
        references = references_of(error.ds)
        if references is not None:
            scan.masks.append(FoundMask(name, references))
    except NotAnImage as error:
        if isinstance(error, NotDicom) and name.lower().endswith(
            SUFFIXES
        ):  # only in a zip; in folders it is found by itself
            scan.refused.setdefault("an image that is not DICOM; unpack the zip to import it", []).append(name)
            return
        is_damaged = name.lower().endswith(DICOM_SUFFIXES) and isinstance(error, NotDicom)
        scan.unreadable[folder_of(name)] += is_damaged
        (scan.refused if is_damaged else scan.passed_over).setdefault(str(error), []).append(name)
    except DamagedZip:
        raise
    except UnusableImage as error:
        scan.broken_series.add(error.series)
        scan.refused.setdefault(f"{error}; the whole series is refused", []).append(name)
    except MrsegError as error:
        scan.unreadable[folder_of(name)] += 1
        scan.refused.setdefault(str(error), []).append(name)
    except OSError as error:
        scan.unreadable[folder_of(name)] += 1
        scan.refused.setdefault(f"cannot be read: {error.strerror}", []).append(name)


def _read_manifests(files: Folder | Zip, read: ReadFile) -> dict[str, str]:
    descriptions: dict[str, str] = {}
    for name in filter(is_manifest, files.names):
        try:
            descriptions |= read_manifest(read(name))
        except (MrsegError, OSError):
            continue  # only needed where the DICOM files lack a description
    return descriptions
