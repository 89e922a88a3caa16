"""Settings of what readers are measured by: gold cases, repeated cases, cases without a draft, qualification."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class ReadingSettings(BaseSettings):
    """How often a reader gets a case that measures something, and what a new reader has to show."""

    without_draft_share: float = Field(
        0.0, ge=0, le=0.5, description="share of the cases that readers get without a draft, to measure its influence"
    )
    repeat_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of a reader's cases that are finished ones of the same reader again; needs sign-in",
    )
    repeat_after_days: float = Field(
        14.0, ge=0, description="days after which a finished case may be assigned to its reader again"
    )
    gold_share: float = Field(
        0.0, ge=0, le=0.5, description="share of a reader's cases that are gold cases; needs sign-in"
    )
    qualification_cases: int = Field(
        0, ge=0, le=100, description="gold cases that a new radiologist reads before his annotations count; 0: none"
    )
    qualification_dsc: float = Field(
        0.8, ge=0, le=1, description="mean DSC with them from which on the annotations of this reader count"
    )

    @property
    def blinds_readers(self) -> bool:
        """Whether readers may get cases without knowing why."""
        return bool(self.gold_share or self.repeat_share or self.qualification_cases)
