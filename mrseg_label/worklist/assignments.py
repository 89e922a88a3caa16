"""Assign a case to a reader, and what the reader is told about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, audit, reviews
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment
from mrseg_label.catalog.types import AssignmentOutcome
from mrseg_label.ids import new_ticket

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
    comment : why a reviewer sent that mask back to its author.
    """

    ticket: str
    examination_id: str
    acquisition_id: str
    file_name: str
    digest: str
    expires_at: datetime
    annotation_id: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class AssignmentWork:
    """One transaction that assigns a case: its session, its moment, the reader and how long the case stays theirs."""

    session: Session
    moment: datetime
    reader: Reader
    hours: float

    def assign(
        self,
        case: Acquisition,
        *,
        second_reading: bool = False,
        base: Annotation | None = None,
        requested: bool = False,
    ) -> Assignment:
        """Assign a case to the reader.

        Parameters
        ----------
        second_reading : beside whoever else has the case; what is submitted is a further reading.
        base : the mask that the reader starts from instead of a pre-segmentation.
        requested : keep it until the reader asks for the next case.
        """
        new = Assignment(
            ticket=new_ticket(),
            acquisition_id=case.id,
            client=self.reader.client,
            account=self.reader.account,
            second_reading=second_reading,
            annotation_id=base.id if base else None,
            # The annotation continues from the same pre-segmentation, and is compared with it.
            presegmentation_id=base.presegmentation_id if base else None,
            requested=requested,
            created_at=self.moment,
            expires_at=self.moment + timedelta(hours=self.hours),
        )
        self.session.add(new)
        self.session.flush()
        audit.record(self.session, self.reader.name, "assigned", case.id, assignment=new.id)
        return new

    def return_oldest(self, keep: str | None = None) -> None:
        """Return a signed-in reader's oldest cases to the queue so that one more fits.

        Without sign-in readers cannot be told apart, and nothing is returned.

        Parameters
        ----------
        keep : acquisition that the reader may have already, and keeps.
        """
        if self.reader.account is None:
            return
        open_ = [item for item in rows.open_of_reader(self.session, self.reader) if item.acquisition_id != keep]
        for oldest in open_[: max(0, len(open_) - MAX_OPEN_CASES + 1)]:
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


def describe_assignment(session: Session, assignment: Assignment) -> AssignedCase:
    """What the reader of an assignment is told."""
    examination = acquisitions.primary_of(session, assignment.acquisition_id)
    assert examination is not None
    annotation_id = assignment.annotation_id
    return AssignedCase(
        ticket=assignment.ticket,
        examination_id=examination.id,
        acquisition_id=assignment.acquisition_id,
        file_name=f"{examination.id}.nii.gz",
        digest=examination.digest,
        expires_at=assignment.expires_at,
        annotation_id=annotation_id,
        comment=reviews.reason_of_rejection(session, annotation_id) if annotation_id else "",
    )
