"""The learning curve with its uncertainty, and what another round would bring."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from mrseg_label.catalog.types import ModelStatus
from mrseg_label.metrics.bootstrap import INTERVAL
from mrseg_label.metrics.forecast import RULE, Forecast
from mrseg_label.reports.documents.base import Moment
from mrseg_label.reports.documents.effort import MeanOut
from mrseg_label.scoring import MEAN_OF_CASES


class CurveDimension(StrEnum):
    """By what the learning curve can be split."""

    STRUCTURE = "structure"
    REGION = "region"
    STATION = "station"
    SEQUENCE = "sequence"


class Origin(StrEnum):
    """From where a held-out annotation began."""

    OWN = "own"  # the draft of the model that is judged, which favours it
    OTHER = "other"  # the draft of another model
    NOTHING = "nothing"  # no draft


class HeldOutFiguresOut(BaseModel):
    """What a model scored on held-out cases."""

    dsc: MeanOut
    hd95_mm: MeanOut = Field(description="mean over cases of each case's mean over the structures where it is finite")
    infinite_hd95: int = Field(
        description="structures, each case counted, of which the model has nothing, so that HD95 is infinite; in no mean"
    )
    nsd: MeanOut
    images: int = Field(
        description="channels of these cases that it was evaluated on; the mean of each case is over its channels"
    )
    propagated_images: int = Field(
        description="of these, those whose annotation was drawn on another channel of the case"
    )
    origins: dict[Origin, MeanOut] = Field(
        description="DSC by what the annotations began from: the judged model's own draft, another model's, or nothing"
    )


class DraftFiguresOut(BaseModel):
    """What readers changed in the drafts that they were given."""

    cases: int
    participants: int
    unchanged_cases: int
    dsc: MeanOut = Field(description="of draft and annotation")
    edited_ml: MeanOut
    edits: MeanOut
    surface_changed: MeanOut
    seconds: MeanOut


class CurveGroupOut(BaseModel):
    """One point of the curve, of one group."""

    group: str | None = Field(description="structure, region, station or sequence; null where the curve is not split")
    drafts: DraftFiguresOut
    held_out: HeldOutFiguresOut = Field(description="on all held-out cases that it was evaluated on")
    held_out_common: HeldOutFiguresOut = Field(
        description="on those that all evaluated versions have, so that versions can be compared"
    )


class CurvePointOut(BaseModel):
    """One model version."""

    round: int | None = Field(description="0 for the first drafts, null for an imported version")
    model_version: str
    status: ModelStatus
    created: Moment
    training_cases: int
    saw_held_out: bool = Field(description="whether it was trained on held-out participants too")
    groups: list[CurveGroupOut]


class ForecastOut(BaseModel):
    """What the model of another round is expected to reach."""

    training_cases: int
    value: float
    low: float
    high: float
    gain: float = Field(description="difference from the newest round, as it was measured")
    gain_low: float
    gain_high: float
    limit: float = Field(description="what the fitted curve tends to with ever more cases")
    exponent: float

    @classmethod
    def of(cls, found: Forecast) -> ForecastOut:
        """Fill the document from what was estimated."""
        return cls(
            training_cases=found.size,
            value=found.value,
            low=found.low,
            high=found.high,
            gain=found.gain,
            gain_low=found.gain_low,
            gain_high=found.gain_high,
            limit=found.law.limit,
            exponent=found.law.exponent,
        )


class EstimateOut(BaseModel):
    """What another round would bring in one group; null where too few rounds were measured."""

    group: str | None
    held_out_dsc: ForecastOut | None
    edited_ml: ForecastOut | None = Field(description="of a case, in its drafts")
    note: str = Field(description="why there is no estimate; empty where there are both")


class LearningCurveOut(BaseModel):
    """How good the model of each round is, and how much work its drafts were."""

    by: CurveDimension | None
    rounds: list[CurvePointOut] = Field(description="oldest first; imported versions last")
    common_cases: int = Field(description="held-out cases that all evaluated versions have")
    estimates: list[EstimateOut]
    interval: str = Field(INTERVAL, description="what low and high of the means are")
    estimate_rule: str = Field(RULE, description="how the estimates are made")
    rule: str = Field(MEAN_OF_CASES, description="how the means are taken")
