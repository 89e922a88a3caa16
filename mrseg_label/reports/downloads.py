"""Stored files as clients download them: images and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Presegmentation
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import Forbidden, NotFound, Unavailable
from mrseg_label.failures import require_mounted
from mrseg_label.reports.cases import annotation_row, examination_row
from mrseg_label.reports.masks import visible_annotations

SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class Download:
    """A stored file and the name under which the client gets it.

    Attributes
    ----------
    path : in the workspace; read only.
    name : file name for the client, with suffix.
    digest : SHA-256 of the file.
    dated : whether the client may know when it was stored.
    """

    path: Path
    name: str
    digest: str
    dated: bool = True

    @property
    def media_type(self) -> str:
        """The type of the file; never a Content-Encoding, since Slicer wants a compressed file as it is."""
        return "application/gzip" if self.name.endswith(".gz") else "application/octet-stream"


def find_image(workspace: OpenedWorkspace, examination_id: str) -> Download:
    """Find the stored image of an examination.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with workspace.catalog.read() as session:
        row = examination_row(session, examination_id)
    return find_stored(workspace, row)


def find_mask(workspace: OpenedWorkspace, annotation_id: str, reader: Reader) -> Download:
    """Find the mask of an annotation.

    Raises
    ------
    NotFound
        There is no such annotation.
    Forbidden
        The reader has an independent reading of the same case open.
    """
    with workspace.catalog.read() as session:
        row = readable_annotation(session, annotation_id, reader)
    return find_stored(workspace, row)


def find_current_mask(workspace: OpenedWorkspace, examination_id: str, reader: Reader) -> Download:
    """Find the mask of an examination: the newest accepted annotation of its acquisition.

    Raises
    ------
    NotFound
        There is no such examination, no accepted annotation of its acquisition, or none that holds for it.
    Forbidden
        The reader has an independent reading of the case open.
    """
    with workspace.catalog.read() as session:
        row = current_annotation(session, examination_id, reader)
    return find_stored(workspace, row)


def readable_annotation(session: Session, annotation_id: str, reader: Reader) -> Annotation:
    """Find an annotation whose mask a reader may download. Raises as :func:`find_mask`."""
    row = annotation_row(session, annotation_id)
    _check_not_blinded(session, row, reader)
    return row


def current_annotation(session: Session, examination_id: str, reader: Reader) -> Annotation:
    """Find the newest accepted annotation of an examination's acquisition. Raises as :func:`find_current_mask`."""
    examination = examination_row(session, examination_id)
    row = rows.final(session, examination.acquisition_id)
    if row is None:
        raise NotFound(f"the case of {examination_id} has no accepted annotation yet")
    _check_not_blinded(session, row, reader)
    channels = acquisitions.channels(session, examination.acquisition_id)
    reason = without_mask(examination.acquisition, channels, row.examination_id).get(examination.id)
    if reason is not None:
        raise NotFound(f"the mask of its case does not hold for {examination_id}: {reason}")
    return row


def _check_not_blinded(session: Session, annotation: Annotation, reader: Reader) -> None:
    if reader.sees_every_case and not visible_annotations(session, annotation.acquisition_id, [annotation], reader):
        raise Forbidden(
            "you are reading this case independently; the masks of other readers open once you have submitted or returned it"
        )


def find_stored(
    workspace: OpenedWorkspace, row: Examination | Annotation | Presegmentation, name: str | None = None
) -> Download:
    """Return the file of a row, for the client under a name that is by default its id.

    Raises
    ------
    MachineFailure, Unavailable
        The whole workspace is not there at present, or this file is missing from it.
    """
    path = workspace.path(row.path)
    if not path.is_file():
        require_mounted(workspace.root / CONFIG_FILE)
        raise Unavailable(
            f"the file of {row.id} is missing from the workspace; an administrator finds such files with: mrseg-label doctor"
        )
    return Download(path, name or f"{row.id}{SUFFIX}", row.digest)
