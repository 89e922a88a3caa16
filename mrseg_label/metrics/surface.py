"""Compare the surfaces of structures: HD95 and normalised surface Dice, as MONAI defines both.

The surface of a structure is its mask minus the erosion by the 6-neighbourhood; the outside of the image counts as
background.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.metrics.nearest import SurfaceVoxels, shells_around
from mrseg_label.metrics.overlap import LabelMap, check_labels, check_pair

HD_PERCENTILE = 95.0


@dataclass(frozen=True)
class SurfaceAgreement:
    """How far the surfaces of structures 1 to N agree; arrays by label id - 1.

    Attributes
    ----------
    hd95_mm : (N,) float64; NaN where a structure is in neither map, infinite where it is in only one of them.
    nsd : (N,) float64; NaN where a structure is in neither map, 0 where it is in only one of them. All NaN without
        tolerances.
    surface_voxels : (2, N) int64; of the reference and of the prediction.
    surface_voxels_beyond : (2, N) int64; those of them that lie farther from the other surface than the tolerance, all of
        them where there is no other surface. All zero without tolerances.
    """

    hd95_mm: NDArray[np.float64]
    nsd: NDArray[np.float64]
    surface_voxels: NDArray[np.int64]
    surface_voxels_beyond: NDArray[np.int64]


def boundary_voxels(labels: LabelMap, axes: Iterable[int]) -> NDArray[np.bool_]:
    """Mark voxels of structures with a neighbour along ``axes`` that is not of the same structure.

    The outside of the image counts as background, so that a structure that the image cuts has its boundary there.
    Background voxels are never boundary.
    """
    boundary = np.zeros(labels.shape, dtype=np.bool_)
    for axis in axes:
        along = np.moveaxis(labels, axis, 0)
        marked = np.moveaxis(boundary, axis, 0)
        differs = along[1:] != along[:-1]
        marked[1:] |= differs
        marked[:-1] |= differs
        marked[:1] = True
        marked[-1:] = True
    boundary &= labels != 0
    return boundary


def hausdorff95(
    reference: LabelMap,
    prediction: LabelMap,
    spacing_mm: Sequence[float],
    structures: int,
    percentile: float = HD_PERCENTILE,
) -> NDArray[np.float64]:
    """Compute the HD95 of structures 1 to N in mm: ``hd95_mm`` of :func:`compare_surfaces`."""
    return compare_surfaces(reference, prediction, spacing_mm, structures, percentile=percentile).hd95_mm


def surface_dice(
    reference: LabelMap,
    prediction: LabelMap,
    spacing_mm: Sequence[float],
    structures: int,
    tolerances_mm: Sequence[float],
) -> NDArray[np.float64]:
    """Compute the normalised surface Dice of structures 1 to N: ``nsd`` of :func:`compare_surfaces`."""
    return compare_surfaces(reference, prediction, spacing_mm, structures, tolerances_mm).nsd


def compare_surfaces(
    reference: LabelMap,
    prediction: LabelMap,
    spacing_mm: Sequence[float],
    structures: int,
    tolerances_mm: Sequence[float] | None = None,
    percentile: float = HD_PERCENTILE,
) -> SurfaceAgreement:
    """Compare the surfaces of structures 1 to N.

    HD95 is the 95th percentile (linear interpolation) of the distances from every surface voxel of one map to the nearest
    surface voxel of the other, in the direction in which it is larger: MONAI's
    ``compute_hausdorff_distance(percentile=95)``. NSD is the share of the surface voxels of both maps that lie within the
    tolerance of the other surface: MONAI's ``compute_surface_dice``. As there, a distance is compared with the tolerance in
    single precision, so that one of exactly the tolerance is within it. Other packages define both differently.

    Parameters
    ----------
    reference, prediction : label maps of one grid.
    spacing_mm : voxel spacing along each axis of the arrays.
    tolerances_mm : of structures 1 to N; without them NSD is not computed.

    Raises
    ------
    GeometryError
        The shapes differ.
    InvalidInput
        A label is not of the scheme, or the spacing or the tolerances do not fit.

    References
    ----------
    Huttenlocher DP, Klanderman GA, Rucklidge WJ. Comparing images using the Hausdorff distance. IEEE TPAMI
    1993;15:850-863. https://doi.org/10.1109/34.232073

    Nikolov S, et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. J Med Internet Res
    2021;23:e26151. https://doi.org/10.2196/26151
    """
    check_pair(reference, prediction)
    check_labels(reference, prediction, structures)
    spacing = check_spacing(spacing_mm, reference.ndim)
    tolerances = _checked_tolerances(tolerances_mm, structures)
    if reference.flags.f_contiguous and not reference.flags.c_contiguous:  # axes in the order of memory: no slow copies
        reference, prediction, spacing = reference.T, prediction.T, spacing[::-1]
    box = _bounding_box(reference, prediction)
    if box is None:
        nothing = np.zeros((2, structures), dtype=np.int64)
        return SurfaceAgreement(np.full(structures, np.nan), np.full(structures, np.nan), nothing, nothing)
    distances = _Distances(reference[box], prediction[box], spacing, structures)
    distances.search(tolerances, percentile)
    total, beyond = distances.total[:, 1:], distances.beyond(tolerances)[:, 1:]
    nsd = np.full(structures, np.nan)
    if tolerances_mm is not None:
        surface = total.sum(axis=0)
        np.divide(surface - beyond.sum(axis=0), surface, out=nsd, where=surface > 0)
    return SurfaceAgreement(
        hd95_mm=distances.hausdorff(percentile)[1:],
        nsd=nsd,
        surface_voxels=total,
        surface_voxels_beyond=beyond,
    )


class _Distances:
    """Distances between the surfaces of all structures; the first axis of arrays is reference and prediction.

    They are known only as far as the percentile and the tolerances need them.
    """

    def __init__(
        self, reference: LabelMap, prediction: LabelMap, spacing_mm: tuple[float, ...], structures: int
    ) -> None:
        self._spacing = spacing_mm
        self._shells = shells_around(spacing_mm)
        pad = np.max([np.abs(shell.offsets).max(axis=0) for shell in self._shells], axis=0)
        pad = np.maximum(pad, 1)  # an edge of the image is a boundary
        shape = tuple((np.array(reference.shape) + 2 * pad).tolist())
        self._strides = np.array([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])
        dtype = np.uint8 if structures < np.iinfo(np.uint8).max else np.uint16
        self._maps = [
            SurfaceVoxels(_padded_surface(labels, shape, pad, dtype), structures, int(pad @ self._strides))
            for labels in (reference, prediction)
        ]
        self.total = np.stack([one.total for one in self._maps])
        self._in_both = (self.total > 0).all(axis=0)
        self._lengths: list[float] = []
        self._found: list[NDArray[np.int64]] = []  # up to each length
        self._far: dict[tuple[int, int], NDArray[np.float64]] = {}

    def search(self, tolerances: NDArray[np.float32], percentile: float) -> None:
        """Look in one shell after the other until each structure has what it needs."""
        needed = np.ceil(percentile / 100 * (self.total - 1)) + 1
        found, first, second = np.zeros_like(self.total), *self._maps
        searched = np.stack([self._in_both] * 2)
        for shell in self._shells:
            offsets = (shell.offsets @ self._strides).tolist()
            found = found + np.stack([first.look(second, offsets), second.look(first, offsets)])
            self._lengths.append(shell.distance_mm)
            self._found.append(found)
            lacking = (found < needed) | ((found < self.total) & (np.float32(shell.distance_mm) <= tolerances))
            before, searched = searched, self._in_both & lacking
            if not searched.any():
                break
            for one, wanted, wanted_before in zip(self._maps, searched, before, strict=True):
                if (wanted != wanted_before).any():
                    one.keep_only(wanted)

    def hausdorff(self, percentile: float) -> NDArray[np.float64]:
        """The percentile in the direction in which it is larger, by label."""
        values = np.where(self.total.any(axis=0), np.inf, np.nan)
        for structure in np.flatnonzero(self._in_both).tolist():
            values[structure] = max(self._percentile(side, structure, percentile) for side in (0, 1))
        return values

    def beyond(self, tolerances: NDArray[np.float32]) -> NDArray[np.int64]:
        """The numbers of surface voxels that lie beyond the tolerance, by label."""
        lengths, found = np.asarray(self._lengths, dtype=np.float32), np.stack(self._found)
        number = self.total.copy()
        for structure in np.flatnonzero(self._in_both & (tolerances >= 0)).tolist():
            tolerance = tolerances[structure]
            shells = int(np.searchsorted(lengths, tolerance, side="right"))
            number[:, structure] -= found[shells - 1, :, structure]
            if shells == len(lengths):
                for side in np.flatnonzero(number[:, structure]).tolist():
                    far = self._far_distances(side, structure).astype(np.float32)
                    number[side, structure] -= np.searchsorted(far, tolerance, side="right")
        return np.where(tolerances >= 0, number, 0)

    def _percentile(self, side: int, structure: int, percentile: float) -> float:
        rank = percentile / 100 * int(self.total[side, structure] - 1)
        low = self._value(side, structure, math.floor(rank))
        return low + (self._value(side, structure, math.ceil(rank)) - low) * (rank - math.floor(rank))

    def _value(self, side: int, structure: int, rank: int) -> float:
        """The distance that as many as ``rank`` others are not above."""
        found = [int(counts[side, structure]) for counts in self._found]
        shell = bisect_right(found, rank)
        if shell < len(found):
            return self._lengths[shell]
        return float(self._far_distances(side, structure)[rank - found[-1]])

    def _far_distances(self, side: int, structure: int) -> NDArray[np.float64]:
        if (side, structure) not in self._far:
            own, other = self._maps[side], self._maps[1 - side]
            self._far[side, structure] = own.far_distances(other, structure, self._spacing)
        return self._far[side, structure]


def _padded_surface(
    labels: LabelMap, shape: tuple[int, ...], pad: NDArray[np.intp], dtype: type[np.uint8] | type[np.uint16]
) -> NDArray[np.unsignedinteger[Any]]:
    """Pad a label map and keep the labels of its surface voxels alone; as :func:`boundary_voxels`, but on flat memory."""
    padded: NDArray[np.unsignedinteger[Any]] = np.zeros(shape, dtype=dtype)
    padded[tuple(slice(width, width + size) for width, size in zip(pad.tolist(), labels.shape, strict=True))] = labels
    flat = padded.reshape(-1)
    boundary = np.zeros(flat.size, dtype=np.bool_)
    memory = np.empty(flat.size, dtype=np.bool_)
    for axis in range(len(shape)):
        step = math.prod(shape[axis + 1 :])
        differs = np.not_equal(flat[step:], flat[:-step], out=memory[step:])
        boundary[step:] |= differs
        boundary[:-step] |= differs
    np.multiply(flat, boundary, out=flat)
    return padded


def check_spacing(spacing_mm: Sequence[float], axes: int) -> tuple[float, ...]:
    """Return the spacing of an image as numbers.

    Raises
    ------
    InvalidInput
        It has not one positive number for each axis.
    """
    spacing = tuple(float(value) for value in spacing_mm)
    if len(spacing) != axes or not all(0 < value < math.inf for value in spacing):
        raise InvalidInput(f"the spacing {spacing} does not fit an image with {axes} axes")
    return spacing


def _checked_tolerances(tolerances_mm: Sequence[float] | None, structures: int) -> NDArray[np.float32]:
    """Tolerances by label; -1, which no distance is within, for the background and without tolerances."""
    tolerances = np.full(structures + 1, -1, dtype=np.float32)
    if tolerances_mm is not None:
        if len(tolerances_mm) != structures or not all(0 <= value < math.inf for value in tolerances_mm):
            raise InvalidInput(
                f"the tolerances {list(tolerances_mm)} do not fit {structures} structures; give each one of 0 mm or more"
            )
        tolerances[1:] = tolerances_mm
    return tolerances


def _bounding_box(first: LabelMap, second: LabelMap) -> tuple[slice, ...] | None:
    filled = (first != 0) | (second != 0)
    box = []
    for axis in range(filled.ndim):
        line = filled.any(axis=tuple(other for other in range(filled.ndim) if other != axis))
        where = np.flatnonzero(line)
        if not len(where):
            return None
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(box)
