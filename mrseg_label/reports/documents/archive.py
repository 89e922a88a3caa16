"""Studies of the archive that a search found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from mrseg_label.intake.archive_jobs import Found


class FoundSeriesOut(BaseModel):
    """A series of the archive."""

    series: str = Field(description="UID")
    modality: str
    description: str
    instances: int | None = Field(description="null where the archive does not say")


class FoundStudyOut(BaseModel):
    """A study of the archive, with those of its series that were asked for."""

    study: str = Field(description="UID")
    date: str
    description: str
    imported: int = Field(description="images that an import made of exactly these series; 0: it would be fetched")
    series: list[FoundSeriesOut]


class FoundOut(BaseModel):
    """What a search in the archive found."""

    archive: str
    studies: list[FoundStudyOut]
    more: bool = Field(description="whether there are more than these")

    @classmethod
    def of(cls, found: Found) -> FoundOut:
        """Fill the document."""
        studies = [FoundStudyOut.model_validate(one.to_json()) for one in found.studies]
        return cls(archive=found.archive, studies=studies, more=found.more)
