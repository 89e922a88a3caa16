"""The bodies of requests, as types."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from mrseg_label.annotation.review import MAX_COMMENT
from mrseg_label.case_actions import CaseAction, CaseActionKind
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH
from mrseg_label.catalog.types import CaseState, Priority, SwapState
from mrseg_label.intake.names import MAX_NAME_LENGTH
from mrseg_label.reports.examinations import MOST_CASES
from mrseg_label.worklist.many_cases import DAYS, MOST_DAYS
from mrseg_label.worklist.requests import Purpose


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("must be printable text")
    return name


def _without_control_characters(text: str) -> str:
    if any(not character.isprintable() and character not in "\n\r\t" for character in text):
        raise ValueError("must be text without control characters")
    return text


ClientName = Annotated[
    str | None,
    Field(
        max_length=MAX_CLIENT_LENGTH,
        description="name of the reader, as in Slicer's settings; required without sign-in, ignored with it",
    ),
    AfterValidator(lambda name: None if name is None else _printable(name)),
]
Text = Annotated[str, Field(max_length=MAX_COMMENT), AfterValidator(_without_control_characters)]


class ReaderRequest(BaseModel):
    """A request of a reader."""

    model_config = {"extra": "forbid"}
    client: ClientName = None


class ReviewRequest(ReaderRequest):
    """A decision about an annotation, and the reason for it."""

    comment: Text = ""


class SendBackRequest(ReaderRequest):
    """Why an annotation is sent back, and who corrects it."""

    comment: Annotated[Text, Field(min_length=1)]
    reader: ClientName = Field(
        None, description="an account or, without sign-in, the user name in Slicer; by default the author"
    )


class UnusableRequest(ReaderRequest):
    """Why a case cannot be used."""

    reason: Annotated[Text, Field(min_length=1)]


class DismissalRequest(ReaderRequest):
    """Why a suspicious mask is in order."""

    reason: Annotated[Text, Field(min_length=1)]


class AssignmentRequest(ReaderRequest):
    """A case that a reader requests, and its purpose."""

    purpose: Purpose = Purpose.CORRECT
    examination: str | None = Field(
        None, description="id of the case; for a second reading or a review it may be left out"
    )


class MatchingRequest(BaseModel):
    """Which examinations are meant, as the filters of the list say; a participant may be named, since no address has it."""

    model_config = {"extra": "forbid"}
    participant: Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_printable)] | None = None
    station: Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_without_control_characters)] | None = (
        None
    )
    sequence: Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_without_control_characters)] | None = (
        None
    )
    state: CaseState | None = None
    swap: SwapState | None = None
    priority: Priority | None = None
    expected: Annotated[int, Field(ge=0)] = Field(
        description="how many examinations you expect; with another number of them nothing is changed"
    )

    def wanted(self) -> ExaminationFilter:
        """Return the filter."""
        return ExaminationFilter(**self.model_dump(exclude={"expected"}))


class CaseActionRequest(BaseModel):
    """What to do with the cases of some examinations, or of all that a filter finds."""

    model_config = {"extra": "forbid"}
    action: CaseActionKind
    examinations: Annotated[list[str], Field(min_length=1, max_length=MOST_CASES)] | None = Field(
        None, description="ids; either these or `matching`"
    )
    matching: MatchingRequest | None = None
    reason: Text = Field("", description="of `exclude`")
    reader: Annotated[str, Field(max_length=MAX_CLIENT_LENGTH)] = Field(
        "",
        description="who gets the cases, of `assign` and `second_reading`: an account or, without sign-in, a user name in Slicer",
    )
    days: int = Field(DAYS, ge=1, le=MOST_DAYS, description="how long the cases wait for the reader")
    priority: Priority = Field(Priority.NORMAL, description="of `priority`")

    @model_validator(mode="after")
    def _names_one_kind(self) -> Self:
        if (self.examinations is None) == (self.matching is None):
            raise ValueError("give either examinations or matching")
        return self

    def act(self) -> CaseAction:
        """Return the action."""
        return CaseAction(self.action, self.reason, self.reader, self.days, self.priority)


class EditRequest(BaseModel):
    """Corrections of an examination; what is left out stays, and null means unknown or none."""

    model_config = {"extra": "forbid"}
    participant: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="code of the participant, who is added if there is none"
    )
    session: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = None
    station: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = None
    sequence: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = None
    swap: Literal["confirmed", "none"] | None = Field(
        None, description="whether fat and water are exchanged, for the fat and the water image of the acquisition"
    )
    misregistration: Literal["confirmed", "none"] | None = Field(
        None, description="whether the image lies elsewhere than the others of its acquisition"
    )
    propagation: Literal["on", "off"] | None = Field(
        None, description="whether a mask that was drawn on one image of the acquisition is used for the others"
    )
    sex: Literal["M", "F", "O"] | None = Field(None, description="of the participant")
    age: Annotated[float, Field(ge=0, le=130)] | None = Field(None, description="of the participant, in years")
    alone: bool = Field(False, description="take the image out of its acquisition, without the other channels")

    def values(self) -> dict[str, str]:
        """Return the fields that were sent, as texts."""
        sent = self.model_dump(exclude_unset=True, exclude={"alone"})
        return {name: "" if value is None else str(value) for name, value in sent.items()}


class RoundRequest(BaseModel):
    """The kind of round to start."""

    model_config = {"extra": "forbid"}
    final: bool = Field(False, description="train the ensemble that a project ends with: five folds, cross-validated")
    include_held_out: bool = Field(
        False, description="with `final`: train on held-out participants too; such a version cannot be compared"
    )
    pretrain: bool = Field(
        False, description="learn from drafts of cases that nobody corrected; the next round starts from the result"
    )
