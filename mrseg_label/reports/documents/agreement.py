"""How far readers agree."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.annotation.independence import INDEPENDENT
from mrseg_label.reports.documents.base import Moment
from mrseg_label.scoring import MIN_REFERENCE_VOXELS

DSC_RULE = f"DSC: mean over cases of which a reader drew at least {MIN_REFERENCE_VOXELS} voxels of the structure"
HD95_RULE = "HD95 in mm: mean over cases in which both drew it; those in which only one did have no distance and are counted apart. NSD: mean over the cases of the DSC"


class StructureAgreementOut(BaseModel):
    """How far readers agree on one structure, over the cases that both judged it in."""

    cases: int = Field(description="that the mean DSC is over")
    dsc: float | None
    dsc_sd: float | None = Field(description="standard deviation over these cases; null of fewer than two")
    hd95_mm: float | None
    hd95_sd_mm: float | None
    hd95_cases: int = Field(description="that the mean HD95 is over")
    hd95_infinite: int = Field(description="cases in which only one reader drew it, which have no distance")
    nsd: float | None = Field(description="normalised surface Dice at the tolerance of the label scheme")
    nsd_sd: float | None


class AgreementSummaryOut(BaseModel):
    """How far readers agree over some pairs of independent readings."""

    cases: int = Field(description="pairs of readings, each of one case")
    same_draft: int = Field(
        description="pairs of which both readers corrected the same draft, which makes them agree more than if they had drawn by hand"
    )
    mean_dsc: float | None = Field(description="mean over the pairs of each pair's mean over its structures that count")
    structures: dict[str, StructureAgreementOut] = Field(description="in the order of the label ids")


class ReaderPairOut(AgreementSummaryOut):
    """How far two readers agree."""

    first: str
    second: str


class ComparedCaseOut(BaseModel):
    """Two independent readings of a case; `/annotations/{first}/compare/{second}` has its structures."""

    examination: str
    first: str = Field(description="annotation")
    second: str = Field(description="annotation")
    first_reader: str
    second_reader: str
    created: Moment = Field(description="when the later one was submitted")
    mean_dsc: float | None = Field(description="null where no structure counts")


class ReaderAgreementOut(BaseModel):
    """How far the readers of a study agree. Each pair of readings is measured once, after the second was submitted."""

    overall: AgreementSummaryOut
    readers: list[ReaderPairOut] = Field(description="by pair of readers")
    cases: list[ComparedCaseOut] = Field(description="least agreement first")
    not_measured: int = Field(description="pairs of readings that a worker measures soon")
    rule: str = Field(f"Over {INDEPENDENT}. {DSC_RULE}. {HD95_RULE}.", description="what is compared, and how")


class OwnAgreementOut(AgreementSummaryOut):
    """How far a reader agrees with the others, without naming them or the cases."""

    reader: str
    others: int = Field(description="number of other readers")
    rule: str = Field(f"Over {INDEPENDENT}. {DSC_RULE}. {HD95_RULE}.", description="what is compared, and how")
