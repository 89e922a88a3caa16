"""Compose the stations of a body into one image and one label map, a few slices at a time.

The common grid has axes near right, anterior and superior. Where all stations lie on one lattice it is that lattice, and no voxel is
interpolated; otherwise it continues the lattice of the first station with the finest spacing of all along each axis, images are
interpolated linearly and labels taken from the nearest voxel.

Where stations overlap, intensities are blended: each weighs as much as the voxel is away from its nearer end. A label is that of
the station whose centre is nearest among those that have a label map and show the voxel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.lattice import Placement, find_placement
from mrseg_label.imaging.orientation import reorient

_SLAB_VOXELS = 1 << 20
_MOST_VOXELS = 1 << 31
_NONE = np.inf


@dataclass(frozen=True)
class Placed:
    """A station on the common grid.

    Attributes
    ----------
    geometry : of the station, its axes near right, anterior, superior.
    placement : on the common grid, where they share a lattice.
    low, high : index in the common grid of the station's outermost voxel centres, (3,); not whole where they share none.
    """

    geometry: Geometry
    placement: Placement | None
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def box(self, first: int, last: int, shape: Sequence[int]) -> tuple[slice, slice, slice]:
        """The voxels of the slices ``first`` to ``last`` (excluded) of the common grid that the station may show."""
        low = np.maximum(np.ceil(self.low - 0.5), 0).astype(int)
        high = np.minimum(np.floor(self.high + 0.5).astype(int) + 1, shape)
        x, y, z = (slice(int(start), int(max(start, stop))) for start, stop in zip(low, high, strict=True))
        return x, y, slice(max(z.start, first), max(max(z.start, first), min(z.stop, last)))


@dataclass(frozen=True)
class Layout:
    """Stations on a common grid.

    Attributes
    ----------
    exact : whether all share a lattice, so that no voxel is interpolated.
    axis : of the common grid, along which the stations follow each other.
    """

    geometry: Geometry
    exact: bool
    axis: int
    stations: tuple[Placed, ...]

    def slabs(self) -> Iterator[tuple[int, int]]:
        """Yield first and last (excluded) slice of one slab after the other."""
        x, y, z = self.geometry.shape
        step = max(1, _SLAB_VOXELS // (x * y))
        for first in range(0, z, step):
            yield first, min(z, first + step)


def plan_layout(grids: Sequence[Geometry]) -> Layout:
    """Plan the common grid of stations.

    Raises
    ------
    InvalidInput
        There is no station.
    GeometryError
        The common grid would be larger than any body.
    """
    if not grids:
        raise InvalidInput("a whole body needs at least one station")
    upright = [reorient(np.broadcast_to(np.uint8(0), grid.shape), grid)[1] for grid in grids]
    reference = upright[0]
    placements = [find_placement(grid, reference) for grid in upright]
    exact = all(one is not None for one in placements)
    affine = reference.affine.copy()
    if not exact:
        finest = np.min([grid.spacing_mm for grid in upright], axis=0)
        affine[:3, :3] *= finest / np.array(reference.spacing_mm)
    extents = [_extent(affine, grid) for grid in upright]
    low = np.floor(np.min([one[0] for one in extents], axis=0) + 1e-3)
    high = np.ceil(np.max([one[1] for one in extents], axis=0) - 1e-3)
    shape = (high - low + 1).astype(int)
    if float(np.prod(shape, dtype=np.float64)) > _MOST_VOXELS:
        raise GeometryError(
            f"the stations lie so far apart that the whole body would have {' x '.join(map(str, shape))} voxels; check their positions"
        )
    affine[:3, 3] += affine[:3, :3] @ low
    common = Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    placed = tuple(
        Placed(grid, find_placement(grid, common) if exact else None, extent[0] - low, extent[1] - low)
        for grid, extent in zip(upright, extents, strict=True)
    )
    centres = np.array([(one.low + one.high) / 2 for one in placed])
    spread = np.ptp(centres, axis=0) * common.spacing_mm
    return Layout(common, exact, int(np.argmax(spread)) if spread.any() else 2, placed)


def layout_on(grid: Geometry, stations: Sequence[Geometry]) -> Layout:
    """Lay stations on the grid of another, in the axis order of :func:`upright`; what lies outside of it is not shown."""
    common = reorient(np.broadcast_to(np.uint8(0), grid.shape), grid)[1]
    grids = [reorient(np.broadcast_to(np.uint8(0), one.shape), one)[1] for one in stations]
    placements = [find_placement(one, common) for one in grids]
    extents = [_extent(common.affine, one) for one in grids]
    placed = tuple(
        Placed(one, place, low, high) for one, place, (low, high) in zip(grids, placements, extents, strict=True)
    )
    return Layout(common, all(one is not None for one in placements), 2, placed)


def upright(array: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """Return a view of a station's voxels in the axis order that a layout expects."""
    return reorient(array, geometry)[0]


