"""Compare a submission with its pre-segmentation, structure by structure."""

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
    """Find the state of every structure of the scheme in a submission.

    Parameters
    ----------
    mask : (X, Y, Z) the submission in the label ids of the scheme.
    voxels : number of voxels of the structures that were judged; zero means absent.
    presegmentation : (X, Y, Z) what the reader started from, or None.
    """
    compared = None if presegmentation is None else joint_histogram(presegmentation, mask, len(scheme))
    states = {}
    for structure in scheme:
        if structure.name not in voxels:
            # Only voxels that the reader left to the background are filled.
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
    """Remove from a pre-segmentation (X, Y, Z) the structures that the reader did not judge: this is no edit."""
    keep = np.zeros(len(scheme) + 1, dtype=presegmentation.dtype)
    for structure in scheme:
        if structure.name in judged:
            keep[structure.id] = structure.id
    part: LabelMap = keep[presegmentation]
    return part
