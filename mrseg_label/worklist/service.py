"""Assign cases to readers, and return them to the queue.

Without sign-in readers cannot be told apart under Slicer's default client name: two requests under it get different
cases, and assignments end only by submission, return or time. To a reader who is known by another name, or by an
account, an open case comes back first (:mod:`mrseg_label.worklist.open_cases`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, before_queue, blind_readings, reviews, work
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import AssignmentOutcome, Sign
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from mrseg_label.jobs.draft_jobs import begin_draft_of_assigned
from mrseg_label.reading_settings import ReadingSettings
from mrseg_label.worklist import blind
from mrseg_label.worklist.assignments import MAX_OPEN_CASES, AssignedCase, Assigner, describe_assignment
from mrseg_label.worklist.open_cases import bring_back, explain_none_left
from mrseg_label.worklist.reasons import SENT_BACK
from mrseg_label.worklist.requests import assign_review, fetch_requested
from mrseg_label.worklist.strategies import Choice, prepare

_ATTEMPTS = 20


def assign_next_case(workspace: OpenedWorkspace, reader: Reader, strategy: str) -> AssignedCase | None:
    """Assign the next case to a reader; None if nothing is left to annotate.

    A case that the reader requested comes first, then one that they have open, then one that was sent back to them.

    Parameters
    ----------
    strategy : ``balanced``, ``sequential``, ``random`` or ``uncertainty`` (:mod:`mrseg_label.worklist.strategies`).

    Raises
    ------
    InvalidInput
        There is no such strategy.
    Conflict
        All cases that are left are assigned; the message says to whom and until when.
    Unavailable
        Too many others chose at the same moment.
    """
    choice = prepare(workspace, strategy)
    duration = timedelta(hours=workspace.settings.lease_hours)
    reviews_others = reader.may_review and workspace.settings.review == "required"
    for _ in range(_ATTEMPTS):
        try:
            with workspace.catalog.begin() as session:
                assigner = Assigner(session, workspace.catalog.now(session), reader, duration)
                found = _assign_next(assigner, choice, workspace.settings, reviews_others=reviews_others)
                if isinstance(found, AssignedCase):
                    work.add(session, reader, found.acquisition_id, Sign.OPENED, assigner.moment)
        except IntegrityError:  # another server process assigned the same case first
            continue
        if isinstance(found, str):  # raised after the transaction, which it would undo
            raise Conflict(found)
        if found is not None and found.annotation_id is None:
            begin_draft_of_assigned(workspace, found.acquisition_id)
        return found
    raise Unavailable("many readers asked for a case at the same moment; ask again")


def _assign_next(
    assigner: Assigner, choice: Choice, settings: ReadingSettings, *, reviews_others: bool
) -> AssignedCase | str | None:
    """Assign the next case, or say why there is none; None if nothing is left to annotate."""
    session, moment = assigner.session, assigner.moment
    before = before_queue.read(session, assigner.reader, moment)
    if before.overdue:
        rows.expire(session, moment)
    hidden = blind.hides_cases(settings, assigner.reader, any_blind=before.blind)
    requested = fetch_requested(assigner) if before.open_cases else None
    own = requested or (bring_back(assigner) if before.open_cases else None)
    if own is not None:
        return describe_assignment(session, own, came_back=requested is None, hidden=hidden)
    # A case without a mask that was sent back is reserved for its author, for as long as an assignment lasts.
    sent_back = reviews.sent_back(session, moment) if before.rejected else []
    reserved = {
        entry.case.id: entry.rejected_at + assigner.duration
        for entry in sent_back
        if entry.case.annotated_at is None
        and entry.annotation.is_final
        and entry.rejected_at + assigner.duration > moment
    }
    assignment = _assign_sent_back(assigner, sent_back) or _assign_waiting(assigner, choice, reserved, settings)
    if assignment is None and reviews_others:
        assignment = assign_review(assigner)
    if assignment is not None:
        if before.open_cases >= MAX_OPEN_CASES:
            assigner.return_oldest(keep=assignment.acquisition_id)
        return describe_assignment(session, assignment, hidden=hidden)
    ends = [*reserved.values(), *filter(None, [rows.first_end(session, moment)])]
    return explain_none_left(session, assigner.reader, moment, ends)


def _assign_sent_back(assigner: Assigner, sent_back: Sequence[reviews.SentBack]) -> Assignment | None:
    """Assign the case that was sent back to this reader first, with the rejected mask."""
    for case, annotation, _, recipient in sent_back:
        if recipient == assigner.reader.name and acquisitions.try_lock(assigner.session, case.id):
            second_reading = not annotation.is_final
            return assigner.assign(case.id, base=annotation, second_reading=second_reading, reason=SENT_BACK)
    return None


def _assign_waiting(
    assigner: Assigner, choice: Choice, reserved: Collection[str], settings: ReadingSettings
) -> Assignment | None:
    """Assign the waiting case that comes next and is not reserved for another reader, or one that measures something."""
    account = assigner.reader.account
    returned_or_expired = () if account is None else rows.returned_or_expired(assigner.session, account)
    chosen = choice.next_case(assigner.session, assigner.moment, returned_or_expired, reserved)
    if chosen is None:
        return None
    strategy, reason = choice.order.strategy, chosen.reason
    instead = blind.choose(assigner, settings, chosen.acquisition_id)
    if instead is None:
        withheld = blind.withholds_draft(settings, chosen.acquisition_id)
        return assigner.assign(chosen.acquisition_id, strategy=strategy, reason=reason, draft_withheld=withheld)
    return assigner.assign(
        instead.acquisition_id,
        second_reading=True,
        strategy=strategy,
        reason=reason,  # of the case that came next: what a reader is told must not differ
        blind=instead.kind,
        blind_of=instead.annotation_id,
        draft_withheld=instead.draft_withheld,
        draw=round(instead.draw, 6),
        share=instead.share,
    )


def return_to_queue(catalog: Catalog, reader: Reader, acquisition_id: str) -> None:
    """Return a reader's case to the queue without an annotation.

    Raises
    ------
    Conflict
        The case is not assigned to this reader.
    """
    with catalog.begin() as session:
        moment = catalog.now(session)
        assignment = rows.open_of_reader(session, acquisition_id, reader, moment)
        if assignment is None:
            raise Conflict(f"this case is not assigned to {reader.name}")
        assignment.ended_at, assignment.outcome = moment, AssignmentOutcome.RETURNED
        audit.record(session, reader.name, "returned", acquisition_id, assignment=assignment.id)


def mask_to_start_from(catalog: Catalog, reader: Reader, acquisition_id: str) -> tuple[Annotation, str] | None:
    """Find the mask that a reader starts from instead of a pre-segmentation, and why it was sent back.

    It is the reader's own rejected one, the newest accepted one of a case that was requested again, or the
    annotation to be reviewed; None where the reader starts from a pre-segmentation.
    """
    with catalog.read() as session:
        assignment = rows.open_of_reader(session, acquisition_id, reader, catalog.now(session))
        if assignment is None or assignment.annotation_id is None:
            return None
        annotation = annotation_rows.get(session, assignment.annotation_id)
        return (annotation, reviews.reason_of_rejection(session, annotation.id)) if annotation else None


def is_draft_withheld(catalog: Catalog, reader: Reader, acquisition_id: str) -> bool:
    """Whether it was drawn that a reader gets no draft of the case that they have."""
    with catalog.read() as session:
        assignment = rows.newest(session, acquisition_id, reader)
        return assignment is not None and bool(assignment.draft_withheld)


def note_presegmentation_sent(catalog: Catalog, reader: Reader, acquisition_id: str, presegmentation_id: str) -> None:
    """Note on the reader's assignment which pre-segmentation was sent: the annotation is compared with that one.

    Slicer fetches a draft twice, and nobody else has to wait for the second note.
    """
    with catalog.read() as session:
        assignment = rows.open_of_reader(session, acquisition_id, reader, catalog.now(session))
        if assignment is None or assignment.presegmentation_id == presegmentation_id:
            return
    with catalog.begin() as session:
        assignment = rows.open_of_reader(session, acquisition_id, reader, catalog.now(session))
        if assignment is not None:
            assignment.presegmentation_id = presegmentation_id


def mark_unusable(catalog: Catalog, reader: Reader, acquisition_id: str, reason: str) -> None:
    """Exclude a case from the queue and from all counts, with the reason; its annotations are kept.

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
        moment = catalog.now(session)
        if not reader.sees_every_case:
            assignment = rows.open_of_reader(session, acquisition_id, reader, moment)
            if assignment is not None and assignment.blind is not None:
                # The reader is told what he is told of every case; the case itself is not his to mark.
                assignment.ended_at, assignment.outcome = moment, AssignmentOutcome.RETURNED
                audit.record(session, reader.name, blind_readings.CALLED_UNUSABLE, acquisition_id, reason=reason)
                return
            if assignment is None or assignment.second_reading:
                raise Forbidden("this case is not assigned to you; a reviewer or an admin can mark it")
            final = annotation_rows.final(session, acquisition_id)
            if final is not None and final.author != reader.name:
                raise Forbidden("another reader has annotated this case; a reviewer or an admin can mark it")
        if case.excluded_at is not None:
            raise Conflict(
                f"{acquisition_id} was already marked unusable, by {case.excluded_by}: {case.excluded_reason}"
            )
        case.excluded_at, case.excluded_by, case.excluded_reason = moment, reader.name, reason
        rows.return_all_of_case(session, acquisition_id, moment)
        audit.record(session, reader.name, "marked unusable", acquisition_id, reason=reason)
