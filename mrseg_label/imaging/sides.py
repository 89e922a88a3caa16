"""Give the parts of paired structures to the side that they lie on.

A component goes to the other structure of its pair if at least :data:`MOST` of it lies beyond the midplane, and its centre
farther than the midplane's tolerance: a kidney that is right of the midline is the right one, whichever name it has, also where
the field of view shows one side alone. A component that straddles the midplane is divided there if at least :data:`DIVIDED`
of it lies on the wrong side and beyond the tolerance; otherwise it is left alone, as the left common iliac vein is, which rightly
crosses the midline. What lies within the tolerance is a tie and is left alone, and so is what is smaller than :data:`SPECK_ML`.

Two things speak against a midplane that neither a second kind of evidence confirms: if it says that both structures of a pair lie on one
side although the left one lies left of the right one, the pair is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.anatomy import Anatomy, Pair
from mrseg_label.imaging.changes import Change, Step
from mrseg_label.imaging.components import Components
from mrseg_label.imaging.midline import Midline
from mrseg_label.imaging.voxels import Foreground

MOST = 0.9
DIVIDED = 0.25
SPECK_ML = 0.1
# A midplane that is less certain than this divides nothing.
DIVIDES_WITHIN_MM = 20.0


def resolve_sides(
    label_map: NDArray[np.uint8],
    foreground: Foreground,
    components: Components,
    anatomy: Anatomy,
    midline: Midline,
) -> tuple[NDArray[np.uint8], list[Change], list[str]]:
    """Give every part of a paired structure its side.

    Parameters
    ----------
    label_map : (X, Y, Z), not changed.
    foreground, components : of this label map.

    Returns
    -------
    label_map : (X, Y, Z), the same array if nothing changes.
    changes : by structure.
    notes : what was left alone, and why.
    """
    result = label_map
    changed: dict[tuple[int, int], int] = {}
    notes = []
    row = midline.to_the_right(foreground.affine)
    for pair in anatomy.pairs:
        moves, note = _moves(pair, foreground, components, row, midline)
        if note:
            notes.append(
                f"the sides of {anatomy.name(pair.left)} and {anatomy.name(pair.right)} are left alone: {note}"
            )
        for label, places in moves:
            if result is label_map:
                result = label_map.copy()
            other = anatomy.opposite(label)
            result[tuple(foreground.index[:, places])] = other
            changed[label, other] = changed.get((label, other), 0) + len(places)
    changes = [
        Change(Step.SIDES, anatomy.name(label), voxels, anatomy.name(other))
        for (label, other), voxels in changed.items()
    ]
    return result, changes, notes


def _moves(
    pair: Pair, foreground: Foreground, components: Components, row: NDArray[np.float64], midline: Midline
) -> tuple[Sequence[tuple[int, NDArray[np.intp]]], str]:
    """Find the voxels of a pair that change sides, as numbers in the foreground, by label; or why none does."""
    moves: list[tuple[int, NDArray[np.intp]]] = []
    centers: dict[int, float] = {}
    moved_main: dict[int, bool] = {}
    for label, wrong in ((pair.left, 1.0), (pair.right, -1.0)):
        places = np.flatnonzero(foreground.labels == label)
        if not len(places):
            continue
        # How far each voxel is on the wrong side of the midplane.
        beyond = wrong * foreground.along(row, places)
        owner = components.ids[tuple(foreground.index[:, places])]
        _parts, inverse, sizes = np.unique(owner, return_inverse=True, return_counts=True)
        center = np.bincount(inverse, weights=beyond) / sizes
        share = np.bincount(inverse, weights=beyond > 0) / sizes
        far = np.bincount(inverse, weights=beyond > midline.tolerance_mm) / sizes
        large = sizes * foreground.voxel_ml >= SPECK_ML
        whole = large & (share >= MOST) & (center > midline.tolerance_mm)
        divided = large & ~whole & (far >= DIVIDED) & (midline.tolerance_mm <= DIVIDES_WITHIN_MM)
        chosen = whole[inverse] | (divided[inverse] & (beyond > 0))
        main = int(sizes.argmax())
        centers[label], moved_main[label] = wrong * float(center[main]), bool(whole[main])
        if chosen.any():
            moves.append((label, places[chosen]))
    if len(centers) == 2 and not midline.is_confirmed and any(moved_main.values()) and not all(moved_main.values()):
        apart = centers[pair.right] - centers[pair.left]
        if apart > 2 * midline.tolerance_mm:
            return (
                [],
                f"{midline.evidence} would put both on one side, but they lie {apart:.0f} mm apart in the right order",
            )
    return moves, ""
