"""Read examinations and annotations as documents, each within one unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.annotation.readings import compare
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions, assignments, examinations, jobs, models, presegmentations, reviews
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination
from mrseg_label.catalog.types import AnnotationState, CaseState, JobKind, Priority, Role
from mrseg_label.clock import start_of_day
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.annotations import AnnotationOut, ReadingsOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.drafts import DraftOut, DraftPutAsideOut, ExaminationDetail
from mrseg_label.reports.documents.examinations import ExaminationOut
from mrseg_label.reports.paging import decode_number, decode_position, page_of


def read_examination(catalog: Catalog, examination_id: str, role: Role | None = None) -> ExaminationDetail:
    """Read an examination with the draft of its case, as an account of that role may see it.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with catalog.read() as session:
        assigned = assignments.with_case(session, examination_id) if examination_id.isprintable() else None
        row = examination_row(session, (assigned and assigned[1].primary_examination_id) or examination_id)
        (document,) = examination_documents(session, catalog.now(session), [row])
        if assigned is not None:
            return ExaminationDetail(
                **_unnamed(document, examination_id).model_dump(), draft=None, draft_put_aside=None, not_labelled=None
            )
        reason = _reasons(session, row.acquisition).get(row.id)
        draft = presegmentations.best(session, row.acquisition_id)
        key = presegmentations.job_key(row.acquisition_id, models.current(session).version)
        put_aside = jobs.put_aside(session, JobKind.PRESEGMENT, key)
        if jobs.active(session, JobKind.PRESEGMENT, key) is not None:
            put_aside = None  # it is tried again
    return ExaminationDetail(
        **document.for_role(role).model_dump(),
        not_labelled=reason,
        draft=None if draft is None else DraftOut.of(draft),
        draft_put_aside=None if put_aside is None else DraftPutAsideOut.of(put_aside),
    )


def _unnamed(document: ExaminationOut, assignment_id: str) -> ExaminationOut:
    """Describe an image to a reader who may only know the assignment, and not which case it is of."""
    hidden: dict[str, object] = {
        **dict.fromkeys(("id", "acquisition", "group"), assignment_id),
        **dict.fromkeys(("participant", "digest"), ""),
        **dict.fromkeys(("source", "swap", "misregistration", "labelled", "held_out", "annotated")),
        **dict.fromkeys(("assigned_until", "handed_out_until", "excluded")),
        "propagation": "on",
        "warnings": [],
        "state": CaseState.WAITING,
        "priority": Priority.NORMAL,
        "created": start_of_day(document.created),  # to the second it would say which image it is
    }
    return document.model_copy(update=hidden)


def read_drafts(catalog: Catalog, examination_id: str, limit: int) -> list[DraftOut]:
    """Read the drafts of an examination's case, newest first. Raises as :func:`read_examination`."""
    with catalog.read() as session:
        acquisition_id = examination_row(session, examination_id).acquisition_id
        return [DraftOut.of(row) for row in presegmentations.of_acquisition(session, acquisition_id, limit)]


def read_channels(catalog: Catalog, examination_id: str) -> tuple[list[ExaminationOut], dict[str, str]]:
    """Read the other images of an examination's acquisition. Raises as :func:`read_examination`.

    Returns
    -------
    The images; and by id of those that do not carry the mask of the acquisition, if it has one, the reasons.
    """
    with catalog.read() as session:
        row = examination_row(session, examination_id)
        others = [one for one in acquisitions.channels(session, row.acquisition_id) if one.id != row.id]
        return examination_documents(session, catalog.now(session), others), _reasons(session, row.acquisition)


def _reasons(session: Session, acquisition: Acquisition) -> dict[str, str]:
    """Why images do not carry the mask of their acquisition, by id; empty where there is no mask."""
    annotation = annotation_rows.final(session, acquisition.id)
    if annotation is None:
        return {}
    return without_mask(acquisition, acquisitions.channels(session, acquisition.id), annotation.examination_id)


