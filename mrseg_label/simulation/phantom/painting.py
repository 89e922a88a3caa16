"""Paint a participant's station as label maps, the truth of the phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.simulation.phantom.body import paint_body
from mrseg_label.simulation.phantom.canvas import Canvas
from mrseg_label.simulation.phantom.grid import Grid, image_grid
from mrseg_label.simulation.phantom.organs import (
    paint_bowel,
    paint_chest,
    paint_retroperitoneum,
    paint_upper_abdomen,
    paint_vessels,
)
from mrseg_label.simulation.phantom.participant import Participant
from mrseg_label.simulation.phantom.skeleton import paint_pelvis, paint_spine


@dataclass(frozen=True)
class Painted:
    """One station of one participant as label maps on one grid.

    Attributes
    ----------
    structures : (I, J, K) uint8, label ids of the default scheme.
    total_ids : (I, J, K) uint8, class ids of TotalSegmentator's task ``total``.
    tissue : (I, J, K) uint8, values of Tissue.
    affine : (4, 4) float64, from voxel index to RAS mm.
    """

    participant: Participant
    station: str
    structures: NDArray[np.uint8]
    total_ids: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    affine: NDArray[np.float64]


def paint(participant: Participant, station: str, grid: Grid | None = None) -> Painted:
    """Paint one station (``abdomen``, ``pelvis``, ``trunk``), by default on :func:`image_grid`."""
    grid = image_grid(participant, station) if grid is None else grid
    canvas = Canvas(participant, grid)
    paint_body(canvas)
    paint_spine(canvas)
    for side in ("right", "left"):
        paint_pelvis(canvas, side)
    paint_vessels(canvas)
    paint_chest(canvas)
    paint_retroperitoneum(canvas)
    paint_upper_abdomen(canvas)
    paint_bowel(canvas)
    table = LabelScheme.default().lookup_from(TOTALSEGMENTATOR_TOTAL)
    return Painted(participant, station, table[canvas.ids], canvas.ids, canvas.tissue, grid.affine)