def image_slabs(
    layout: Layout, images: Sequence[NDArray[Any]], scales: Sequence[float] | None = None
) -> Iterator[NDArray[Any]]:
    """Yield slabs of the composed image: int16 if all images are and none is scaled, otherwise float32.

    Parameters
    ----------
    images : of the stations, by :func:`upright`.
    scales : by which each is multiplied.
    """
    factors = scales or [1.0] * len(images)
    whole = all(image.dtype == np.int16 for image in images) and all(factor == 1 for factor in factors)
    dtype = np.dtype(np.int16 if whole else np.float32)
    empty = min(0.0, *(float(image.min()) * factor for image, factor in zip(images, factors, strict=True)))
    for first, last in layout.slabs():
        shape = (*layout.geometry.shape[:2], last - first)
        total, weights, single = np.zeros(shape), np.zeros(shape), np.full(shape, empty)
        shown = np.zeros(shape, dtype=np.uint8)
        for placed, image, factor in zip(layout.stations, images, factors, strict=True):
            box = placed.box(first, last, layout.geometry.shape)
            if any(part.start >= part.stop for part in box):
                continue
            values, inside = _sample(layout, placed, image, box, order=1)
            scaled = values if factor == 1 else values * factor
            weight = np.where(inside, _ramp(layout, placed, box), 0.0)
            here = (box[0], box[1], slice(box[2].start - first, box[2].stop - first))
            total[here] += scaled * weight
            weights[here] += weight
            single[here] = np.where(inside, scaled, single[here])
            shown[here] += inside
        overlap = shown > 1
        single[overlap] = total[overlap] / weights[overlap]
        yield (np.rint(single) if whole else single).astype(dtype)


def mask_slabs(layout: Layout, masks: Sequence[NDArray[np.uint8] | None]) -> Iterator[NDArray[np.uint8]]:
    """Yield slabs of the composed label map; a station without a mask says nothing."""
    for first, last in layout.slabs():
        shape = (*layout.geometry.shape[:2], last - first)
        labels, nearest = np.zeros(shape, dtype=np.uint8), np.full(shape, _NONE)
        for placed, mask in zip(layout.stations, masks, strict=True):
            box = placed.box(first, last, layout.geometry.shape)
            if mask is None or any(part.start >= part.stop for part in box):
                continue
            values, inside = _sample(layout, placed, mask, box, order=0)
            away = np.abs(_along(layout, box) - (placed.low + placed.high)[layout.axis] / 2)
            here = (box[0], box[1], slice(box[2].start - first, box[2].stop - first))
            wins = inside & (away < nearest[here])
            labels[here] = np.where(wins, values, labels[here])
            nearest[here] = np.where(wins, away, nearest[here])
        yield labels


def match_intensities(layout: Layout, images: Sequence[NDArray[Any]], slices: int = 8) -> list[float | None]:
    """Find the factor by which each station is multiplied so that it is as bright as its neighbour where both show the body.

    The station in the middle keeps its intensities. A factor is the ratio of the medians over voxels that are brighter than the
    mean in both, in some slices of the overlap; None where no station is shared with the chain of those before.
    """
    order = sorted(
        range(len(images)), key=lambda one: float((layout.stations[one].low + layout.stations[one].high)[layout.axis])
    )
    middle = len(order) // 2
    factors: list[float | None] = [None] * len(images)
    factors[order[middle]] = 1.0
    for chain in (order[middle:], order[middle::-1]):
        for known, new in itertools.pairwise(chain):
            ratio, base = _ratio(layout, (known, new), images, slices), factors[known]
            factors[new] = None if ratio is None or base is None else base * ratio
    return factors


