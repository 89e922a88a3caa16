"""Cases that a reader requests: an annotated one again, a second reading, a review.

Slicer's module can only ask for the next case. So what is requested here, over REST or the command line, waits
for the reader and comes with the next request for a case.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, reviews
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.worklist.assignments import AssignedCase, AssignmentWork, describe_assignment


class Purpose(StrEnum):
    """What a reader requests a case for."""

    CORRECT = "correct"  # again, starting from its newest accepted mask; without one like any case
    SECOND_READ = "second_read"  # independently, starting from the pre-segmentation, beside what another submitted
    REVIEW = "review"  # to look at an annotation that awaits review


def request_case(
    workspace: OpenedWorkspace,
    reader: Reader,
    purpose: Purpose,
    acquisition_id: str | None = None,
) -> AssignedCase:
    """Reserve a case for a reader, who gets it with the next request for a case.

    Parameters
    ----------
    acquisition_id : which case; optional for a second reading or a review.

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
            work = AssignmentWork(session, moment, reader, workspace.settings.lease_hours)
            rows.expire(session, moment)
            if acquisition_id is not None:
                _check_usable(session, acquisition_id)
            if purpose is Purpose.CORRECT and reader.sees_annotations_of is not None:
                _check_own(session, acquisition_id, reader)
            work.return_oldest(keep=acquisition_id)
            if purpose is Purpose.CORRECT:
                assignment = _assign_to_correct(work, acquisition_id)
            else:
                find = assign_second_reading if purpose is Purpose.SECOND_READ else assign_review
                found = find(work, acquisition_id, requested=True)
                if found is None:
                    raise NotFound(_nothing_for(purpose, acquisition_id))
                assignment = found
            return describe_assignment(session, assignment)
    except IntegrityError as error:  # another server process assigned it at the same moment
        raise Conflict("this case was assigned to another reader at the same moment; ask again") from error


def fetch_requested(work: AssignmentWork) -> Assignment | None:
    """Fetch the case that the reader requested and has not got yet."""
    requested = rows.requested(work.session, work.reader)
    if requested is not None:
        requested.requested = False
        audit.record(work.session, work.reader.name, "fetched", requested.acquisition_id, assignment=requested.id)
    return requested


def assign_second_reading(
    work: AssignmentWork, acquisition_id: str | None = None, *, requested: bool = False
) -> Assignment | None:
    """Assign a case that others have annotated and this reader has not; None if there is none."""
    case = acquisitions.for_second_reading(work.session, work.moment, work.reader, acquisition_id)
    return None if case is None else work.assign(case, second_reading=True, requested=requested)


def assign_review(
    work: AssignmentWork, acquisition_id: str | None = None, *, requested: bool = False
) -> Assignment | None:
    """Assign the oldest annotation of another reader that awaits review, with its mask; None if there is none."""
    found = reviews.next_to_review(work.session, work.reader, acquisition_id)
    case = acquisitions.get(work.session, found.acquisition_id) if found else None
    return None if case is None else work.assign(case, second_reading=True, base=found, requested=requested)


def _assign_to_correct(work: AssignmentWork, acquisition_id: str | None) -> Assignment:
    if acquisition_id is None:
        raise InvalidInput("name the examination that you want to correct")
    session, reader = work.session, work.reader
    case = acquisitions.get(session, acquisition_id)
    assert case is not None
    base = _mask_to_correct(session, acquisition_id, reader)
    present = rows.open_of(session, acquisition_id)
    if present is None:
        return work.assign(case, base=base, requested=True)
    if not _is_of(present, reader):
        raise Conflict(
            f"this case is assigned to another reader until {iso(present.expires_at)} or until they submit it"
        )
    present.requested, present.annotation_id = True, base.id if base else None
    audit.record(session, reader.name, "requested", acquisition_id, assignment=present.id)
    if base is not None:
        present.presegmentation_id = base.presegmentation_id
    return present


def _is_of(assignment: Assignment, reader: Reader) -> bool:
    if reader.account is not None:
        return assignment.account == reader.account
    return assignment.account is None and assignment.client == reader.client


def _mask_to_correct(session: Session, acquisition_id: str, reader: Reader) -> Annotation | None:
    """The newest accepted mask; where there is none, what this reader submitted last."""
    final = annotation_rows.final(session, acquisition_id)
    if final is not None:
        return final
    waiting = annotation_rows.awaiting_review(session, acquisition_id)
    if waiting is not None and waiting.author != reader.name:
        raise Conflict(f"the annotation by {waiting.author} awaits review; request this case with the purpose review")
    newest = annotation_rows.newest_by(session, acquisition_id, reader.name)
    return newest if newest is not None and (newest == waiting or newest.state is AnnotationState.REJECTED) else None


def _check_own(session: Session, acquisition_id: str | None, reader: Reader) -> None:
    if acquisition_id is None or annotation_rows.newest_by(session, acquisition_id, reader.name) is not None:
        return
    assignment = rows.newest(session, acquisition_id, reader)
    if assignment is None or assignment.ended_at is not None:
        raise Forbidden("you have not annotated this case and it is not assigned to you; ask for the next case")


def _check_usable(session: Session, acquisition_id: str) -> None:
    case: Acquisition | None = acquisitions.get(session, acquisition_id)
    if case is None or case.primary_examination_id is None:
        raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
    if case.excluded_at is not None:
        raise Conflict(f"this case was marked unusable by {case.excluded_by}: {case.excluded_reason}")


def _nothing_for(purpose: Purpose, acquisition_id: str | None) -> str:
    if purpose is Purpose.REVIEW:
        reasons = "REVIEW is off, it has been reviewed, it is being reviewed, or it is your own"
        if acquisition_id is None:
            return f"no case is awaiting your review ({reasons})"
        return f"this case is not awaiting your review ({reasons})"
    reasons = "it is not annotated, it is being read a second time, or you have read it yourself"
    if acquisition_id is None:
        return f"no case is available for a second reading by you ({reasons})"
    return f"this case is not available for a second reading by you ({reasons})"
