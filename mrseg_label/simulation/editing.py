"""Correct a pre-segmentation as a human reader would: towards the truth, but imperfectly.

A reader corrects visible errors and leaves boundaries that are right to within a voxel, draws boundaries with an
unsteady hand but as closed areas without specks and pinholes, corrects some structures in a part of the slices only,
and misses a few small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.metrics import dice

LabelMap = NDArray[np.uint8]
# A layer of wrong voxels that is one voxel thick fills a third of the 3 x 3 x 3 voxels around each, two layers two thirds.
_VISIBLE_FRACTION = 0.5
# A voxel with fewer of its own label among the 26 around it is a speck, a pinhole or a spike; on a flat boundary it has 17.
_FEWEST_ALIKE = 11
_FEWEST_ALIKE_IF_THIN = 4  # where an unsteady hand draws a thin structure, more would be asked of it than it has
_INSIDE_OF_THIN = 0.25  # largest share of voxels of a thin structure that have only their own label around them
_PASSES = 3
_AROUND = np.array([shift for shift in np.ndindex(3, 3, 3) if shift != (1, 1, 1)]) - 1


@dataclass(frozen=True)
class Skill:
    """How well a reader works.

    Attributes
    ----------
    jitter_mm : displacement of a drawn boundary from the true one, root mean square along each axis.
    grain_mm : distance over which the displacement keeps its direction.
    partly : probability that a structure is corrected in a part of its slices only.
    missed : probability that a small structure is not corrected at all.
    small_ml : true volume below which a structure is small.
    redraw_below : DSC of a pre-segmented structure below which it is redrawn completely, thin parts included.
    """

    jitter_mm: float = 1.2
    grain_mm: float = 20.0
    partly: float = 0.10
    missed: float = 0.06
    small_ml: float = 30.0
    redraw_below: float = 0.5


@dataclass(frozen=True)
class Correction:
    """A corrected label map, and the structures that were not corrected completely.

    Attributes
    ----------
    labels : (Z, Y, X) uint8.
    partly : label ids of structures that were corrected in a part of their slices.
    missed : label ids of structures that were not corrected.
    """

    labels: LabelMap
    partly: tuple[int, ...]
    missed: tuple[int, ...]


def correct(
    presegmentation: LabelMap,
    truth: LabelMap,
    spacing_mm: Sequence[float],
    structures: int,
    rng: np.random.Generator,
    skill: Skill | None = None,
) -> Correction:
    """Correct a pre-segmentation as a reader would.

    Parameters
    ----------
    presegmentation, truth : (Z, Y, X) uint8 on one grid, label ids 0 to ``structures``.
    spacing_mm : along each axis of the arrays.
    rng : decides what the reader misses and how boundaries are displaced.
    """
    skill = skill or Skill()
    visible = _find_visible_errors(presegmentation, truth, structures, skill)
    target = _displace_boundaries(truth, spacing_mm, rng, skill)
    labels = presegmentation.copy()
    partly, missed = [], []
    volumes_ml = np.bincount(truth.ravel(), minlength=256) * float(np.prod(spacing_mm)) / 1000
    small = volumes_ml < skill.small_ml
    worked = np.zeros(truth.shape, dtype=np.bool_)
    touched = np.union1d(np.unique(presegmentation[visible]), np.unique(target[visible]))
    for structure in rng.permutation(touched[touched > 0]).tolist():
        luck = rng.random()
        share = rng.uniform(0.5, 0.9)
        if luck < skill.missed and small[structure]:
            missed.append(structure)
            continue
        where = _bounding_box(presegmentation, truth, structure)
        if luck > 1 - skill.partly:
            partly.append(structure)
            where = _take_part(where, share, upper=bool(rng.random() < 0.5))
        else:
            where = (_widen(where[0], presegmentation.shape[0]), *where[1:])
        where = where[0], _widen(where[1], presegmentation.shape[1]), _widen(where[2], presegmentation.shape[2])
        goal, drawn, seen = target[where], labels[where], visible[where]
        # Painting comes first: voxels erased here that belong to another structure are painted when that one is corrected.
        drawn[seen & (goal == structure)] = structure
        drawn[seen & (goal != structure) & (drawn == structure)] = 0
        worked[where] = True
    _remove_specks(labels, presegmentation, truth, worked & ~np.isin(presegmentation, missed), missed)
    return Correction(labels, tuple(sorted(partly)), tuple(sorted(missed)))


def _find_visible_errors(
    presegmentation: LabelMap, truth: LabelMap, structures: int, skill: Skill
) -> NDArray[np.bool_]:
    """Find the wrong voxels that a reader sees: thick errors, and all errors of structures that are mostly wrong."""
    wrong = presegmentation != truth
    around = ndimage.uniform_filter(wrong.astype(np.float32), size=3, mode="nearest")
    visible: NDArray[np.bool_] = wrong & (around > _VISIBLE_FRACTION)
    poor = np.zeros(256, dtype=np.bool_)
    poor[1 : structures + 1] = np.nan_to_num(dice(truth, presegmentation, structures), nan=1.0) < skill.redraw_below
    visible |= wrong & (poor[truth] | poor[presegmentation])
    return visible


def _displace_boundaries(
    truth: LabelMap, spacing_mm: Sequence[float], rng: np.random.Generator, skill: Skill
) -> LabelMap:
    """Displace the boundaries of the truth by smooth noise, as an unsteady hand draws them."""
    if skill.jitter_mm == 0:
        return truth
    index = np.indices(truth.shape, dtype=np.float32)
    coarse = [max(2, round(n * step / skill.grain_mm) + 1) for n, step in zip(truth.shape, spacing_mm, strict=True)]
    for axis, (size, step) in enumerate(zip(truth.shape, spacing_mm, strict=True)):
        noise = rng.standard_normal(coarse).astype(np.float32)
        smooth = ndimage.zoom(noise, [n / c for n, c in zip(truth.shape, coarse, strict=True)], order=1)
        # Linear interpolation between independent nodes lowers the spread; restore it.
        smooth *= skill.jitter_mm / step / max(float(smooth.std()), 1e-6)
        index[axis] = np.clip(np.rint(index[axis] + smooth), 0, size - 1)
    z, y, x = index.astype(np.intp)
    displaced: LabelMap = truth[z, y, x]
    return displaced


def _remove_specks(
    labels: LabelMap,
    presegmentation: LabelMap,
    truth: LabelMap,
    where: NDArray[np.bool_],
    missed: Sequence[int],
) -> None:
    """Give single voxels that a hand would not draw or leave the label that is most frequent around them, in place.

    What was right in the pre-segmentation stays, and so do parts of the truth that are as thin as that.

    Parameters
    ----------
    where : the voxels that the reader worked on.
    missed : label ids that the reader does not draw.
    """
    alike = _count_alike(truth)
    thin = alike < _FEWEST_ALIKE
    inside = np.bincount(truth[alike == len(_AROUND)], minlength=256)
    is_thin = inside < _INSIDE_OF_THIN * np.bincount(truth.ravel(), minlength=256)
    fewest = np.where(is_thin, _FEWEST_ALIKE_IF_THIN, _FEWEST_ALIKE).astype(np.uint8)
    where = where & (presegmentation != truth)
    for _ in range(_PASSES):
        weak = where & (_count_alike(labels) < fewest[labels]) & ~((labels == truth) & thin)
        places = np.argwhere(weak)
        if not places.size:
            return
        around = np.pad(labels, 1, mode="edge")
        counts = np.zeros((len(places), 256), dtype=np.uint8)
        rows = np.arange(len(places))
        for shift in _AROUND:
            counts[rows, around[tuple((places + 1 + shift).T)]] += 1
        counts[:, list(missed)] = 0
        labels[tuple(places.T)] = counts.argmax(axis=1)


def _count_alike(labels: LabelMap) -> NDArray[np.uint8]:
    """Count the voxels with the same label among the 26 around each voxel."""
    around = np.pad(labels, 1, mode="edge")
    count = np.zeros(labels.shape, dtype=np.uint8)
    for shift in _AROUND:
        part = tuple(slice(1 + step, 1 + step + size) for step, size in zip(shift, labels.shape, strict=True))
        count += around[part] == labels
    return count


def _bounding_box(presegmentation: LabelMap, truth: LabelMap, structure: int) -> tuple[slice, slice, slice]:
    """Find the bounding box of a structure in pre-segmentation and truth together."""
    box: list[slice] = []
    own = (presegmentation == structure) | (truth == structure)
    for axis, size in enumerate(own.shape):
        line = np.flatnonzero(own.any(axis=tuple(other for other in range(own.ndim) if other != axis)))
        low, high = (int(line[0]), int(line[-1])) if line.size else (0, size - 1)
        box.append(slice(low, high + 1))
    return box[0], box[1], box[2]


def _widen(part: slice, size: int) -> slice:
    """Widen a slice by three voxels on both sides, for displaced boundaries."""
    return slice(max(part.start - 3, 0), min(part.stop + 3, size))


def _take_part(where: tuple[slice, slice, slice], share: float, upper: bool) -> tuple[slice, slice, slice]:
    """Take the upper or lower share of the slices (first axis)."""
    slices = where[0]
    count = max(1, round((slices.stop - slices.start) * share))
    part = slice(slices.stop - count, slices.stop) if upper else slice(slices.start, slices.start + count)
    return part, where[1], where[2]