def read_acquisition_id(catalog: Catalog, examination_id: str) -> str:
    """Read which acquisition an examination, or an assignment in its place, belongs to. Raises as :func:`read_examination`."""
    with catalog.read() as session:
        assignment = assignments.with_case(session, examination_id) if examination_id.isprintable() else None
        if assignment is not None:
            return assignment[1].id
        return examination_row(session, examination_id).acquisition_id


def read_annotations_of(
    catalog: Catalog,
    examination_id: str,
    limit: int,
    cursor: str | None = None,
    author: str | None = None,
    state: AnnotationState | None = None,
) -> Page[AnnotationOut]:
    """Read a page of the annotations of an examination's acquisition, whichever channel they were drawn on.

    Newest first; with ``author`` or ``state`` only those of one reader, or in that state.

    Raises
    ------
    NotFound
        There is no such examination.
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        acquisition_id = examination_row(session, examination_id).acquisition_id
        rows = annotation_rows.page_of_acquisition(
            session, acquisition_id, limit + 1, decode_number(cursor), author, state
        )
        found = _annotation_documents(session, rows, examination_id)
    return page_of(found, limit, lambda item: (item.number,))


def read_annotations(
    catalog: Catalog, state: AnnotationState | None, author: str | None, limit: int, cursor: str | None = None
) -> Page[AnnotationOut]:
    """Read a page of the annotations of all examinations, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        rows = annotation_rows.page(session, state, author, limit + 1, decode_position(cursor))
        found = _annotation_documents(session, rows)
    return page_of(found, limit, lambda item: (item.created, item.id))


def read_annotation(catalog: Catalog, annotation_id: str) -> AnnotationOut:
    """Read an annotation.

    Raises
    ------
    NotFound
        There is no such annotation.
    """
    with catalog.read() as session:
        return _annotation_documents(session, [annotation_row(session, annotation_id)])[0]


def read_readings(workspace: OpenedWorkspace, first_id: str, second_id: str) -> ReadingsOut:
    """Compare two annotations of one case, structure by structure.

    Raises
    ------
    NotFound
        One of the annotations does not exist.
    Conflict
        They are of different acquisitions.
    """
    return ReadingsOut.of(first_id, second_id, compare(workspace, first_id, second_id))


def examination_row(session: Session, examination_id: str) -> Examination:
    """Return the row of an examination. Raises :class:`NotFound`."""
    # What cannot be an id of ours never reaches the database: PostgreSQL takes no NUL.
    row = examinations.get(session, examination_id) if examination_id.isprintable() else None
    if row is None:
        raise NotFound(f"there is no examination {examination_id[:60]!r}; list them with: GET /api/v1/examinations")
    return row


def annotation_row(session: Session, annotation_id: str) -> Annotation:
    """Return the row of an annotation. Raises :class:`NotFound`."""
    row = annotation_rows.get(session, annotation_id) if annotation_id.isprintable() else None
    if row is None:
        raise NotFound(
            f"there is no annotation {annotation_id[:60]!r}; list the annotations with: mrseg-label annotations list"
        )
    return row


def _annotation_documents(
    session: Session, rows: Sequence[Annotation], requested: str | None = None
) -> list[AnnotationOut]:
    found = reviews.of_annotations(session, [row.id for row in rows])
    return [AnnotationOut.of(row, requested, found.get(row.id, ())) for row in rows]


def examination_documents(session: Session, moment: datetime, rows: Sequence[Examination]) -> list[ExaminationOut]:
    """Make the documents of examinations, in their order."""
    acquisition_ids = list({row.acquisition_id for row in rows})
    ends = assignments.end_times(session, acquisition_ids, moment)
    states = examinations.states(session, acquisition_ids, moment)
    return [ExaminationOut.of(row, states[row.acquisition_id], ends.get(row.acquisition_id)) for row in rows]
