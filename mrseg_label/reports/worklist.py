"""Read who has which case, and what there is of each participant, as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import assignments, participants
from mrseg_label.catalog.queries.assignments import AssignmentFilter
from mrseg_label.catalog.queries.participants import ParticipantFilter
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.worklist import ParticipantOut, ReservationOut
from mrseg_label.reports.paging import decode_name, decode_position, page_of


def read_assignments(
    catalog: Catalog, wanted: AssignmentFilter, limit: int, cursor: str | None = None
) -> Page[ReservationOut]:
    """Read a page of assignments, newest first.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        moment = catalog.now(session)
        rows = assignments.page(session, wanted, moment, limit + 1, decode_position(cursor))
        found = [ReservationOut.of(assignment, case, moment) for assignment, case in rows]
    return page_of(found, limit, lambda item: (item.created, item.id))


def read_assignment(catalog: Catalog, assignment_id: str) -> ReservationOut:
    """Read an assignment.

    Raises
    ------
    NotFound
        There is no such assignment.
    """
    with catalog.read() as session:
        found = assignments.with_case(session, assignment_id) if assignment_id.isprintable() else None
        if found is None:
            raise NotFound(f"there is no assignment {assignment_id[:60]!r}; list them with: GET /api/v1/assignments")
        return ReservationOut.of(*found, catalog.now(session))


def count_assignments(catalog: Catalog, wanted: AssignmentFilter) -> int:
    """Count the assignments of the kind that is wanted."""
    with catalog.read() as session:
        return assignments.count(session, wanted, catalog.now(session))


def read_participants(
    catalog: Catalog, wanted: ParticipantFilter, limit: int, cursor: str | None = None
) -> Page[ParticipantOut]:
    """Read a page of participants, by code.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    with catalog.read() as session:
        rows = participants.page(session, wanted, limit + 1, decode_name(cursor))
    return page_of([ParticipantOut.of(row) for row in rows], limit, lambda item: (item.code,))


def count_participants(catalog: Catalog, wanted: ParticipantFilter) -> int:
    """Count the participants of the kind that is wanted."""
    with catalog.read() as session:
        return participants.count(session, wanted)
