"""Clean up a draft: structures that cannot lie in its station, the edge of the image, mixed-up sides, stray components.

Each step is optional, changes nothing that it is not sure of, and says what it changed. The order matters: a left kidney on the right
side first becomes a part of the right kidney, and is removed only if it is stray there.

References
----------
Häntze H et al. MRSegmentator: multi-modality segmentation of 40 classes in MRI and CT. arXiv:2405.06463, section 3.3.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.audit import looks_mirrored, structures_midline
from mrseg_label.imaging.changes import Change, Step, to_json
from mrseg_label.imaging.components import Components, whole_frame
from mrseg_label.imaging.field_of_view import outside_components, padded_voxels, sheets, shown_frame
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.midline import Midline, find_midline, midline_of_outline
from mrseg_label.imaging.orientation import reorient, reorient_like
from mrseg_label.imaging.outline import find_outline
from mrseg_label.imaging.sides import resolve_sides
from mrseg_label.imaging.stray import changes_of, stray_components
from mrseg_label.imaging.voxels import Foreground

ALL_STEPS = tuple(Step)
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class CleanedUp:
    """A label map after the clean-up.

    Attributes
    ----------
    label_map : (X, Y, Z) on the grid of the one before.
    steps : those that were done.
    changes : what was changed.
    notes : what was left alone, and why.
    midline : of the body; None if it was not needed, or could not be found.
    """

    label_map: LabelMap
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    midline: Midline | None

    def record(self) -> dict[str, Any]:
        """Describe what was done, as JSON."""
        return to_json(self.steps, self.changes, self.notes)


def clean_up(
    label_map: LabelMap,
    geometry: Geometry,
    anatomy: Anatomy,
    image: NDArray[Any] | None = None,
    steps: Collection[Step] = ALL_STEPS,
    impossible: Collection[int] = (),
) -> CleanedUp:
    """Clean up a draft.

    Parameters
    ----------
    label_map : (X, Y, Z) label ids, in any axis order; it is not changed.
    geometry : its grid.
    image : (X, Y, Z) on the same grid. Without it nothing is known of the body's outline and of padding.
    impossible : label ids of structures that cannot lie in the station.
    """
    done = tuple(step for step in Step if step in steps)
    work, grid = reorient(label_map, geometry)
    work = np.ascontiguousarray(work)
    shown = None if image is None else reorient(image, geometry)[0]
    changes: list[Change] = []
    notes: list[str] = []
    if Step.PLACES in done:
        work, removed = _without(work, sorted(impossible), anatomy)
        changes += removed
    frame = whole_frame(work.shape) if shown is None else shown_frame(shown)
    outline = None if image is None else find_outline(image, geometry)
    midline = None
    components = Components.of(work)
    if Step.EDGES in done:
        count = len(anatomy.names)
        before = np.bincount(work.ravel(), minlength=count + 1)
        if shown is not None:
            padded = padded_voxels(shown, frame) & (work > 0)
            if padded.any():
                work = np.where(padded, np.uint8(0), work)
                components = Components.of(work)
        invented = sheets(components, frame, grid.spacing_mm)
        if outline is not None:
            invented |= outside_components(components, outline, frame)
        work, components = _removed(work, components, invented)
        lost = before - np.bincount(work.ravel(), minlength=count + 1)
        changes += [Change(Step.EDGES, anatomy.name(int(k)), int(lost[k])) for k in np.flatnonzero(lost[1:]) + 1]
    if Step.SIDES in done and anatomy.pairs:
        foreground = Foreground.of(work, grid)
        midline = find_midline(
            structures_midline(foreground, anatomy), None if outline is None else midline_of_outline(outline)
        )
        if midline is None:
            notes.append("sides are left alone: nothing tells where the midline of the body is")
        elif looks_mirrored(foreground, anatomy):
            notes.append("sides are left alone: the whole draft looks mirrored left to right")
        else:
            resolved, moved, left_alone = resolve_sides(work, foreground, components, anatomy, midline)
            changes += moved
            notes += left_alone
            if resolved is not work:
                work, components = resolved, Components.of(resolved)
    if Step.COMPONENTS in done:
        stray = stray_components(components, anatomy, frame, grid.spacing_mm)
        changes += changes_of(components, stray, anatomy, Step.COMPONENTS)
        work = _removed(work, components, stray)[0]
    result = np.asfortranarray(reorient_like(work, grid, geometry)) if changes else label_map
    return CleanedUp(result, done, tuple(changes), tuple(notes), midline)


def _without(work: LabelMap, labels: Sequence[int], anatomy: Anatomy) -> tuple[LabelMap, list[Change]]:
    counts = np.bincount(work.ravel(), minlength=len(anatomy.names) + 1)
    present = [label for label in labels if counts[label]]
    if not present:
        return work, []
    table = np.arange(256, dtype=np.uint8)
    table[present] = 0
    return table[work], [Change(Step.PLACES, anatomy.name(label), int(counts[label])) for label in present]


def _removed(work: LabelMap, components: Components, removed: NDArray[np.bool_]) -> tuple[LabelMap, Components]:
    """Remove components; the numbers of the others stay."""
    if not removed.any():
        return work, components
    work = np.where(components.where(removed), np.uint8(0), work)
    number = np.where(removed, 0, np.arange(len(removed)))
    sizes, labels = np.where(removed, 0, components.sizes), np.where(removed, 0, components.labels)
    return work, Components(number[components.ids], labels, sizes, components.boxes)
