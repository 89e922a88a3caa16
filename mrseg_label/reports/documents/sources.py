"""Sources: what makes the drafts now."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.presegmentation.installed import WeightsState


class SourceOut(BaseModel):
    """A source of drafts that is in use: a published network with the way in which it gets its images, or a model version."""

    name: str = Field(description="as drafts state it, such as `TotalSegmentator inverted` or `r2`")
    source: str = Field(description="as BOOTSTRAP_SOURCES names it, such as `total_mr` or `model:r2`")
    title: str = Field(description="of the network, or how the model version came about")
    sequences: list[str] = Field(
        description="sequence types whose drafts it makes, in lower case; `*` stands for all others, and alone for all"
    )
    mixed: bool = Field(
        description="whether it only gives the structures for which it was chosen, and another source makes the draft (MIXTURE)"
    )
    orientation: str | None = Field(
        description="axis codes of the images that its network was trained on; null where its files cannot be read"
    )
    licences: list[str] = Field(description="of its weights, and of those that its training started from")
    weights: WeightsState
