"""Who has which case, and what there is of each participant."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.participants import ParticipantCounts
from mrseg_label.catalog.tables import Acquisition, Assignment
from mrseg_label.catalog.types import AssignmentOutcome, BlindKind
from mrseg_label.reports.documents.base import Moment


class ReservationOut(BaseModel):
    """An assignment: a case that is or was reserved for a reader. Its ticket is the reader's alone."""

    id: str
    examination: str | None = Field(description="the channel that readers open")
    participant: str
    station: str
    reader: str = Field(description="account or, without sign-in, name of the client")
    purpose: Literal["correct", "second_read", "review"]
    state: Literal["open", "submitted", "returned", "expired"]
    created: Moment
    until: Moment = Field(description="end of the assignment, unless it ended before")
    ended: Moment | None
    strategy: str | None = Field(description="by which the case was chosen; null where it was not")
    reason: str | None = Field(description="why the reader got this case; null where that was not kept")
    blind: BlindKind | None = Field(
        description="gold or repeat, where the reader does not know it; null for radiologists"
    )
    draft_withheld: bool | None = Field(
        description="whether the reader gets no draft, where that was drawn; null where it was not, and for radiologists"
    )

    @classmethod
    def of(cls, row: Assignment, case: Acquisition, moment: datetime) -> ReservationOut:
        """Fill the document from its rows; ``moment`` is now."""
        outcome = row.outcome if row.ended_at is not None else None
        ended_as: AssignmentOutcome = outcome or AssignmentOutcome.EXPIRED
        return cls(
            id=row.id,
            examination=case.primary_examination_id,
            participant=case.participant.code,
            station=case.station,
            reader=row.account or row.client,
            purpose="correct" if not row.second_reading else "review" if row.annotation_id else "second_read",
            state="open" if row.is_open(moment) else ended_as.value,
            created=row.created_at,
            until=row.expires_at,
            ended=row.ended_at,
            strategy=row.strategy,
            reason=row.reason,
            blind=row.blind,
            draft_withheld=row.draft_withheld,
        )


class ParticipantOut(BaseModel):
    """A participant, and what there is of them."""

    code: str
    sex: str | None
    age: float | None
    held_out: bool | None = Field(
        description="whether models are tested on them and not trained; null: not yet decided"
    )
    excluded: str | None = Field(description="why they are excluded; null where they are not")
    cohort: str | None = Field(description="the data set that they came with; null where none was stated")
    evaluation_only: bool = Field(
        description="whether their cases serve evaluation alone: nobody gets them, no model learns"
    )
    cases: int
    annotated: int = Field(description="cases with an accepted annotation")
    examinations: int

    @classmethod
    def of(cls, row: ParticipantCounts) -> ParticipantOut:
        """Fill the document from its row."""
        person = row.participant
        return cls(
            code=person.code,
            sex=person.sex,
            age=person.age,
            held_out=person.held_out,
            excluded=(person.excluded_reason or "no reason given") if person.excluded_at else None,
            cohort=person.cohort,
            evaluation_only=person.evaluation_only,
            cases=row.cases,
            annotated=row.annotated,
            examinations=row.examinations,
        )
