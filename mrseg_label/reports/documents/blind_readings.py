"""What readers submitted without knowing why: agreement with gold cases, with themselves, and what drafts change."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.reports.documents.base import Moment


class EstimateOut(BaseModel):
    """A mean with its 95 % interval, which resamples participants."""

    mean: float | None = Field(description="null where there are no values")
    low: float | None = Field(description="null below two participants")
    high: float | None = Field(description="null below two participants")
    cases: int
    participants: int


class PairOfMasksOut(BaseModel):
    """Agreement of two masks over some cases."""

    dsc: EstimateOut = Field(description="mean over the structures of each case, then over cases")
    hd95_mm: EstimateOut = Field(description="the same; structures that only one mask has are not in it")
    hd95_infinite: int = Field(description="structures that only one of the two masks has, which have no distance")


class DraftArmOut(BaseModel):
    """Cases whose readers got a draft, or got none, as it was drawn."""

    cases: int
    with_draft: PairOfMasksOut = Field(description="agreement of what was submitted with the draft")
    minutes: EstimateOut = Field(description="time at work on a case")


class DraftBiasOut(BaseModel):
    """How far drafts influence what readers submit."""

    shown: DraftArmOut = Field(description="cases with their draft")
    withheld: DraftArmOut = Field(description="cases without; compared with the draft that the reader would have got")
    dsc_difference: EstimateOut = Field(
        description="agreement with the draft where it was shown, less that where it was withheld: above 0, readers follow the draft"
    )
    minutes_difference: EstimateOut = Field(
        description="minutes with less minutes without a draft: below 0, drafts save time"
    )
    repeated_shown: PairOfMasksOut = Field(
        description="a reader twice on one case, both times with a draft: what is left to chance"
    )
    repeated_withheld: PairOfMasksOut = Field(
        description="a reader twice on one case, the second time without a draft; the draft's influence lowers it"
    )
    repeated_difference: EstimateOut = Field(
        description="DSC of the former less that of the latter, of different cases"
    )
    not_measured: int = Field(description="pairs of masks that a worker measures soon")
    rule: str


class GoldReadingOut(BaseModel):
    """What a reader submitted of a gold case."""

    annotation: str
    created: Moment
    examination: str
    participant: str
    mean_dsc: float | None = Field(description="null: not measured yet, or no structure that counts")
    mean_hd95_mm: float | None


class GoldReaderOut(BaseModel):
    """A reader's agreement with gold cases over time."""

    reader: str
    qualified: Moment | None = Field(description="since when his annotations count, where a qualification is asked for")
    awaits_qualification: bool
    overall: PairOfMasksOut
    newest: PairOfMasksOut = Field(description="of the last ten readings")
    readings: list[GoldReadingOut] = Field(description="oldest first")


class GoldCaseOut(BaseModel):
    """A gold case."""

    annotation: str
    examination: str | None
    participant: str
    station: str
    marked: Moment
    by: str
    readers: int = Field(description="how many got it so far")


class GoldOut(BaseModel):
    """Gold cases, and how readers did on them."""

    cases: list[GoldCaseOut] = Field(description="newest first")
    readers: list[GoldReaderOut] = Field(description="by name")
    qualification_cases: int = Field(description="gold cases of a qualification; 0: none is asked for")
    qualification_dsc: float
    not_measured: int
