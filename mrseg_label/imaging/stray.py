"""Remove stray components of structures.

From the largest to the smallest, a component is kept if it

- is the largest of its structure, or has at least :data:`TIE` of the largest: which of the two is right is not decided here;
- has a voxel of a kept component around it, closer than :data:`NEAR_MM` (to its bounding box): part of the same structure behind a gap;
- touches the edge of the image and has at least :data:`AT_EDGE` of the largest: the connection may lie outside;
- belongs to a structure that need not be in one piece (bowel, vessels, vertebrae), and touches the edge of the image, has at
  least :data:`PART` of the largest, or is smaller than :data:`SPECK_ML`: where a loop of bowel ends, careful masks have a few voxels.

All others are removed, and become background.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.changes import Change, Step
from mrseg_label.imaging.components import Box, Components

TIE = 0.5
AT_EDGE = 0.1
PART = 0.01
NEAR_MM = 20.0
SPECK_ML = 2.0


def stray_components(
    components: Components, anatomy: Anatomy, frame: Box, spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Choose the components to remove, (n + 1,).

    Parameters
    ----------
    frame : the part of the array that shows anything; its faces are the edge of the image.
    """
    stray = np.zeros(len(components.sizes), dtype=np.bool_)
    around = [int(NEAR_MM / spacing) for spacing in spacing_mm]
    speck = SPECK_ML * 1000 / float(np.prod(spacing_mm))
    for label, parts in components.structures():
        if len(parts) == 1:
            continue
        largest = components.sizes[parts[0]]
        enough, at_edge, small = (TIE, AT_EDGE, 0) if label in anatomy.in_one_piece else (PART, 0, speck)
        kept = np.zeros(len(components.sizes), dtype=np.bool_)
        kept[parts[0]] = True
        for part in parts[1:]:
            share = components.sizes[part] / largest
            kept[part] = (
                share >= enough
                or components.sizes[part] < small
                or (share >= at_edge and components.at_border(int(part), frame))
                or bool(kept[_surroundings(components, int(part), around)].any())
            )
        stray[parts] = ~kept[parts]
    return stray


def _surroundings(components: Components, part: int, around: list[int]) -> NDArray[np.integer[Any]]:
    """The numbers of the components in a component's bounding box and around it, also those of other structures."""
    box = components.boxes[part - 1]
    return components.ids[
        tuple(slice(max(0, one.start - more), one.stop + more) for one, more in zip(box, around, strict=True))
    ]


def changes_of(components: Components, removed: NDArray[np.bool_], anatomy: Anatomy, step: Step) -> list[Change]:
    """Count by structure what is removed with components."""
    counts = np.bincount(components.labels[removed], weights=components.sizes[removed])
    return [Change(step, anatomy.name(int(label)), int(counts[label])) for label in np.flatnonzero(counts)]
