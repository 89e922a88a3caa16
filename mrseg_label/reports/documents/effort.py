"""What readers changed in drafts, grouped."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.queries.effort import Dimension
from mrseg_label.metrics.bootstrap import INTERVAL, Mean


class MeanOut(BaseModel):
    """A mean over cases with its interval."""

    mean: float | None
    low: float | None = Field(description="lower end of the interval; null with too few participants")
    high: float | None
    cases: int = Field(description="number of cases in which it was measured")
    participants: int = Field(description="of how many people they are")

    @classmethod
    def of(cls, found: Mean) -> MeanOut:
        """Fill the document from what was computed."""
        return cls(mean=found.mean, low=found.low, high=found.high, cases=found.cases, participants=found.participants)


class OutcomesOut(BaseModel):
    """What became of the structures of drafts: number of structures, each case counted."""

    untouched: int = Field(0, description="in the draft, and accepted exactly as they were")
    corrected: int = Field(0, description="in the draft and in the annotation, and changed")
    drawn: int = Field(0, description="not in the draft, and drawn")
    removed: int = Field(0, description="in the draft, and not in the image as the reader says")
    absent: int = Field(0, description="in neither, and not in the image as the reader says")
    outside_field_of_view: int = Field(0, description="in neither, and in nobody's annotation of the station")
    forgotten: int = Field(0, description="not judged, though nearly everybody at the station has it")
    not_judged: int = Field(0, description="not judged, and none of these")

    @property
    def accepted_share(self) -> float | None:
        """Of the structures that are in draft and annotation, the share that was accepted untouched."""
        there = self.untouched + self.corrected
        return self.untouched / there if there else None


class EffortGroupOut(BaseModel):
    """The effort of one group of cases. Figures are means over its cases."""

    group: dict[Dimension, str | int | None] = Field(
        description="what it is grouped by; a null model version: drawn without a draft; a null round: an imported model's draft, or none"
    )
    cases: int
    participants: int
    propagated_images: int = Field(
        description="further images of these cases that their masks were propagated to; in no figure, since each correction counts once"
    )
    unchanged_cases: int = Field(description="whose draft was accepted as it was; of single structures: untouched")
    edited_voxels: MeanOut
    edited_ml: MeanOut
    edits: MeanOut = Field(description="number of connected sets of changed voxels")
    surface_changed: MeanOut = Field(
        description="share (0 to 1) of the surfaces of draft and annotation that is farther from the other than the tolerance"
    )
    seconds: MeanOut = Field(description="time at work, with pauses left out; not known of single structures")
    dsc: MeanOut = Field(description="of draft and annotation")
    outcomes: OutcomesOut


class EffortOut(BaseModel):
    """What readers changed in drafts, by group."""

    by: list[Dimension]
    groups: list[EffortGroupOut]
    not_measured: int = Field(
        description="annotations of an earlier version whose edits and surfaces a worker measures soon, or cannot measure since a file is damaged"
    )
    interval: str = Field(INTERVAL, description="what low and high are")
    rules: dict[str, str] = Field(description="how each figure is taken")
