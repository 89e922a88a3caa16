"""The canvas on which the anatomy is painted: coordinates in the nominal body, tissue, and label ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.simulation.phantom.grid import Grid, smooth_field
from mrseg_label.simulation.phantom.participant import PIVOT_MM, Participant
from mrseg_label.simulation.phantom.shapes import Array, Shape, Tube
from mrseg_label.simulation.phantom.tissue import Tissue

_WARP_MM = 3.6
_WARP_WAVES_MM = (110.0, 320.0)
Box = tuple[slice, slice, slice]
ABDOMEN = (Tissue.VISCERAL_FAT,)
TRUNK_INSIDE = (Tissue.VISCERAL_FAT, Tissue.MEDIASTINUM, Tissue.LUNG, Tissue.DIAPHRAGM)
WALL = (Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.INTERMUSCULAR_FAT)
ANYWHERE = tuple(t for t in Tissue if t != Tissue.AIR)


class Canvas:
    """The voxels of one station of one participant.

    Structures are given in mm of the nominal body, and every voxel has its coordinates there. The two are related by
    the participant's size and a smooth random deformation, which are the same for all stations.

    Attributes
    ----------
    tissue : (I, J, K) uint8, values of Tissue.
    ids : (I, J, K) uint8, class ids of TotalSegmentator's ``total``, 0 for none.
    x, y, z : (I, J, K) float32, RAS coordinates of each voxel in the nominal body, mm.
    """

    def __init__(self, participant: Participant, grid: Grid) -> None:
        self.participant = participant
        self.grid = grid
        self._scale = np.asarray(participant.scale)
        coordinates = grid.coordinates()
        nominal = []
        for axis, world in enumerate(coordinates):
            warp = smooth_field(grid, participant.rng("warp", axis), _WARP_MM, _WARP_WAVES_MM)
            pivot = PIVOT_MM if axis == 2 else 0.0
            nominal.append((world + warp - np.float32(pivot)) / np.float32(self._scale[axis]) + np.float32(pivot))
        self.x, self.y, self.z = nominal
        self.tissue: NDArray[np.uint8] = np.zeros(grid.shape, np.uint8)
        self.ids: NDArray[np.uint8] = np.zeros(grid.shape, np.uint8)
        self._inverse = np.linalg.inv(grid.affine)

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64], margin: float = 0.0) -> Box | None:
        """Find the index box that contains a box of the nominal body; None if it is outside the station."""
        # All waves of the deformation in phase would reach rms * sqrt(2 * waves); three rms are hardly ever exceeded.
        reach = 3.2 * _WARP_MM + margin
        pivot = np.array([0, 0, PIVOT_MM])
        corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
        world = (corners - pivot[:, None]) * self._scale[:, None] + pivot[:, None]
        index = self._inverse[:3, :3] @ world + self._inverse[:3, 3:]
        extra = reach / self.grid.spacing
        first = np.maximum(np.floor(index.min(axis=1) - extra), 0).astype(int)
        last = np.minimum(np.ceil(index.max(axis=1) + extra) + 1, self.grid.shape).astype(int)
        if np.any(first >= last):
            return None
        return (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))

    def distance(self, shapes: Sequence[Shape], margin: float = 6.0) -> tuple[Box, Array] | None:
        """Compute the signed distance to the union of shapes, in the box around them; None outside the station.

        Each shape is evaluated in its own box only; beyond ``margin`` the distance is a large constant.
        """
        parts = [p for s in shapes for p in (s.capsules() if isinstance(s, Tube) and len(s.points) > 4 else [s])]
        placed = [(box, part) for part in parts if (box := self.box(*part.bounds(), margin)) is not None]
        if not placed:
            return None
        union = (_cover(placed, 0), _cover(placed, 1), _cover(placed, 2))
        best = np.full([s.stop - s.start for s in union], 1e3, dtype=np.float32)
        for box, part in placed:
            inner = tuple(slice(b.start - u.start, b.stop - u.start) for b, u in zip(box, union, strict=True))
            np.minimum(best[inner], part.distance(self.x[box], self.y[box], self.z[box]), out=best[inner])
        return union, best

    def paint(
        self,
        shapes: Shape | Sequence[Shape],
        tissue: Tissue,
        label: int = 0,
        *,
        over: Iterable[Tissue] = ABDOMEN,
        over_ids: Iterable[int] = (0,),
        shell: tuple[float, Tissue] | None = None,
        fat_around: float = 0.0,
    ) -> NDArray[np.bool_] | None:
        """Paint a structure over given tissues and labels; everything else is kept.

        Parameters
        ----------
        over, over_ids : tissues and class ids that the structure may cover.
        shell : thickness in mm and tissue of the structure's outermost layer.
        fat_around : thickness in mm of the layer of fat between this muscle and the next.

        Returns
        -------
        (I, J, K) bool, where it was painted; None if it is outside the station.
        """
        found = self.distance([shapes] if not isinstance(shapes, Sequence) else shapes)
        if found is None:
            return None
        box, distance = found
        free = self._free(box, over, over_ids)
        inside = free & (distance < 0)
        if fat_around > 0:
            layer = (distance >= 0) & (distance < fat_around) & free & (self.tissue[box] == Tissue.MUSCLE)
            self.tissue[box][layer] = Tissue.INTERMUSCULAR_FAT
        self.tissue[box][inside] = tissue
        if shell is not None:
            self.tissue[box][inside & (distance > -shell[0])] = shell[1]
        self.ids[box][inside] = label
        where = np.zeros(self.grid.shape, bool)
        where[box] = inside
        return where

    def recolour(self, shapes: Shape | Sequence[Shape], tissue: Tissue, within: Iterable[int]) -> None:
        """Change the tissue, but not the label, inside a shape where the class id is one of ``within``."""
        found = self.distance([shapes] if not isinstance(shapes, Sequence) else shapes)
        if found is not None:
            box, distance = found
            allowed = _table(within)[self.ids[box]]
            self.tissue[box][allowed & (distance < 0)] = tissue

    def _free(self, box: Box, over: Iterable[Tissue], over_ids: Iterable[int]) -> NDArray[np.bool_]:
        free: NDArray[np.bool_] = _table(over)[self.tissue[box]] & _table(over_ids)[self.ids[box]]
        return free


def _table(values: Iterable[int]) -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[[int(v) for v in values]] = True
    return table


def _cover(placed: list[tuple[Box, Shape]], axis: int) -> slice:
    return slice(min(box[axis].start for box, _ in placed), max(box[axis].stop for box, _ in placed))
