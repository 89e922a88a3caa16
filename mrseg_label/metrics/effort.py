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
from mrseg_label.metrics.surface import boundary_voxels, check_spacing


@dataclass(frozen=True)
class Effort:
    """The changes that a reader made to a pre-segmentation.

    Attributes
    ----------
    edited_voxels : number of voxels whose label changed.
    edited_ml : their volume in millilitres.
    edited_by_structure : (N,) int64; voxels that a structure lost or gained. A voxel that went from one
        structure to another counts for both, so the sum can exceed ``edited_voxels``.
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
    presegmentation: LabelMap, corrected: LabelMap, structures: int, spacing_mm: Sequence[float], slice_axis: int = 2
) -> Effort:
    """Measure the changes from a pre-segmentation to its correction.

    Parameters
    ----------
    presegmentation, corrected : label maps of one grid; zeros stand for a missing pre-segmentation.
    structures : number of structures of the scheme.
    spacing_mm : voxel spacing along each axis of the arrays.
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
    return Effort(
        edited_voxels=edited,
        edited_ml=edited * math.prod(spacing) / 1000,
        edited_by_structure=lost_or_gained[1:],
        added_path_by_structure=path,
        added_path_mm_by_structure=path * fmean(step for axis, step in enumerate(spacing) if axis != slice_axis),
        dice_by_structure=dice_from_histogram(histogram),
        mean_dice=float("nan") if mean is None else mean,
        accepted_unchanged=edited == 0,
    )


def _added_path(presegmentation: LabelMap, corrected: LabelMap, structures: int, slice_axis: int) -> NDArray[np.int64]:
    in_plane = [axis for axis in range(presegmentation.ndim) if axis != slice_axis]
    contour = boundary_voxels(corrected, in_plane)
    already_there = boundary_voxels(presegmentation, in_plane) & (presegmentation == corrected)
    return np.bincount(corrected[contour & ~already_there], minlength=structures + 1)[1:].astype(np.int64, copy=False)
