"""Read examinations and annotations as documents, each within one unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments, examinations, listings, reviews
from mrseg_label.catalog.queries.listings import ExaminationFilter
from mrseg_label.catalog.tables import Annotation, Examination
from mrseg_label.catalog.types import AnnotationState, Position
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.examinations import AnnotationOut, ExaminationOut


def read_examinations(
    catalog: Catalog, wanted: ExaminationFilter, limit: int, after: Position | None = None
) -> list[ExaminationOut]:
    """Read examinations, newest first."""
    with catalog.read() as session:
        return _examination_documents(session, catalog, listings.examinations(session, wanted, limit, after))


def read_examination(catalog: Catalog, examination_id: str) -> ExaminationOut:
    """Read an examination.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with catalog.read() as session:
        return _examination_documents(session, catalog, [_examination(session, examination_id)])[0]


def read_acquisition_id(catalog: Catalog, examination_id: str) -> str:
    """Read the acquisition that an examination belongs to. Raises as :func:`read_examination`."""
    with catalog.read() as session:
        return _examination(session, examination_id).acquisition_id


def read_annotations_of(
    catalog: Catalog, examination_id: str, limit: int, below: int | None = None, author: str | None = None
) -> list[AnnotationOut]:
    """Read the annotations (of an author) of an examination or another channel of its acquisition, newest first."""
    with catalog.read() as session:
        acquisition_id = _examination(session, examination_id).acquisition_id
        rows = listings.annotations_of_case(session, acquisition_id, limit, below, author)
        return _annotation_documents(session, rows, examination_id)


def read_annotations(
    catalog: Catalog, state: AnnotationState | None, author: str | None, limit: int, after: Position | None = None
) -> list[AnnotationOut]:
    """Read the annotations of all examinations, newest first."""
    with catalog.read() as session:
        return _annotation_documents(session, listings.all_annotations(session, state, author, limit, after))


def read_annotation(catalog: Catalog, annotation_id: str) -> AnnotationOut:
    """Read an annotation.

    Raises
    ------
    NotFound
        There is no such annotation.
    """
    with catalog.read() as session:
        return _annotation_documents(session, [_annotation(session, annotation_id)])[0]


def mask_file(workspace: OpenedWorkspace, annotation_id: str) -> Path:
    """Find the stored mask of an annotation. Raises as :func:`read_annotation`."""
    with workspace.catalog.read() as session:
        return workspace.path(_annotation(session, annotation_id).path)


def _examination(session: Session, examination_id: str) -> Examination:
    # What cannot be an id of ours never reaches the database: PostgreSQL takes no NUL.
    row = examinations.get(session, examination_id) if examination_id.isprintable() else None
    if row is None:
        raise NotFound(f"there is no examination {examination_id[:60]!r}; use an id from this server")
    return row


def _annotation(session: Session, annotation_id: str) -> Annotation:
    row = annotation_rows.get(session, annotation_id) if annotation_id.isprintable() else None
    if row is None:
        raise NotFound(f"there is no annotation {annotation_id[:60]!r}; see mrseg-label annotations list")
    return row


def _annotation_documents(
    session: Session, rows: Sequence[Annotation], requested: str | None = None
) -> list[AnnotationOut]:
    found = reviews.of_annotations(session, [row.id for row in rows])
    return [AnnotationOut.of(row, requested, found.get(row.id, ())) for row in rows]


def _examination_documents(session: Session, catalog: Catalog, rows: Sequence[Examination]) -> list[ExaminationOut]:
    ends = assignments.ends_of(session, [row.acquisition_id for row in rows], catalog.now(session))
    return [ExaminationOut.of(row, ends.get(row.acquisition_id)) for row in rows]
