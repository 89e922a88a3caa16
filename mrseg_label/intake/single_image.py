"""One image as a client sends it: a file, or the DICOM files of one series, by themselves or in a zip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.companions import is_companion
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import write_nifti
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX
from mrseg_label.intake.files.discover import DICOM_SUFFIXES, FoundFile
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.uploads import prepare_upload

_EXPECTED = f"send one image: a file whose name ends in {', '.join(SUFFIXES)}, or the DICOM files of one series, by themselves or in a zip"
_SUFFIXES = (SEGMENTATION_SUFFIX, *SUFFIXES, *DICOM_SUFFIXES, ".zip")
_ONE = "image"  # name of the participant: nothing is recorded of it


@dataclass(frozen=True)
class SentFile:
    """A file as it came, and the client's name for it without folders."""

    name: str
    path: Path

    @property
    def suffix(self) -> str:
        """The suffix that names the format; empty where it is none of the known ones, as of DICOM files on discs."""
        return next((suffix for suffix in _SUFFIXES if self.name.lower().endswith(suffix)), "")


def check_single_image(workspace: OpenedWorkspace, sent: Sequence[SentFile], scratch: Path) -> tuple[Path, str]:
    """Judge files as an import judges an image, and record nothing.

    Parameters
    ----------
    scratch : folder for the image.

    Returns
    -------
    The image and its suffix: the file as it came, or the NIfTI file that was made of a DICOM series.

    Raises
    ------
    InvalidInput
        The files are not one image that could be imported; the message says why.
    """
    files = [file for file in sent if not is_companion(PurePosixPath(file.name))]
    kinds = {file.suffix for file in files}
    if not files or (len(files) > 1 and not kinds <= {"", *DICOM_SUFFIXES}):
        raise InvalidInput(
            f"the files ({', '.join(_name(file) for file in sent[:3])}, ...) are not one image; {_EXPECTED}"
        )
    folder = scratch / "sent"
    folder.mkdir()
    for number, file in enumerate(files):
        os.replace(file.path, folder / f"{number:06d}{file.suffix}")
    first = folder / f"000000{files[0].suffix}"
    if first.name.endswith(SUFFIXES):
        named = NamedImage(path=first, shown=files[0].name, origin=str(first), participant=_ONE, stated=True)
        prepare_upload(workspace, named, scratch)
        return first, files[0].suffix
    image = _dicom_image(folder, first if kinds == {".zip"} else None, _name(files[0]))
    prepared = prepare_upload(workspace, image, scratch)
    if prepared.file is not None:
        return prepared.file, ".nii.gz"
    assert image.series is not None
    # The catalogue has an image of the same files, which this client need not be allowed to see.
    array, geometry, _ = image.series.load(workspace.settings.max_image_mb * 1024 * 1024)
    target = scratch / "image.nii.gz"
    write_nifti(target, array, geometry)
    return target, ".nii.gz"


def _dicom_image(folder: Path, archive: Path | None, shown: str) -> NamedImage:
    """Find the only image in DICOM files. Raises :class:`InvalidInput` if there are none or several."""
    # pydicom is behind them, which a server needs only for DICOM.
    from mrseg_label.intake.dicom.exports import Export
    from mrseg_label.intake.dicom.naming import name_export
    from mrseg_label.intake.dicom.pseudonyms import Pseudonyms

    if archive is not None:
        export = Export(FoundFile(archive, shown, PurePosixPath(archive.name)))
    else:
        files = [FoundFile(path, path.name, PurePosixPath(path.name)) for path in sorted(folder.iterdir())]
        export = Export(FoundFile(folder, shown, PurePosixPath(folder.name)), tuple(files))
    report = ImportReport()
    pseudonyms = Pseudonyms(os.urandom(32))  # for names that nobody will see
    groups = list(name_export(export, ImportOptions(participant=_ONE), pseudonyms, report))
    reasons = list(dict.fromkeys(entry.reason for entry in report.refused))
    if reasons:
        raise InvalidInput(f"the image {shown!r:.120} cannot be used: {'; '.join(reasons[:3])}; {_EXPECTED}")
    images = [image for group in groups for image in group]
    if len(images) != 1:
        raise InvalidInput(f"{shown!r:.120} and the files with it are {len(images)} images; {_EXPECTED}")
    return images[0]


def _name(file: SentFile) -> str:
    return file.name[-60:] or "a file without a name"
