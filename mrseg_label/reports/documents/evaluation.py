"""What ``evaluate`` found: every case, and the means of every structure."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.evaluation.values import Found


class MeasuredStructureOut(BaseModel):
    """A structure of a case; null is not measured."""

    found: Found
    dsc: float | None
    hd95_mm: float | None = Field(description="null also where it is infinite: where found is missed")
    nsd: float | None
    reference_ml: float | None
    prediction_ml: float | None


class EvaluatedCaseOut(BaseModel):
    """A case that was measured."""

    model: str
    case: str
    participant: str
    data_set: str
    sequence: str
    station: str
    sex: str
    age: float | None
    propagated_from: str | None = Field(
        description="the case whose image the reference was drawn on, where that is another one; null: drawn on this image"
    )
    mean_dsc: float | None
    structures: dict[str, MeasuredStructureOut]


class EvaluatedStructureOut(BaseModel):
    """Means of a structure over the cases in which it counts."""

    dsc: float | None
    dsc_sd: float | None
    hd95_mm: float | None = Field(description="over the cases in which it is finite")
    hd95_sd_mm: float | None
    hd95_infinite: int = Field(description="cases in which the structure was missed")
    nsd: float | None
    nsd_sd: float | None
    n: int = Field(description="cases in which the structure counts")
    propagated: int = Field(description="of these, those whose reference was drawn on another image of the acquisition")


class RefusedCaseOut(BaseModel):
    """A case that could not be measured."""

    source: str
    reason: str


class EvaluationOut(BaseModel):
    """An evaluation; with several models, ``structures`` are those of all of them together."""

    cases: list[EvaluatedCaseOut]
    propagated: int = Field(
        description="images whose reference was drawn on another image of the acquisition; with several models, once"
    )
    references: int = Field(
        description="different references: an image and those that its mask was propagated to have one together"
    )
    structures: dict[str, EvaluatedStructureOut]
    mean_dsc: float | None = Field(description="mean over the cases of each case's mean over its structures")
    refused: list[RefusedCaseOut]
    notes: list[str]
    rule: str
