"""What a correction changed of its draft, structure by structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.types import StructureState
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import joint_histogram

LabelMap = NDArray[np.integer[Any]]


def structure_states(
    scheme: LabelScheme, mask: LabelMap, voxels: Mapping[str, int], presegmentation: LabelMap | None
) -> dict[str, StructureState]:
    """State of every structure of the scheme in a submission.

    Parameters
    ----------
    mask : (X, Y, Z) the submission in the scheme's ids.
    voxels : of the structures that the reader sent; zero says absent, a missing one was not judged.
    draft : (X, Y, Z) what the reader began with, or None.
    """
    compared = None if presegmentation is None else joint_histogram(presegmentation, mask, len(scheme))
    states = {}
    for structure in scheme:
        if structure.name not in voxels:
            # Where the reader drew something else over it, that stays on top and nothing is filled.
            filled = compared is not None and compared[structure.id, 0] > 0
            state = StructureState.FILLED if filled else StructureState.NOT_ANNOTATED
        elif voxels[structure.name] == 0:
            state = StructureState.ABSENT
        elif compared is None or compared[structure.id].sum() == 0:
            state = StructureState.DRAWN
        else:
            same = compared[structure.id, structure.id]
            untouched = same == compared[structure.id].sum() == compared[:, structure.id].sum()
            state = StructureState.UNCHANGED if untouched else StructureState.CORRECTED
        states[structure.name] = state
    return states


def judged_part(scheme: LabelScheme, presegmentation: LabelMap, judged: set[str]) -> LabelMap:
    """The draft without the structures that the reader removed from the list: leaving those out is no edit."""
    keep = np.zeros(len(scheme) + 1, dtype=presegmentation.dtype)
    for structure in scheme:
        if structure.name in judged:
            keep[structure.id] = structure.id
    part: LabelMap = keep[presegmentation]
    return part
