"""How a reader corrects a draft: towards the truth, with human imperfection.

A reader repairs what is visibly wrong and leaves a boundary alone that is right to within a voxel; draws
boundaries with an unsteady hand; does some structures only in a part of the slices; and misses a few small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.metrics import dice

LabelMap = NDArray[np.uint8]
# A sheet of wrong voxels one voxel thick fills a third of the 3 x 3 x 3 voxels around each, one of two voxels two thirds.
_VISIBLE_FRACTION = 0.5


@dataclass(frozen=True)
class Skill:
    """How well a reader works.

    Attributes
    ----------
    jitter_mm : how far a drawn boundary strays from the true one, root mean square along each axis.
    grain_mm : over which distance it strays in one direction.
    partly : chance that a structure is corrected in a part of its slices only.
    missed : chance that a small structure is not corrected at all. small_ml : what is small, in the truth.
    redraw_below : DSC of a draft's structure below which all of it is drawn anew, thin parts included.
    """

    jitter_mm: float = 1.2
    grain_mm: float = 20.0
    partly: float = 0.10
    missed: float = 0.06
    small_ml: float = 30.0
    redraw_below: float = 0.5


@dataclass(frozen=True)
class Correction:
    """A corrected label map, and which structures were left half done.

    Attributes
    ----------
    labels : (Z, Y, X) uint8.
    partly, missed : ids of structures that were corrected in part, or not at all.
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
    """Correct a draft as a reader would.

    Parameters
    ----------
    draft, truth : (Z, Y, X) uint8 on one grid, ids 0 to ``structures``.
    spacing_mm : spacing along each axis of the arrays.
    rng : decides what the reader overlooks and where the hand strays.
    """
    skill = skill or Skill()
    visible = _visible(presegmentation, truth, structures, skill)
    target = _strayed(truth, spacing_mm, rng, skill)
    labels = presegmentation.copy()
    partly, missed = [], []
    volumes_ml = np.bincount(truth.ravel(), minlength=256) * float(np.prod(spacing_mm)) / 1000
    small = volumes_ml < skill.small_ml
    touched = np.union1d(np.unique(presegmentation[visible]), np.unique(target[visible]))
    for structure in rng.permutation(touched[touched > 0]).tolist():
        luck = rng.random()
        share = rng.uniform(0.5, 0.9)
        if luck < skill.missed and small[structure]:
            missed.append(structure)
            continue
        where = _slices_of(presegmentation, truth, structure)
        if luck > 1 - skill.partly:
            partly.append(structure)
            where = _part_of(where, share, upper=bool(rng.random() < 0.5))
        else:
            where = (_widened(where[0], presegmentation.shape[0]), *where[1:])
        where = where[0], _widened(where[1], presegmentation.shape[1]), _widened(where[2], presegmentation.shape[2])
        wanted, now, seen = target[where], labels[where], visible[where]
        # Painting comes first, so that what is erased here but belongs to another structure stays for that one.
        now[seen & (wanted == structure)] = structure
        now[seen & (wanted != structure) & (now == structure)] = 0
    return Correction(labels, tuple(sorted(partly)), tuple(sorted(missed)))


def _visible(presegmentation: LabelMap, truth: LabelMap, structures: int, skill: Skill) -> NDArray[np.bool_]:
    """Wrong voxels that a reader sees: thick errors, and every error of a structure that is mostly wrong."""
    wrong = presegmentation != truth
    around = ndimage.uniform_filter(wrong.astype(np.float32), size=3, mode="nearest")
    visible: NDArray[np.bool_] = wrong & (around > _VISIBLE_FRACTION)
    poor = np.zeros(256, dtype=np.bool_)
    poor[1 : structures + 1] = np.nan_to_num(dice(truth, presegmentation, structures), nan=1.0) < skill.redraw_below
    visible |= wrong & (poor[truth] | poor[presegmentation])
    return visible


def _strayed(truth: LabelMap, spacing_mm: Sequence[float], rng: np.random.Generator, skill: Skill) -> LabelMap:
    """The truth as an unsteady hand draws it: every boundary displaced by smooth noise."""
    if skill.jitter_mm == 0:
        return truth
    index = np.indices(truth.shape, dtype=np.float32)
    coarse = [max(2, round(n * step / skill.grain_mm) + 1) for n, step in zip(truth.shape, spacing_mm, strict=True)]
    for axis, (size, step) in enumerate(zip(truth.shape, spacing_mm, strict=True)):
        noise = rng.standard_normal(coarse).astype(np.float32)
        smooth = ndimage.zoom(noise, [n / c for n, c in zip(truth.shape, coarse, strict=True)], order=1)
        # Linear interpolation between independent nodes lowers the spread; bring it back to what was asked for.
        smooth *= skill.jitter_mm / step / max(float(smooth.std()), 1e-6)
        index[axis] = np.clip(np.rint(index[axis] + smooth), 0, size - 1)
    z, y, x = index.astype(np.intp)
    strayed: LabelMap = truth[z, y, x]
    return strayed


def _slices_of(presegmentation: LabelMap, truth: LabelMap, structure: int) -> tuple[slice, slice, slice]:
    """The box of a structure in draft and truth."""
    box: list[slice] = []
    own = (presegmentation == structure) | (truth == structure)
    for axis, size in enumerate(own.shape):
        line = np.flatnonzero(own.any(axis=tuple(other for other in range(own.ndim) if other != axis)))
        low, high = (int(line[0]), int(line[-1])) if line.size else (0, size - 1)
        box.append(slice(low, high + 1))
    return box[0], box[1], box[2]


def _widened(part: slice, size: int) -> slice:
    """Room for the unsteady hand."""
    return slice(max(part.start - 3, 0), min(part.stop + 3, size))


def _part_of(where: tuple[slice, slice, slice], share: float, upper: bool) -> tuple[slice, slice, slice]:
    """The upper or lower share of the slices (first axis)."""
    slices = where[0]
    count = max(1, round((slices.stop - slices.start) * share))
    part = slice(slices.stop - count, slices.stop) if upper else slice(slices.start, slices.start + count)
    return part, where[1], where[2]
