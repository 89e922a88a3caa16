"""Score one case by the rule of every mean DSC (:mod:`mrseg_label.scoring`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.metrics.overlap import LabelMap, dice_from_histogram, joint_histogram
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


@dataclass(frozen=True)
class CaseScore:
    """The structures of one case, each in one of three arrays at most; shape (structures,), by label id - 1.

    Attributes
    ----------
    dsc : of structures of which the reference has at least MIN_REFERENCE_VOXELS voxels; NaN elsewhere.
    remnant_dsc : of structures of which the reference has fewer, such as a tip at the border of the image.
    false_positive_voxels : of the prediction, where the reference has none; zero elsewhere.
    """

    dsc: NDArray[np.float64]
    remnant_dsc: NDArray[np.float64]
    false_positive_voxels: NDArray[np.int64]

    @property
    def mean(self) -> float | None:
        """Mean over the structures that count; None if there are none."""
        counted = self.dsc[np.isfinite(self.dsc)]
        return float(counted.mean()) if counted.size else None


def score_case(reference: LabelMap, prediction: LabelMap, structures: int) -> CaseScore:
    """Score a prediction against a reference on one grid.

    Raises
    ------
    GeometryError, InvalidInput
        As :func:`mrseg_label.metrics.overlap.joint_histogram`.
    """
    return score_histogram(joint_histogram(reference, prediction, structures))


def score_histogram(histogram: NDArray[np.int64]) -> CaseScore:
    """Score a joint histogram whose rows are the reference's labels."""
    dsc = dice_from_histogram(histogram)
    there, predicted = histogram.sum(axis=1)[1:], histogram.sum(axis=0)[1:]
    return CaseScore(
        dsc=np.where(there >= MIN_REFERENCE_VOXELS, dsc, np.nan),
        remnant_dsc=np.where((there > 0) & (there < MIN_REFERENCE_VOXELS), dsc, np.nan),
        false_positive_voxels=np.where(there == 0, predicted, 0),
    )


def agreement(first: LabelMap, second: LabelMap, structures: int) -> NDArray[np.float64]:
    """DSC of structures 1 to N of two label maps of equal standing: (structures,) float64.

    NaN where neither has MIN_REFERENCE_VOXELS voxels of the structure, so that a few stray voxels are no disagreement.
    """
    return agreement_of_histogram(joint_histogram(first, second, structures))


def agreement_of_histogram(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute :func:`agreement` from a joint histogram."""
    larger = np.maximum(histogram.sum(axis=0), histogram.sum(axis=1))[1:]
    return np.where(larger >= MIN_REFERENCE_VOXELS, dice_from_histogram(histogram), np.nan)
