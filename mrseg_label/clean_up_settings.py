"""Settings of the clean-up of drafts: the table ``[clean_up]`` of ``mrseg.toml``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class CleanUpSettings(BaseSettings):
    """Which steps of the clean-up are done."""

    clean_up_places: bool = Field(
        True, description="remove structures from drafts that readers found in nobody at that station"
    )
    clean_up_edges: bool = Field(
        True, description="remove what a draft has in padding, in air, or as a thin sheet at the edge of the image"
    )
    clean_up_sides: bool = Field(
        True, description="give parts of paired structures in drafts to the side of the body that they lie on"
    )
    clean_up_components: bool = Field(True, description="remove stray components of structures from drafts")
