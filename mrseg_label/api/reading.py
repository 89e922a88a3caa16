"""Read documents from the catalogue, each within one unit of work; the command line reads through it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.api import paging
from mrseg_label.api.documents.examinations import AnnotationOut, ExaminationOut
from mrseg_label.api.documents.learning import ProgressOut
from mrseg_label.api.documents.rounds import RoundDetail, RoundOut
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as revisions
from mrseg_label.catalog.queries import models, performance, reports
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.queries.reports import ExaminationFilter, Position
from mrseg_label.catalog.tables import Examination, ModelVersion, Revision
from mrseg_label.catalog.types import RevisionState
from mrseg_label.config import load_settings
from mrseg_label.errors import NotFound
from mrseg_label.rounds.service import log_path
from mrseg_label.workspace import Workspace

LOG_BYTES = 1 << 20


def read_rounds(catalog: Catalog, limit: int, below: int | None = None) -> list[RoundOut]:
    """Rounds, newest first."""
    with catalog.read() as session:
        rows = reports.rounds_page(session, limit, below)
        numbers = [row.number for row in rows]
        counts = reports.case_counts(session, numbers)
        versions = reports.version_of_round(session, numbers)
        return [RoundOut.of(row, counts.get(row.number, {}), versions.get(row.number)) for row in rows]


def read_round(catalog: Catalog, number: int) -> RoundDetail:
    """A round with its cases.

    Raises
    ------
    NotFound
        There is no such round.
    """
    with catalog.read() as session:
        row = round_rows.get(session, number)
        if row is None:
            raise NotFound(f"there is no round {number}; see mrseg-label rounds list")
        counts = reports.case_counts(session, [number]).get(number, {})
        return RoundDetail.of_detail(row, counts, reports.version_of_round(session, [number]).get(number))


def read_examinations(
    catalog: Catalog, wanted: ExaminationFilter, limit: int, after: Position | None = None
) -> list[ExaminationOut]:
    """Examinations, newest first."""
    with catalog.read() as session:
        return _documents(session, catalog, reports.examinations_page(session, wanted, limit, after))


def read_examination(catalog: Catalog, examination_id: str) -> ExaminationOut:
    """An examination.

    Raises
    ------
    NotFound
        There is no such examination.
    """
    with catalog.read() as session:
        return _documents(session, catalog, [_examination(session, examination_id)])[0]


def read_annotations(
    catalog: Catalog, examination_id: str, limit: int, below: int | None = None, author: str | None = None
) -> list[AnnotationOut]:
    """Every submission (of an author) for an examination or another channel of its group, newest first."""
    with catalog.read() as session:
        acquisition_id = _examination(session, examination_id).acquisition_id
        return _annotations(
            session, reports.revisions_page(session, acquisition_id, limit, below, author), examination_id
        )


def read_submissions(
    catalog: Catalog, state: RevisionState | None, author: str | None, limit: int, after: Position | None = None
) -> list[AnnotationOut]:
    """Submissions for all examinations, newest first."""
    with catalog.read() as session:
        return _annotations(session, reports.submissions_page(session, state, author, limit, after))


def read_annotation(catalog: Catalog, revision_id: str) -> AnnotationOut:
    """A submission.

    Raises
    ------
    NotFound
        There is no such submission.
    """
    with catalog.read() as session:
        return _annotations(session, [_revision(session, revision_id)])[0]


def annotation_file(workspace: Workspace, catalog: Catalog, revision_id: str) -> Path:
    """The stored mask of a submission. Raises as :func:`read_annotation`."""
    with catalog.read() as session:
        return workspace.path(_revision(session, revision_id).path)


def read_acquisition_id(catalog: Catalog, examination_id: str) -> str:
    """The case that an examination belongs to. Raises as :func:`read_examination`."""
    with catalog.read() as session:
        return _examination(session, examination_id).acquisition_id


def read_progress(workspace: Workspace, catalog: Catalog) -> ProgressOut:
    """How far the workspace is."""
    settings = load_settings(workspace.root)  # an admin may have changed it
    with catalog.read() as session:
        counts = round_rows.counts(session)
        active = round_rows.active(session)
        return ProgressOut(
            annotated_total=counts.annotated_total,
            annotated_since_round=counts.annotated_since_round,
            round_size=settings.round_size,
            auto_round=settings.auto_round,
            waiting=counts.waiting,
            handed_out=counts.handed_out,
            excluded=counts.excluded,
            current_model=models.current(session).version,
            round=active.number if active else None,
            round_state=active.state if active else None,
            queues=reports.queue_lengths(session),
        )


def read_counts(catalog: Catalog) -> dict[str, int]:
    """How many participants, acquisitions, examinations and revisions there are."""
    with catalog.read() as session:
        return reports.table_counts(session)


def read_sums(
    catalog: Catalog, limit: int, after: Position | None = None
) -> tuple[Sequence[ModelVersion], Mapping[str, VersionSums], Position | None]:
    """Model versions, newest first, what was measured of each, and where the next page begins."""
    with catalog.read() as session:
        shown, last = paging.page(reports.models_page(session, limit + 1, after), limit)
        return shown, performance.sums_by_version(session, shown), (last.created_at, last.version) if last else None


def read_log(workspace: Workspace, number: int) -> str:
    """The end of a round's log, the last megabyte of it; empty before the training has begun.

    The file grows while it is read: what is answered is a text of its own, not a file whose size changes.
    """
    path = log_path(workspace, number)
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = stream.read(LOG_BYTES).decode(errors="replace")
    return text if path.stat().st_size <= LOG_BYTES else text.partition("\n")[2]


def _examination(session: Session, examination_id: str) -> Examination:
    # What is no text of ours never reaches the database: PostgreSQL takes no NUL.
    row = reports.examination(session, examination_id) if examination_id.isprintable() else None
    if row is None:
        raise NotFound(f"there is no examination {examination_id[:60]!r}; use an id that the server gave out")
    return row


def _revision(session: Session, revision_id: str) -> Revision:
    row = revisions.get(session, revision_id) if revision_id.isprintable() else None
    if row is None:
        raise NotFound(f"there is no annotation {revision_id[:60]!r}; see mrseg-label annotations list")
    return row


def _annotations(session: Session, rows: Sequence[Revision], asked_for: str | None = None) -> list[AnnotationOut]:
    said = revisions.reviews_of(session, [row.id for row in rows])
    return [AnnotationOut.of(row, asked_for, said.get(row.id, ())) for row in rows]


def _documents(session: Session, catalog: Catalog, rows: Sequence[Examination]) -> list[ExaminationOut]:
    ends = reports.handed_out_until(session, [row.acquisition_id for row in rows], catalog.now(session))
    return [ExaminationOut.of(row, ends.get(row.acquisition_id)) for row in rows]
