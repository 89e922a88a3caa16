"""What a clean-up changed in a label map, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """The steps of the clean-up, in their order."""

    PLACES = "places"
    EDGES = "edges"
    SIDES = "sides"
    COMPONENTS = "components"


_WHY = {
    Step.PLACES: "{voxels:,} voxels of {structure} removed: it cannot lie in this station",
    Step.EDGES: "{voxels:,} voxels of {structure} removed: they lie outside of the body, or as a thin sheet at the edge of the image",
    Step.SIDES: "{voxels:,} voxels of {structure} became {became}: they lie on the other side of the midline",
    Step.COMPONENTS: "{voxels:,} voxels of {structure} removed: stray, away from the rest of it",
}


@dataclass(frozen=True)
class Change:
    """Voxels of one structure that one step changed.

    Attributes
    ----------
    became : the structure that they are now; None where they were removed.
    """

    step: Step
    structure: str
    voxels: int
    became: str | None = None

    @property
    def text(self) -> str:
        """The change in words."""
        return _WHY[self.step].format(voxels=self.voxels, structure=self.structure, became=self.became)


def to_json(steps: Sequence[Step], changes: Sequence[Change], notes: Sequence[str]) -> dict[str, Any]:
    """Describe a clean-up.

    Parameters
    ----------
    steps : those that were done.
    notes : what was left alone, and why.
    """
    return {
        "steps": [str(step) for step in steps],
        "voxels": sum(change.voxels for change in changes),
        "changes": [
            {
                "step": str(change.step),
                "structure": change.structure,
                "became": change.became,
                "voxels": change.voxels,
                "text": change.text,
            }
            for change in changes
        ],
        "notes": list(notes),
    }
