"""What is known of an image among the others of its acquisition."""

from __future__ import annotations

from enum import StrEnum


class Misregistration(StrEnum):
    """Whether an image lies elsewhere than the others of its acquisition: what the import suspects, or what an admin decided."""

    SUSPECTED = "suspected"  # by the import; awaits a decision
    CONFIRMED = "confirmed"
    NONE = "none"  # looked at, and in place

    @property
    def keeps_out(self) -> bool:
        """Whether no mask is propagated from or to the image."""
        return self is not Misregistration.NONE


class Labelled(StrEnum):
    """How an examination comes by the annotation of its acquisition."""

    DRAWN = "drawn"  # on it
    PROPAGATED = "propagated"  # from another channel