def _ratio(layout: Layout, pair: tuple[int, int], images: Sequence[NDArray[Any]], slices: int) -> float | None:
    first, second = (layout.stations[one] for one in pair)
    low = int(np.ceil(max(first.low[2], second.low[2])))
    high = int(np.floor(min(first.high[2], second.high[2])))
    found = []
    for at in np.unique(np.linspace(low, high, slices).astype(int)) if high >= low else ():
        boxes = [one.box(int(at), int(at) + 1, layout.geometry.shape) for one in (first, second)]
        box = tuple(
            slice(max(one.start, other.start), min(one.stop, other.stop)) for one, other in zip(*boxes, strict=True)
        )
        if any(part.start >= part.stop for part in box):
            continue
        x, y, z = box
        pairs = [_sample(layout, layout.stations[one], images[one], (x, y, z), order=1) for one in pair]
        inside = pairs[0][1] & pairs[1][1]
        found.append(np.stack([values[inside] for values, _ in pairs]).astype(np.float64))
    if not found:
        return None
    ours, theirs = np.concatenate(found, axis=1)
    body = (ours > ours.mean()) & (theirs > theirs.mean()) & (theirs > 0) & (ours > 0)
    return float(np.median(ours[body]) / np.median(theirs[body])) if body.any() else None


def _sample(
    layout: Layout, placed: Placed, array: NDArray[Any], box: tuple[slice, slice, slice], order: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The values of a station in a box of the common grid, and where it shows anything."""
    if placed.placement is not None:
        own = tuple(
            slice(part.start - start, part.stop - start)
            for part, start in zip(box, placed.placement.offset, strict=True)
        )
        values = np.asarray(placed.placement.reorder(array)[own])
        return values, np.ones(values.shape, dtype=np.bool_)
    from scipy import ndimage  # imported here: stations mostly share a lattice, and SciPy takes a while

    to_own = np.linalg.inv(placed.geometry.affine) @ layout.geometry.affine
    axes = [np.arange(part.start, part.stop, dtype=np.float64) for part in box]
    index = np.stack(
        [
            to_own[row, 0] * axes[0][:, None, None] + to_own[row, 1] * axes[1][None, :, None]
            + to_own[row, 2] * axes[2][None, None, :] + to_own[row, 3]
            for row in range(3)
        ]
    )  # fmt: skip
    last = np.array(array.shape, dtype=np.float64)[:, None, None, None] - 1
    # By rounding an outermost voxel may lie a little outside.
    inside = ((index >= -0.5 - 1e-6) & (index <= last + 0.5 + 1e-6)).all(axis=0)
    index = np.clip(index, 0, last)
    start = np.floor(index.min(axis=(1, 2, 3))).astype(int)
    stop = np.ceil(index.max(axis=(1, 2, 3))).astype(int) + 1
    crop = np.asarray(array[tuple(slice(one, other) for one, other in zip(start, stop, strict=True))])
    index -= start[:, None, None, None]
    if order == 0:
        i, j, k = np.rint(index).astype(np.intp)
        return crop[i, j, k], inside
    return ndimage.map_coordinates(crop, index, order=1, mode="nearest", output=np.float64), inside


def _along(layout: Layout, box: tuple[slice, slice, slice]) -> NDArray[np.float64]:
    """Index along the axis of the stations, in a shape that fits a box."""
    part = box[layout.axis]
    shape = [1, 1, 1]
    shape[layout.axis] = part.stop - part.start
    return np.arange(part.start, part.stop, dtype=np.float64).reshape(shape)


def _ramp(layout: Layout, placed: Placed, box: tuple[slice, slice, slice]) -> NDArray[np.float64]:
    """Distance of each voxel to the nearer end of a station, in voxels; 1 at its outermost ones."""
    at = _along(layout, box)
    low, high = placed.low[layout.axis], placed.high[layout.axis]
    weight: NDArray[np.float64] = np.maximum(np.minimum(at - low, high - at) + 1, 0.5)
    return weight


def _extent(affine: NDArray[np.float64], geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest index of a grid's corner voxels on the lattice of an affine, (3,) each."""
    corners = (geometry.corners_mm() - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    return corners.min(axis=0), corners.max(axis=0)
