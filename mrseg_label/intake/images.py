"""One image on its way from a file to a row: named, then prepared or refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from mrseg_label.imaging import Geometry

MaskLabels = list[tuple[int, str]]
"""The values of a mask with the name that each stands for."""


class Series(Protocol):
    """The files of a DICOM image inside the folder or zip that was imported."""

    @property
    def name(self) -> str:
        """Name of the zip without suffix, or of the folder that holds the files."""

    @property
    def session(self) -> str:
        """Session that the pattern or the name of a UK Biobank zip states; empty otherwise."""

    @property
    def mask_folders(self) -> tuple[Path, ...]:
        """Folders in which a mask may lie: the imported one, and that of the files or of the zip."""

    @property
    def source_digest(self) -> str:
        """SHA-256 over the files, in no order, and the frames in them."""

    def load(self, max_bytes: int) -> tuple[NDArray[Any], Geometry, list[str]]:
        """Read voxels (X, Y, Z), grid and warnings; raise :class:`~mrseg_label.errors.MrsegError` where it cannot."""

    def read_ground(self, folder: Path) -> tuple[NDArray[Any], Geometry]:
        """Read the ground truth (X, Y, Z) in a folder with one picture a slice; raises as ``load``."""

    def headers(self) -> list[Any]:
        """Read the data sets of the files, without voxels."""

    def redact(self, text: str) -> str:
        """Remove what identifies the patient from a text."""


class DicomMaskFile(Protocol):
    """A DICOM segmentation or structure set."""

    def read(self) -> bytes:
        """Read the file."""


@dataclass(frozen=True)
class NamedImage:
    """A file, or a DICOM series, with what is known of it before its voxels are read.

    Attributes
    ----------
    path : the file; of DICOM the imported folder or zip.
    shown : the path as the report shows it.
    origin : where the image came from, as the catalogue stores it: the path of the file, or ``shown`` for DICOM.
    participant : participant code. If ``stated`` is false it was derived from the file name, and the file is a
        participant of its own.
    session, station, sequence : as in UK Biobank and BIDS; empty where unknown.
    warnings : what the report and the catalogue should mention.
    series : the files of a DICOM image; None for a single file.
    mask : a mask of the image, as a file or as a folder with one file per structure.
    mask_labels : names of the values of the mask; None where the file has its own.
    mask_lenient : whether values of the mask that the label scheme lacks are left out, and not refused.
    dicom_masks : segmentations and structure sets that refer to the image; ``mask`` is then the path of the first.
    data_set : the folder of a data set whose own number of the case is the participant; another data set may
        have the same numbers.
    sex, age : from DICOM; sex is M, F or O, age in years.
    dicom_series : what stands for the UID of its series; empty for other files.
    """

    path: Path
    shown: str
    origin: str
    participant: str
    stated: bool
    session: str = ""
    station: str = ""
    sequence: str = ""
    warnings: tuple[str, ...] = ()
    series: Series | None = None
    mask: Path | None = None
    mask_labels: MaskLabels | None = None
    mask_lenient: bool = False
    dicom_masks: tuple[DicomMaskFile, ...] = ()
    data_set: str = ""
    sex: str | None = None
    age: float | None = None
    dicom_series: str = ""

    @property
    def group_key(self) -> tuple[str, ...]:
        """What the channels of one acquisition have in common before their grids are known."""
        if not self.stated:
            return ("", str(self.path))
        return (self.participant, self.session, self.station, self.data_set)


@dataclass(frozen=True)
class PreparedMask:
    """A mask that can be stored.

    Attributes
    ----------
    file : a label map or a ``.seg.nrrd``.
    suffix : suffix under which it is stored.
    digest : SHA-256 of the file.
    labels : names by value, or None where the file has its own.
    lenient : whether structures that the label scheme lacks are left out (the whole set of classes of a tool).
    notes : what was changed in it; kept with its annotation.
    remarks : what the report should mention.
    shown : its path as the report shows it.
    """

    file: Path
    suffix: str
    digest: str
    labels: MaskLabels | None
    lenient: bool
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True)
class PreparedImage:
    """An image that can be recorded.

    Attributes
    ----------
    source_digest : SHA-256 of the file as it was given.
    file : the form in which it will be stored, in the scratch folder, or the given file itself (``in_place``); None
        where the catalogue has an image with this ``source_digest`` already.
    digest : SHA-256 of the stored form, which the same voxels on the same grid share, whatever format they came in.
    geometry : grid of the stored form.
    fingerprint : which the same scan has in every order of axes (:func:`mrseg_label.imaging.same_scan.fingerprint`).
    mask : the mask of the image.
    mask_refused : path of a mask that cannot be used, and the reason.
    swap_suspected : whether fat and water look exchanged in it.
    misregistration_suspected : whether it seems to lie elsewhere than the image of its scan that readers open.
    swapped_with : id of the image that it was compared with, if that was imported earlier.
    """

    named: NamedImage
    source_digest: str
    file: Path | None = None
    digest: str = ""
    geometry: Geometry | None = None
    fingerprint: str = ""
    warnings: tuple[str, ...] = ()
    in_place: bool = False
    mask: PreparedMask | None = None
    mask_refused: tuple[str, str] | None = None
    swap_suspected: bool = False
    misregistration_suspected: bool = False
    swapped_with: str = ""


@dataclass(frozen=True)
class RefusedImage:
    """An image that cannot be imported, and why."""

    named: NamedImage
    reason: str


PreparedGroup = list[PreparedImage | RefusedImage]
"""The images of one participant, session and station."""
