"""Where a structure that nobody annotated may lie in a case, so that no more than that place is kept from training.

A structure that was not annotated and that no good draft shows is not absent. Its possible place follows from other
cases of the same station: the voxels of each case that has the structure, drawn or filled, are taken relative to the
bounding box of the body; the place is where any of them has it, and :data:`MARGIN_MM` around, or :data:`WIDE_MARGIN_MM`
around fewer than :data:`FEWEST_PLACED` cases. In a case of unknown station, the structure may be anywhere. Where readers
judged it in :data:`FEWEST_ABSENT` participant of the station or more, and no case of the station has it, it is taken to be
absent: readers tidy segments away that are empty, so most of what is missing from the first submissions of a project is
not to be seen at their station, and a network that learns hardly any background finds structures everywhere.

docs/benchmarks.md has how much of the structures of other phantoms lies in places that were found like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, load_image, reorient

FEWEST_ABSENT = 1
FEWEST_PLACED = 3
MARGIN_MM, WIDE_MARGIN_MM = 20.0, 40.0
_CELL = 0.025  # of the extent of the body; about a centimetre
_AROUND = 0.15  # of the extent of the body, on either side of it
_CELLS = round((1 + 2 * _AROUND) / _CELL)

Box = NDArray[np.float64]  # (2, 3): lower and upper end along right, anterior and superior


@dataclass
class Occurrence:
    """In which participants of one station readers judged a structure, and which have it, drawn or filled."""

    judged: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)

    @property
    def is_unexpected(self) -> bool:
        """Whether enough participants were judged and none has the structure."""
        return not self.present and len(self.judged) >= FEWEST_ABSENT

    @property
    def is_placed(self) -> bool:
        """Whether a participant has the structure, and so tells where it may lie."""
        return bool(self.present)


def body_box(image: Path) -> Box:
    """Find the bounding box of the body, in voxels of the image reoriented to RAS."""
    from mrseg_label.imaging.outline import find_outline  # SciPy behind it: not in the server

    array, geometry, _ = load_image(image)
    outline = find_outline(array, geometry, smallest_share=1)
    inside = outline.inside
    found = _box_of(inside) if inside.any() else np.array([[0.0] * 3, inside.shape])
    box: Box = np.minimum(found * outline.steps, reorient(array, geometry)[0].shape)
    return box


def occupancies(
    label_map: NDArray[Any], geometry: Geometry, body: Box, labels: Sequence[int]
) -> dict[int, NDArray[np.bool_]]:
    """Find the cells of a grid over the body in which structures have a voxel.

    Parameters
    ----------
    label_map : (X, Y, Z), on the grid of ``geometry``.
    body : as :func:`body_box` gives it.
    labels : label ids to look for.

    Returns
    -------
    (52, 52, 52) bool in RAS by label id, for those that have a voxel. The body takes the cells 6 to 45.
    """
    labels_ras, _ = reorient(label_map, geometry)
    cells = _cells(labels_ras.shape, body)
    found = {}
    for label in labels:
        where = np.nonzero(labels_ras == label)
        if len(where[0]):
            grid = np.zeros((_CELLS,) * 3, dtype=bool)
            grid[tuple(cells[axis][where[axis]] for axis in range(3))] = True
            found[label] = grid
    return found


def possible_place(found: Sequence[NDArray[np.bool_]], geometry: Geometry, body: Box) -> NDArray[np.bool_]:
    """Mark the voxels of a case where a structure may lie.

    Parameters
    ----------
    found : occupancies of the structure in other cases, at least one.
    geometry : grid of the case.
    body : box of the body in this case.

    Returns
    -------
    (X, Y, Z) bool on the grid of ``geometry``.
    """
    from scipy import ndimage

    place = np.zeros(geometry.shape, dtype=bool)
    view, grid = reorient(place, geometry)
    cell_mm = np.maximum(body[1] - body[0], 1) * grid.spacing_mm * _CELL
    margin_mm = MARGIN_MM if len(found) >= FEWEST_PLACED else WIDE_MARGIN_MM
    near = ndimage.distance_transform_edt(~np.any(found, axis=0), sampling=cell_mm) <= margin_mm
    view[...] = near[np.ix_(*_cells(view.shape, body))]
    return place


def _cells(shape: Sequence[int], body: Box) -> list[NDArray[np.intp]]:
    """Cell of each voxel along each axis; what lies outside of the grid belongs to its outermost cells."""
    extent = np.maximum(body[1] - body[0], 1)
    return [
        np.clip(
            ((np.arange(shape[axis]) + 0.5 - body[0, axis]) / extent[axis] + _AROUND) // _CELL, 0, _CELLS - 1
        ).astype(np.intp)
        for axis in range(3)
    ]


def _box_of(inside: NDArray[np.bool_]) -> Box:
    """Bounding box of a mask that has a voxel, in voxels; the upper end is not included."""
    ends = []
    for axis in range(3):
        along = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        ends.append((along[0], along[-1] + 1))
    box: Box = np.array(ends, dtype=np.float64).T
    return box
