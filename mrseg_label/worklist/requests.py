"""Reserve a case that a reader requests: to correct it again, to read it a second time, or to review it.

Slicer's module can only ask for the next case. A case that is requested over REST or the command line is reserved
for the reader and comes with the next request for a case.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, reviews
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.queries.blind_readings import any_blind
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.jobs.draft_jobs import begin_draft_of_assigned
from mrseg_label.worklist import reasons
from mrseg_label.worklist.assignments import AssignedCase, Assigner, describe_assignment
from mrseg_label.worklist.blind import hides_cases


class Purpose(StrEnum):
    """What a reader requests a case for."""

    CORRECT = "correct"  # to annotate it again, starting from its newest accepted mask, or for the first time
    SECOND_READ = "second_read"  # to annotate it independently, starting from the pre-segmentation
    REVIEW = "review"  # to look at an annotation that awaits review


def request_case(
    workspace: OpenedWorkspace, reader: Reader, purpose: Purpose, acquisition_id: str | None = None
) -> AssignedCase:
    """Reserve a case for a reader, who gets it with the next request for a case.

    Parameters
    ----------
    acquisition_id : the case; optional for a second reading or a review.

    Raises
    ------
    InvalidInput
        A correction without a case.
    NotFound
        There is no such case, or none for this purpose.
    Conflict
        Another reader has it (the message says until when), or it is unusable.
    Forbidden
        A radiologist may correct only what they annotated or have now.
    """
    try:
        with workspace.catalog.begin() as session:
            moment = workspace.catalog.now(session)
            assigner = Assigner(session, moment, reader, timedelta(hours=workspace.settings.lease_hours))
            rows.expire(session, moment)
            case = None if acquisition_id is None else _usable_case(session, acquisition_id)
            if purpose is Purpose.CORRECT:
                assignment = _assign_correction(assigner, case)
            else:
                assignment = _assign_other(assigner, purpose, acquisition_id)
            hidden = hides_cases(workspace.settings, reader, any_blind=any_blind(session))
            found = describe_assignment(session, assignment, hidden=hidden)
    except IntegrityError as error:  # another server process assigned it at the same moment
        raise Conflict("this case was assigned to another reader at the same moment; ask again") from error
    if found.annotation_id is None:
        begin_draft_of_assigned(workspace, found.acquisition_id)
    return found


def fetch_requested(assigner: Assigner) -> Assignment | None:
    """Fetch the case that the reader requested and has not got yet."""
    session, reader = assigner.session, assigner.reader
    assignment = rows.requested(session, reader, assigner.moment)
    if assignment is not None:
        assignment.requested = False
        if assignment.assigned_by is not None:  # its time begins now
            assignment.expires_at = max(assignment.expires_at, assigner.moment + assigner.duration)
        audit.record(session, reader.name, "fetched", assignment.acquisition_id, assignment=assignment.id)
    return assignment


def assign_second_reading(
    assigner: Assigner, acquisition_id: str | None = None, *, requested: bool = False
) -> Assignment | None:
    """Assign a case that others have annotated and this reader has not; None if there is none."""
    case = acquisitions.for_second_reading(assigner.session, assigner.moment, assigner.reader, acquisition_id)
    if case is None:
        return None
    return assigner.assign(case.id, second_reading=True, requested=requested, reason=reasons.SECOND_READING)


def assign_review(
    assigner: Assigner, acquisition_id: str | None = None, *, requested: bool = False
) -> Assignment | None:
    """Assign the oldest annotation by another reader that awaits review; None if there is none."""
    session = assigner.session
    annotation = reviews.next_to_review(session, assigner.moment, assigner.reader, acquisition_id)
    case = acquisitions.get(session, annotation.acquisition_id) if annotation else None
    if case is None:
        return None
    return assigner.assign(case.id, second_reading=True, base=annotation, requested=requested, reason=reasons.REVIEW)


def _assign_correction(assigner: Assigner, case: Acquisition | None) -> Assignment:
    if case is None:
        raise InvalidInput("name the examination that you want to correct")
    session, reader, moment = assigner.session, assigner.reader, assigner.moment
    unaware = rows.open_of_reader(session, case.id, reader, moment)
    if unaware is not None and unaware.blind is not None:  # it comes again as it came first, with no mask
        unaware.requested = True
        audit.record(session, reader.name, "requested", case.id, assignment=unaware.id)
        return unaware
    if reader.sees_annotations_of is not None:
        _check_own(session, case.id, reader, assigner.moment)
    assigner.return_oldest(keep=case.id)
    base = mask_to_correct(session, case.id, reader)
    present = rows.open_of(session, case.id, moment)
    if present is None:
        return assigner.assign(case.id, base=base, requested=True, reason=reasons.REQUESTED)
    if not rows.belongs_to(present, reader):
        raise Conflict(
            f"this case is assigned to another reader until {iso(present.expires_at)} or until they submit it"
        )
    present.requested, present.annotation_id = True, base.id if base else None
    present.reason = reasons.REQUESTED
    if base is not None:
        present.presegmentation_id = base.presegmentation_id
    audit.record(session, reader.name, "requested", case.id, assignment=present.id)
    return present


def _assign_other(assigner: Assigner, purpose: Purpose, acquisition_id: str | None) -> Assignment:
    assigner.return_oldest(keep=acquisition_id)
    find = assign_second_reading if purpose is Purpose.SECOND_READ else assign_review
    assignment = find(assigner, acquisition_id, requested=True)
    if assignment is None:
        raise NotFound(_none_found(purpose, acquisition_id))
    return assignment


def mask_to_correct(session: Session, acquisition_id: str, reader: Reader) -> Annotation | None:
    """The newest accepted mask; where there is none, what this reader submitted last."""
    final = annotation_rows.final(session, acquisition_id)
    if final is not None:
        return final
    pending = annotation_rows.awaiting_review(session, acquisition_id)
    if pending is not None and pending.author != reader.name:
        raise Conflict(
            f"the annotation by {pending.author} is awaiting review; request this case with the purpose review"
        )
    own = annotation_rows.newest_by(session, acquisition_id, reader.name)
    return own if own is not None and (own == pending or own.state is AnnotationState.REJECTED) else None


def _check_own(session: Session, acquisition_id: str, reader: Reader, moment: datetime) -> None:
    if annotation_rows.newest_by(session, acquisition_id, reader.name) is not None:
        return
    if rows.open_of_reader(session, acquisition_id, reader, moment) is None:
        raise Forbidden("you have not annotated this case and it is not assigned to you; ask for the next case")


def _usable_case(session: Session, acquisition_id: str) -> Acquisition:
    case = acquisitions.get(session, acquisition_id)
    if case is None or case.primary_examination_id is None:
        raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
    if case.excluded_at is not None:
        raise Conflict(f"this case was marked unusable by {case.excluded_by}: {case.excluded_reason}")
    return case


def _none_found(purpose: Purpose, acquisition_id: str | None) -> str:
    if purpose is Purpose.REVIEW:
        if acquisition_id is None:
            return "no case is awaiting your review; annotations that others review now, and your own, are left out"
        return (
            "this case is not awaiting your review: no annotation of it awaits review, "
            "it is being reviewed, or it is your own"
        )
    if acquisition_id is None:
        return (
            "no annotated case is available for a second reading by you; cases that you have annotated yourself, "
            "or that others read a second time now, are left out"
        )
    return (
        "this case is not available for a second reading by you: it is not annotated, "
        "it is being read a second time, or you have annotated it yourself"
    )
