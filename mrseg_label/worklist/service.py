"""Assign cases and take them back.

Without sign-in readers cannot be told apart: every Slicer has the same default client name. So an assignment is
of a case, two requests under one name get different cases, and assignments end by submission, return or time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, reviews
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation
from mrseg_label.catalog.types import AssignmentOutcome
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from mrseg_label.worklist.assignments import AssignedCase, AssignmentWork, describe_assignment
from mrseg_label.worklist.requests import assign_review, fetch_requested
from mrseg_label.worklist.strategies import choose, prepare

_ATTEMPTS = 20


def assign_next_case(workspace: OpenedWorkspace, reader: Reader, strategy: str) -> AssignedCase | None:
    """Assign the next case to a reader; None if nothing is left to annotate.

    Parameters
    ----------
    strategy : ``balanced``, ``sequential``, ``random`` or ``uncertainty`` (:mod:`mrseg_label.worklist.strategies`).

    Raises
    ------
    InvalidInput
        There is no such strategy.
    Conflict
        All cases that are left are assigned to others; the message says until when.
    Unavailable
        Too many others chose at the same moment.
    """
    prepared = prepare(workspace, strategy)
    for _ in range(_ATTEMPTS):
        try:
            with workspace.catalog.begin() as session:
                moment = workspace.catalog.now(session)
                work = AssignmentWork(session, moment, reader, workspace.settings.lease_hours)
                return _assign_next(workspace, work, prepared)
        except IntegrityError:  # another server process assigned the same case first
            continue
    raise Unavailable("many readers asked for a case at the same moment; ask again")


def _assign_next(workspace: OpenedWorkspace, work: AssignmentWork, prepared: list[str] | str) -> AssignedCase | None:
    session, moment, reader = work.session, work.moment, work.reader
    rows.expire(session, moment)
    requested = fetch_requested(work)
    if requested is not None:
        return describe_assignment(session, requested)
    given_up: Sequence[str] = ()
    if reader.account is not None:
        work.return_oldest()
        given_up = rows.given_up(session, reader.account)
    # A case that a reviewer sent back goes to its author first, for as long as an assignment would last.
    sent_back = reviews.sent_back(session)
    for case, annotation, _ in sent_back:
        if annotation.author == reader.name and acquisitions.take(session, case.id):
            assignment = work.assign(case, base=annotation, second_reading=not annotation.is_final)
            return describe_assignment(session, assignment)
    reserved_for = timedelta(hours=work.hours)
    reserved = {
        case.id: rejected_at + reserved_for
        for case, _, rejected_at in sent_back
        if case.annotated_at is None and rejected_at + reserved_for > moment
    }
    chosen = choose(session, moment, prepared, workspace.settings.round_size, given_up, reserved)
    if chosen is not None:
        return describe_assignment(session, work.assign(chosen))
    if reader.may_review and workspace.settings.review == "required":
        review = assign_review(work)
        if review is not None:
            return describe_assignment(session, review)
    ends = [*reserved.values(), *filter(None, [rows.first_end(session, moment)])]
    if not ends:
        return None
    raise Conflict(
        f"all remaining cases are assigned to other readers until {iso(min(ends))} or until they submit them; "
        "ask again then"
    )


def return_to_queue(catalog: Catalog, reader: Reader, acquisition_id: str) -> None:
    """Return a reader's case to the queue without an annotation.

    Raises
    ------
    Conflict
        The case is not assigned to this reader.
    """
    with catalog.begin() as session:
        assignment = rows.newest(session, acquisition_id, reader)
        if assignment is None or assignment.ended_at is not None:
            raise Conflict(f"this case is not assigned to {reader.name}")
        assignment.ended_at, assignment.outcome = catalog.now(session), AssignmentOutcome.RETURNED
        audit.record(session, reader.name, "returned", acquisition_id, assignment=assignment.id)


def mask_to_start_from(catalog: Catalog, reader: Reader, acquisition_id: str) -> tuple[Annotation, str] | None:
    """The mask that a reader starts from instead of a pre-segmentation, and why it was sent back; None for neither.

    It is the reader's own rejected one, the newest accepted one of a case that was requested again, or the
    annotation to be reviewed.
    """
    with catalog.read() as session:
        assignment = rows.newest(session, acquisition_id, reader)
        if assignment is None or assignment.annotation_id is None or assignment.ended_at is not None:
            return None
        if assignment.expires_at <= catalog.now(session):
            return None
        annotation = annotation_rows.get(session, assignment.annotation_id)
        return (annotation, reviews.reason_of_rejection(session, annotation.id)) if annotation else None


def note_presegmentation_sent(catalog: Catalog, reader: Reader, acquisition_id: str, presegmentation_id: str) -> None:
    """Note on the reader's assignment which pre-segmentation was sent: the annotation is compared with that one."""
    with catalog.begin() as session:
        assignment = rows.newest(session, acquisition_id, reader)
        if assignment is not None and assignment.ended_at is None:
            assignment.presegmentation_id = presegmentation_id


def mark_unusable(catalog: Catalog, reader: Reader, acquisition_id: str, reason: str) -> None:
    """Take a case out of queue and count, with the reason; its annotations stay.

    Raises
    ------
    InvalidInput
        No reason.
    NotFound
        There is no such acquisition.
    Conflict
        It is marked already.
    Forbidden
        A radiologist may mark only cases that are assigned to them and that nobody else annotated.
    """
    reason = reason.strip()
    if not reason:
        raise InvalidInput("give a reason why the case cannot be used; others will want to know")
    with catalog.begin() as session:
        case = acquisitions.get(session, acquisition_id)
        if case is None:
            raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
        if not reader.sees_every_case:
            assignment = rows.newest(session, acquisition_id, reader)
            if assignment is None or assignment.ended_at is not None or assignment.second_reading:
                raise Forbidden("this case is not assigned to you; a reviewer or an admin can mark it")
            final = annotation_rows.final(session, acquisition_id)
            if final is not None and final.author != reader.name:
                raise Forbidden("another reader has annotated this case; a reviewer or an admin can mark it")
        if case.excluded_at is not None:
            raise Conflict(
                f"{acquisition_id} was already marked unusable, by {case.excluded_by}: {case.excluded_reason}"
            )
        moment = catalog.now(session)
        case.excluded_at, case.excluded_by, case.excluded_reason = moment, reader.name, reason
        rows.return_all_of_case(session, acquisition_id, moment)
        audit.record(session, reader.name, "marked unusable", acquisition_id, reason=reason)
