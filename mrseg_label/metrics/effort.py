"""Measure the effort of a correction from the pre-segmentation and the submitted mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.metrics.overlap import LabelMap, dice_from_histogram, joint_histogram
from mrseg_label.metrics.scoring import score_histogram
from mrseg_label.metrics.surface import boundary_voxels, check_spacing, compare_surfaces


@dataclass(frozen=True)
class Effort:
    """The changes that a reader made to a pre-segmentation.

    Attributes
    ----------
    edited_voxels : number of voxels whose label changed.
    edited_ml : their volume in millilitres.
    edited_by_structure : (N,) int64; voxels that a structure lost or gained. A voxel that went from one
        structure to another counts for both, so the sum can exceed ``edited_voxels``.
    edits : number of connected sets of changed voxels; voxels that share a face, an edge or a corner are connected.
    edits_by_structure : (N,) int64; connected sets of the voxels that a structure lost or gained.
    surface_changed_by_structure : (N,) float64; share of both surfaces of a structure that is farther from the other than the
        tolerance (one minus the normalised surface Dice), NaN where the structure is in neither.
    surface_changed : the same over the surfaces of all structures together; NaN if there are none.
    added_path_by_structure : (N,) int64; voxels of the correction's in-plane contour that are not on the
        contour of the pre-segmentation (added path length, in voxels).
    added_path_mm_by_structure : (N,) float64; the same in mm: voxels times the mean in-plane spacing.
    dice_by_structure : (N,) float64; DSC of pre-segmentation and correction, NaN where a structure is in neither.
    mean_dice : mean over the structures that count (:mod:`mrseg_label.scoring`), with the correction as the
        reference; NaN if there are none.
    accepted_unchanged : no voxel was changed.
    """

    edited_voxels: int
    edited_ml: float
    edited_by_structure: NDArray[np.int64]
    edits: int
    edits_by_structure: NDArray[np.int64]
    surface_changed: float
    surface_changed_by_structure: NDArray[np.float64]
    added_path_by_structure: NDArray[np.int64]
    added_path_mm_by_structure: NDArray[np.float64]
    dice_by_structure: NDArray[np.float64]
    mean_dice: float
    accepted_unchanged: bool

    @property
    def added_path_voxels(self) -> int:
        """Added path length over all structures, voxels."""
        return int(self.added_path_by_structure.sum())

    @property
    def added_path_mm(self) -> float:
        """Added path length over all structures, mm."""
        return float(self.added_path_mm_by_structure.sum())


def effort(
    presegmentation: LabelMap,
    corrected: LabelMap,
    structures: int,
    spacing_mm: Sequence[float],
    tolerances_mm: Sequence[float],
    slice_axis: int = 2,
) -> Effort:
    """Measure the changes from a pre-segmentation to its correction.

    Parameters
    ----------
    presegmentation, corrected : label maps of one grid; zeros stand for a missing pre-segmentation.
    structures : number of structures of the scheme.
    spacing_mm : voxel spacing along each axis.
    tolerances_mm : (N,) by how much the surface of each structure may move without being counted as changed.
    slice_axis : axis across the slices in which contours are drawn (2 for arrays in file order whose third
        axis runs from feet to head).

    Raises
    ------
    GeometryError
        The shapes differ.
    InvalidInput
        Label ids outside the scheme, a slice axis that does not exist, or a spacing that does not fit.

    References
    ----------
    Vaassen F, et al. Evaluation of measures for assessing time-saving of automatic organ-at-risk
    segmentation in radiotherapy. Phys Imaging Radiat Oncol 2020;13:1-6.
    https://doi.org/10.1016/j.phro.2019.12.001
    """
    if not 0 <= slice_axis < presegmentation.ndim:
        raise InvalidInput(f"there is no slice axis {slice_axis} in an image with {presegmentation.ndim} axes")
    spacing = check_spacing(spacing_mm, presegmentation.ndim)
    histogram = joint_histogram(presegmentation, corrected, structures)
    agreeing = np.diagonal(histogram)
    edited = int(histogram.sum() - agreeing.sum())
    mean = score_histogram(histogram.T).mean  # rows are the reference's
    lost_or_gained = histogram.sum(axis=0) + histogram.sum(axis=1) - 2 * agreeing
    path = _added_path(presegmentation, corrected, structures, slice_axis)
    edits, edits_by_structure = count_edits(presegmentation, corrected, structures)
    surfaces = compare_surfaces(presegmentation, corrected, spacing_mm, structures, tolerances_mm)
    beyond, surface = surfaces.surface_voxels_beyond.sum(axis=0), surfaces.surface_voxels.sum(axis=0)
    return Effort(
        edited_voxels=edited,
        edited_ml=edited * math.prod(spacing) / 1000,
        edited_by_structure=lost_or_gained[1:],
        edits=edits,
        edits_by_structure=edits_by_structure,
        surface_changed=float(beyond.sum() / surface.sum()) if surface.any() else float("nan"),
        surface_changed_by_structure=np.divide(beyond, surface, out=np.full(structures, np.nan), where=surface > 0),
        added_path_by_structure=path,
        added_path_mm_by_structure=path * fmean(step for axis, step in enumerate(spacing) if axis != slice_axis),
        dice_by_structure=dice_from_histogram(histogram),
        mean_dice=float("nan") if mean is None else mean,
        accepted_unchanged=edited == 0,
    )


def count_edits(first: LabelMap, second: LabelMap, structures: int) -> tuple[int, NDArray[np.int64]]:
    """Count the connected sets of voxels that differ: in all, and of those that each structure lost or gained (N,)."""
    from scipy import ndimage  # imported here: it takes a third of a second

    changed = first != second
    by_structure = np.zeros(structures, dtype=np.int64)
    if not changed.any():
        return 0, by_structure
    box = ndimage.find_objects(changed.astype(np.uint8))[0]
    before, after, changed = first[box], second[box], changed[box]
    touching = np.ones((3,) * first.ndim, dtype=np.bool_)
    total = int(ndimage.label(changed, touching)[1])
    boxes = _merged(
        ndimage.find_objects(np.where(changed, before, 0).astype(np.uint16), max_label=structures),
        ndimage.find_objects(np.where(changed, after, 0).astype(np.uint16), max_label=structures),
    )
    for index, part in enumerate(boxes):
        if part is not None:
            own = (before[part] == index + 1) ^ (after[part] == index + 1)
            by_structure[index] = ndimage.label(own, touching)[1]
    return total, by_structure


Box = tuple[slice, ...]


def _merged(first: Sequence[Box | None], second: Sequence[Box | None]) -> list[Box | None]:
    """The smallest boxes that contain both of each pair."""
    return [
        tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
        if one and other
        else one or other
        for one, other in zip(first, second, strict=True)
    ]


def _added_path(presegmentation: LabelMap, corrected: LabelMap, structures: int, slice_axis: int) -> NDArray[np.int64]:
    in_plane = [axis for axis in range(presegmentation.ndim) if axis != slice_axis]
    contour = boundary_voxels(corrected, in_plane)
    already_there = boundary_voxels(presegmentation, in_plane) & (presegmentation == corrected)
    return np.bincount(corrected[contour & ~already_there], minlength=structures + 1)[1:].astype(np.int64, copy=False)
