"""The DICOM exports of an import: zips, and folders with DICOM files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mrseg_label.intake.files import bids
from mrseg_label.intake.files.containers import Folder, Zip
from mrseg_label.intake.files.discover import Findings, FoundFile


@dataclass(frozen=True)
class Export:
    """A zip, or all DICOM files below one imported folder.

    Attributes
    ----------
    found : the zip or the folder.
    files : the DICOM files of a folder; none for a zip.
    beside : other files in the folders of the DICOM files, which the report mentions.
    """

    found: FoundFile
    files: tuple[FoundFile, ...] = ()
    beside: tuple[FoundFile, ...] = ()

    @property
    def is_zip(self) -> bool:
        """Whether it is a zip."""
        return not self.files

    def open(self) -> Folder | Zip:
        """Open the export for reading; the list of members of a zip is checked first.

        Raises
        ------
        InvalidInput, TooLarge
            The zip is not safe to read (:meth:`~mrseg_label.intake.files.containers.Zip.open_checked`).
        """
        if self.is_zip:
            return Zip.open_checked(self.found.path)
        return Folder({str(file.relative): file.path for file in self.files})


def exports_of(findings: Findings) -> Iterator[Export]:
    """Yield the exports among the findings, folders first.

    Files in folders such as ``sourcedata`` of a BIDS data set are left out: the images made from them are imported.
    """
    bids_folders: dict[Path, bool] = {}

    def is_wanted(found: FoundFile) -> bool:
        return not (bids.is_derived(found) and bids.in_data_set(found.path.parent, bids_folders))

    for folder in findings.dicom:
        files = tuple(filter(is_wanted, folder.files))
        if files:
            yield Export(folder.found, files, tuple(folder.beside))
    for found in filter(is_wanted, findings.zips):
        yield Export(found)


def folder_of(name: str) -> str:
    """Return the folder of a file in an export."""
    return PurePosixPath(name).parent.as_posix()
