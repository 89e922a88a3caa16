"""Measure the agreement of two label maps, and the effort of correcting one into the other.

Arrays are label maps of one grid in any order of axes; ``spacing_mm`` and ``slice_axis`` describe the axes. Nothing
here reads a database or a setting.
"""

from __future__ import annotations

from mrseg_label.metrics.comparison import Comparison, Presence, StructureMeasures, compare
from mrseg_label.metrics.effort import Effort, effort
from mrseg_label.metrics.overlap import dice, dice_from_histogram, joint_histogram, per_structure
from mrseg_label.metrics.scoring import agreement, score_case
from mrseg_label.metrics.surface import SurfaceAgreement, compare_surfaces, hausdorff95, surface_dice
from mrseg_label.scoring import DistanceMean, mean_distance

__all__ = [
    "Comparison",
    "DistanceMean",
    "Effort",
    "Presence",
    "StructureMeasures",
    "SurfaceAgreement",
    "agreement",
    "compare",
    "compare_surfaces",
    "dice",
    "dice_from_histogram",
    "effort",
    "hausdorff95",
    "joint_histogram",
    "mean_distance",
    "per_structure",
    "score_case",
    "surface_dice",
]
