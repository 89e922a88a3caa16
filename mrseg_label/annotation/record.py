"""Store a decoded submission: first its files, then its row in the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import acquisitions, assignments, audit, blind_readings
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries.doubts import texts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Annotation,
    Assignment,
    Examination,
    Presegmentation,
)
from mrseg_label.catalog.types import AnnotationState, AssignmentOutcome, StructureState
from mrseg_label.errors import Unavailable
from mrseg_label.ids import new_id
from mrseg_label.jobs import queue

if TYPE_CHECKING:
    from mrseg_label.segments.decode import Decoded  # NumPy and NiBabel are behind it, and a review needs neither

MEASURE_PRIORITY = 50  # of the job that measures effort
RESTORED_FROM = "restored_from"  # keys of Annotation.report
STARTED_FROM = "began_from"  # the annotation that the reader started from instead of a pre-segmentation
_ATTEMPTS = 20


@dataclass(frozen=True)
class Submitted:
    """The annotation that a submission became.

    Attributes
    ----------
    number : of this annotation among those of its acquisition, from 1.
    is_final : whether it is the acquisition's mask (once accepted), or a second reading beside another's.
    repeated : the reader had submitted the same before, and nothing new was recorded.
    seconds : from assignment to submission; None where the case was not assigned to this reader.
    report : what decoding changed: renamed, ignored and overlapping segments, moved voxels; and what is doubted (``doubts``).
    """

    annotation_id: str
    number: int
    acquisition_id: str
    examination_id: str
    state: AnnotationState
    is_final: bool
    repeated: bool
    seconds: float | None
    report: dict[str, Any]

    @property
    def doubts(self) -> list[str]:
        """What the audit doubts about the mask, in words."""
        return texts(self.report)


@dataclass(frozen=True)
class Submission:
    """A decoded submission before it is stored.

    Attributes
    ----------
    version : the N of ``version_N``, where a reviewer saved an edited annotation beside the one that was submitted.
    """

    examination: Examination
    reader: Reader
    decoded: Decoded
    digest: str
    upload_digest: str
    presegmentation: Presegmentation | None
    states: dict[str, StructureState]
    report: dict[str, Any]
    version: int | None = None

    def is_same_as(self, annotation: Annotation) -> bool:
        """Whether an annotation that was not rejected has the same mask and judges the same structures."""
        if annotation.digest != self.digest or annotation.state is AnnotationState.REJECTED:
            return False
        if annotation.version != self.version:
            return False
        return annotation.judged == set(self.decoded.voxels)


def store(workspace: OpenedWorkspace, submission: Submission, mask_file: Path, upload: Path, suffix: str) -> Submitted:
    """Store mask and upload, then record them; on return both are on disk and the row is committed.

    Raises
    ------
    Unavailable
        Many others submitted the same case at the same moment.
    """
    acquisition_id = submission.examination.acquisition_id
    for _ in range(_ATTEMPTS):
        with workspace.catalog.read() as session:
            number = rows.next_number(session, acquisition_id)
        annotation_id = new_id("an")
        stem = f"annotations/{acquisition_id}/{number:04d}-{annotation_id}"
        path, upload_path = f"{stem}.nii.gz", f"{stem}.upload{suffix}"
        workspace.put_file(path, mask_file)
        workspace.put_file(upload_path, upload)
        recorded: Submitted | None = None
        # Another submission may have taken the number meanwhile.
        with suppress(IntegrityError), workspace.catalog.begin() as session:
            recorded = _record(session, workspace, submission, annotation_id, number, (path, upload_path))
        if recorded is None or recorded.repeated:
            for unused in (path, upload_path):  # certainly no row points to them
                workspace.path(unused).unlink()
        if recorded is not None:
            return recorded
    raise Unavailable("many submissions of this case arrived at the same moment; submit again")


def _record(
    session: Session,
    workspace: OpenedWorkspace,
    submission: Submission,
    annotation_id: str,
    number: int,
    files: tuple[str, str],
) -> Submitted | None:
    """Insert the annotation with everything that belongs to it; None if its number is taken."""
    reader, presegmentation = submission.reader, submission.presegmentation
    acquisition = acquisitions.lock(session, submission.examination.acquisition_id)
    assert acquisition is not None
    moment = workspace.catalog.now(session)
    assignments.expire(session, moment)
    version = submission.version
    # A version has no part in assignments: its author reviews, and was not assigned the case to annotate it.
    assignment = assignments.newest(session, acquisition.id, reader) if version is None else None
    earlier = rows.all_of(session, acquisition.id)
    newest = next((one for one in reversed(earlier) if one.author == reader.name), None)
    is_final = version is not None or _becomes_final(earlier, reader, assignment, moment)
    # Of a gold or repeated case the same mask once more is a reading of its own.
    other_reading = assignment is not None and assignment.blind and newest and newest.assignment_id != assignment.id
    same = newest is not None and submission.is_same_as(newest) and (newest.is_final or not is_final)
    if newest is not None and same and not other_reading:
        _close(assignment, moment)
        return as_submitted(newest, repeated=True)
    if number != (earlier[-1].number if earlier else 0) + 1:
        return None
    # Nobody is asked to review what no reader gets: the masks of a cohort that serves evaluation alone.
    accepted = (workspace.settings.review == "off" or acquisition.evaluation_only) and version is None
    if accepted and workspace.settings.qualification_cases:
        accepted = not blind_readings.awaits_qualification(session, reader)
    annotation = Annotation(
        id=annotation_id,
        acquisition_id=acquisition.id,
        examination_id=submission.examination.id,
        number=number,
        state=AnnotationState.ACCEPTED if accepted else AnnotationState.SUBMITTED,
        author=reader.name,
        client=reader.client,
        path=files[0],
        digest=submission.digest,
        upload_path=files[1],
        upload_digest=submission.upload_digest,
        presegmentation_id=presegmentation.id if presegmentation else None,
        model_version=presegmentation.model_version if presegmentation else None,
        assignment_id=assignment.id if assignment else None,
        seconds=(moment - assignment.created_at).total_seconds() if assignment else None,
        is_final=is_final,
        version=version,
        report=submission.report
        | ({STARTED_FROM: assignment.annotation_id} if assignment and assignment.annotation_id else {}),
        created_at=moment,
    )
    session.add(annotation)
    rows.add_structures(session, annotation_id, submission.states, submission.decoded.voxels)
    if accepted and annotation.is_final:
        acquisition.annotated_at = acquisition.annotated_at or moment
        settle(session, acquisition)
    _close(assignment, moment)
    audit.record(session, reader.name, "submitted", annotation_id, examination=submission.examination.id, number=number)
    session.flush()
    queue.enqueue(
        session, queue.MEASURE_EFFORT, {"annotation": annotation_id}, key=annotation_id, priority=MEASURE_PRIORITY
    )
    return as_submitted(annotation, repeated=False)


def _becomes_final(
    earlier: Sequence[Annotation], reader: Reader, assignment: Assignment | None, moment: datetime
) -> bool:
    """Whether a submission may become the acquisition's mask, of which there are ``earlier`` annotations, oldest first.

    It may if there is no mask yet, if the present one is the reader's own, or if the case is assigned to the reader.
    A second reading, and a submission without an open assignment, leave the present mask of another reader.
    """
    masks = [one for one in earlier if one.is_final and one.state is AnnotationState.ACCEPTED]
    present = masks or [one for one in earlier if one.is_final and one.awaits_review and one.counts]
    if not present:
        return True
    if assignment is not None and assignment.blind is not None:
        return False  # it measures the reader; the case keeps the mask that it had
    if assignment is not None and assignment.is_open(moment):
        return not assignment.second_reading
    return present[-1].author == reader.name


def _close(assignment: Assignment | None, moment: datetime) -> None:
    if assignment is not None and assignment.is_open(moment):
        assignment.ended_at, assignment.outcome = moment, AssignmentOutcome.SUBMITTED


def as_submitted(annotation: Annotation, *, repeated: bool) -> Submitted:
    """Describe an annotation to the reader who submitted it."""
    return Submitted(
        annotation_id=annotation.id,
        number=annotation.number,
        acquisition_id=annotation.acquisition_id,
        examination_id=annotation.examination_id,
        state=annotation.state,
        is_final=annotation.is_final,
        repeated=repeated,
        seconds=annotation.seconds,
        report=annotation.report,
    )
