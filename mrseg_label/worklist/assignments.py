"""Assign a case to a reader, and describe the assignment to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, audit, reviews
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import AssignmentOutcome, BlindKind
from mrseg_label.ids import new_id, new_ticket
from mrseg_label.worklist import reasons

MAX_OPEN_CASES = 3  # of a signed-in reader: Slicer's Next without a submission tells the server nothing


@dataclass(frozen=True)
class AssignedCase:
    """A case assigned to a reader.

    Attributes
    ----------
    ticket : unguessable; stands for the examination wherever a client sends an id, for this reader and time.
    file_name : unique, with suffix.
    digest : SHA-256 of the image file.
    annotation_id : the mask that the reader starts from instead of a pre-segmentation.
    comment : why a reviewer rejected that mask; empty where none did.
    reason : why the reader gets this case; an assignment that is described twice may say it differently.
    """

    ticket: str
    examination_id: str
    acquisition_id: str
    file_name: str
    digest: str
    expires_at: datetime
    annotation_id: str | None = None
    comment: str = ""
    reason: str = field(default="", compare=False)


@dataclass(frozen=True)
class Assigner:
    """Assigns cases to one reader in one transaction.

    Attributes
    ----------
    moment : the time of the transaction by the database's clock.
    duration : how long a case stays assigned.
    """

    session: Session
    moment: datetime
    reader: Reader
    duration: timedelta

    def assign(
        self,
        acquisition_id: str,
        *,
        second_reading: bool = False,
        base: Annotation | None = None,
        requested: bool = False,
        strategy: str | None = None,
        reason: str | None = None,
        assigned_by: str | None = None,
        blind: BlindKind | None = None,
        blind_of: str | None = None,
        draft_withheld: bool | None = None,
        **drawn: Any,
    ) -> Assignment:
        """Assign a case to the reader.

        Parameters
        ----------
        second_reading : beside another reader who may have the case; what is submitted is a second reading.
        base : the mask that the reader starts from instead of a pre-segmentation.
        requested : keep the case until the reader asks for the next one.
        strategy : by which the case was chosen, if it was.
        reason : why the reader gets this case.
        assigned_by : who assigns it, where the reader did not ask for it.
        blind, blind_of, draft_withheld : of a gold or repeated case (:mod:`mrseg_label.worklist.blind`), or one without a draft.
        drawn : further details for the audit trail.
        """
        assignment = Assignment(
            id=new_id("as"),  # not only when it is written, together with the entry in the audit trail
            ticket=new_ticket(),
            acquisition_id=acquisition_id,
            client=self.reader.client,
            account=self.reader.account,
            second_reading=second_reading,
            annotation_id=base.id if base else None,
            # The new annotation is compared with the pre-segmentation that its base started from.
            presegmentation_id=base.presegmentation_id if base else None,
            requested=requested,
            assigned_by=assigned_by,
            blind=blind,
            blind_of=blind_of,
            draft_withheld=draft_withheld,
            strategy=strategy,
            reason=reason,
            created_at=self.moment,
            expires_at=self.moment + self.duration,
        )
        self.session.add(assignment)
        detail = {"assignment": assignment.id, **drawn} | ({"reader": self.reader.name} if assigned_by else {})
        if blind is not None:
            detail |= {"blind": blind.value, "compared_with": blind_of}
        if draft_withheld is not None:
            detail["draft_withheld"] = draft_withheld
        audit.record(self.session, assigned_by or self.reader.name, "assigned", acquisition_id, **detail)
        return assignment

    def return_oldest(self, keep: str | None = None) -> None:
        """Return a signed-in reader's oldest cases to the queue so that one more fits.

        Without sign-in readers cannot be told apart, and nothing is returned. Nor is what an administrator assigned and
        the reader has not opened yet.

        Parameters
        ----------
        keep : id of an acquisition that stays with the reader and does not count.
        """
        if self.reader.account is None:
            return
        present = rows.all_open_of_reader(self.session, self.reader, self.moment)
        others = [
            assignment
            for assignment in present
            if assignment.acquisition_id != keep and not (assignment.requested and assignment.assigned_by)
        ]
        for oldest in others[: max(0, len(others) - MAX_OPEN_CASES + 1)]:
            oldest.ended_at, oldest.outcome = self.moment, AssignmentOutcome.RETURNED
            audit.record(
                self.session,
                self.reader.name,
                "returned",
                oldest.acquisition_id,
                assignment=oldest.id,
                reason="too many open cases",
            )
        self.session.flush()


def describe_assignment(
    session: Session, assignment: Assignment, *, came_back: bool = False, hidden: bool = False
) -> AssignedCase:
    """Describe an assignment of a usable case to its reader.

    Parameters
    ----------
    came_back : whether the reader had it open already.
    hidden : whether the reader must not find out which case it is.
    """
    annotation_id = assignment.annotation_id
    with session.no_autoflush:  # what is written about the assignment is written at once, at the end of the transaction
        examination_id, digest = acquisitions.opened_image(session, assignment.acquisition_id)
        comment = reviews.reason_of_rejection(session, annotation_id) if annotation_id else ""
    return AssignedCase(
        ticket=assignment.ticket,
        examination_id=examination_id,
        acquisition_id=assignment.acquisition_id,
        # The name of the case would say that it is one which the reader had before.
        file_name=f"{assignment.ticket if hidden else examination_id}.nii.gz",
        digest=digest,
        expires_at=assignment.expires_at,
        annotation_id=annotation_id,
        comment=comment,
        reason=f"{reasons.STILL_OPEN}; {assignment.reason or ''}".removesuffix("; ")
        if came_back
        else assignment.reason or "",
    )
