"""Compare two label maps in every measure, structure by structure, by one set of rules.

The rules, after Maier-Hein L, et al. Metrics reloaded: recommendations for image analysis validation. Nat Methods
2024;21:195-212 (https://doi.org/10.1038/s41592-023-02151-z), by the :class:`Presence` of a structure:

- in both maps: every measure has a value;
- missed (in the reference only): DSC and NSD are 0, HD95 is infinite, the relative volume error is -1;
- false positive (in the prediction only): DSC and NSD are 0, HD95 is infinite, there is no relative volume error. Its
  volume is reported and it counts in no mean DSC (:mod:`mrseg_label.scoring`);
- in neither: there is nothing to measure, and no value;
- not annotated: whatever the masks say, there is no value.

A structure that the edge of the image cuts is measured as far as it is inside, as MONAI does, and marked: what is outside
is unknown, so its volume is not the organ's, and the cut itself counts as a surface that always agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.overlap import LabelMap, dice_from_histogram, joint_histogram
from mrseg_label.metrics.surface import compare_surfaces
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


class Presence(StrEnum):
    """Which of two maps have a structure."""

    BOTH = "both"
    MISSED = "missed"
    FALSE_POSITIVE = "false positive"
    NEITHER = "neither"
    NOT_ANNOTATED = "not annotated"


@dataclass(frozen=True)
class StructureMeasures:
    """The measures of one structure; None where there is nothing to measure.

    Attributes
    ----------
    presence : which of the maps have it.
    dsc : Dice similarity coefficient, 0 to 1.
    hd95_mm : 95th percentile of the Hausdorff distance; infinite where only one map has the structure.
    nsd : normalised surface Dice at ``tolerance_mm``, 0 to 1.
    tolerance_mm : distance between surfaces that is accepted.
    reference_ml, prediction_ml : volumes, millilitres.
    relative_volume_error : (prediction - reference) / reference; None also without a reference.
    counts : whether it counts in a mean: the reference has at least MIN_REFERENCE_VOXELS voxels of it.
    counts_between_equals : the same where neither mask is the reference: either has as many voxels.
    cut_by_edge : whether it reaches the edge of the image in either map.
    """

    presence: Presence
    dsc: float | None
    hd95_mm: float | None
    nsd: float | None
    tolerance_mm: float
    reference_ml: float | None
    prediction_ml: float | None
    relative_volume_error: float | None
    counts: bool
    counts_between_equals: bool
    cut_by_edge: bool


@dataclass(frozen=True)
class Comparison:
    """The measures of structures 1 to N; arrays (N,) by label id - 1, NaN where there is nothing to measure.

    Attributes
    ----------
    annotated : whether the reference's author judged the structure; what follows is of the masks alone.
    dsc, hd95_mm, nsd : float64, as in :class:`StructureMeasures`; HD95 may be infinite.
    tolerances_mm : float64, of NSD.
    reference_voxels, prediction_voxels : int64.
    cut_by_edge : bool; whether the structure reaches the edge of the image in either map.
    surface_voxels, surface_voxels_beyond : (2, N) int64; of the reference and the prediction, and those of them beyond the
        tolerance of the other's surface.
    voxel_ml : volume of a voxel, millilitres.
    """

    annotated: NDArray[np.bool_]
    dsc: NDArray[np.float64]
    hd95_mm: NDArray[np.float64]
    nsd: NDArray[np.float64]
    tolerances_mm: NDArray[np.float64]
    reference_voxels: NDArray[np.int64]
    prediction_voxels: NDArray[np.int64]
    cut_by_edge: NDArray[np.bool_]
    surface_voxels: NDArray[np.int64]
    surface_voxels_beyond: NDArray[np.int64]
    voxel_ml: float

    @property
    def relative_volume_error(self) -> NDArray[np.float64]:
        """(N,) float64; (prediction - reference) / reference, NaN without a reference."""
        error = np.full(len(self.dsc), np.nan)
        difference = self.prediction_voxels - self.reference_voxels
        np.divide(difference, self.reference_voxels, out=error, where=self.reference_voxels > 0)
        return error

    @property
    def counts(self) -> NDArray[np.bool_]:
        """(N,) whether a structure counts in a mean."""
        enough: NDArray[np.bool_] = self.annotated & (self.reference_voxels >= MIN_REFERENCE_VOXELS)
        return enough

    @property
    def counts_between_equals(self) -> NDArray[np.bool_]:
        """(N,) whether a structure counts in a mean where neither mask is the reference."""
        larger = np.maximum(self.reference_voxels, self.prediction_voxels)
        enough: NDArray[np.bool_] = self.annotated & (larger >= MIN_REFERENCE_VOXELS)
        return enough

    def presence(self, structure: int) -> Presence:
        """Tell which of the maps have the structure with this label id."""
        index = structure - 1
        if not self.annotated[index]:
            return Presence.NOT_ANNOTATED
        match bool(self.reference_voxels[index]), bool(self.prediction_voxels[index]):
            case True, True:
                return Presence.BOTH
            case True, False:
                return Presence.MISSED
            case False, True:
                return Presence.FALSE_POSITIVE
        return Presence.NEITHER

    def measures(self, structure: int) -> StructureMeasures:
        """Return the measures of the structure with this label id."""
        index, presence = structure - 1, self.presence(structure)

        def value(values: NDArray[np.float64]) -> float | None:
            number = float(values[index])
            return None if presence is Presence.NOT_ANNOTATED or math.isnan(number) else number

        return StructureMeasures(
            presence=presence,
            dsc=value(self.dsc),
            hd95_mm=value(self.hd95_mm),
            nsd=value(self.nsd),
            tolerance_mm=float(self.tolerances_mm[index]),
            reference_ml=value(self.reference_voxels * self.voxel_ml),
            prediction_ml=value(self.prediction_voxels * self.voxel_ml),
            relative_volume_error=value(self.relative_volume_error),
            counts=bool(self.counts[index]),
            counts_between_equals=bool(self.counts_between_equals[index]),
            cut_by_edge=bool(self.cut_by_edge[index]),
        )

    def by_structure(self, scheme: LabelScheme) -> dict[str, StructureMeasures]:
        """Name the measures, in the order of the label ids.

        Raises
        ------
        InvalidInput
            The scheme has another number of structures.
        """
        if len(scheme) != len(self.dsc):
            raise InvalidInput(f"{len(self.dsc)} structures were compared; the scheme has {len(scheme)}")
        return {structure.name: self.measures(structure.id) for structure in scheme}


def compare(
    reference: LabelMap,
    prediction: LabelMap,
    spacing_mm: Sequence[float],
    tolerances_mm: Sequence[float],
    annotated: NDArray[np.bool_] | None = None,
) -> Comparison:
    """Compare a prediction with a reference on one grid in every measure.

    Parameters
    ----------
    reference, prediction : label maps, ids 0 (background) to N.
    spacing_mm : voxel spacing along each axis of the arrays.
    tolerances_mm : of NSD, of structures 1 to N (:attr:`mrseg_label.labels.LabelScheme.nsd_tolerances_mm`).
    annotated : (N,) whether the reference's author judged each structure; by default all.

    Raises
    ------
    GeometryError
        The shapes differ.
    InvalidInput
        A label is not of the scheme, or the spacing or the tolerances do not fit.
    """
    structures = len(tolerances_mm)
    histogram = joint_histogram(reference, prediction, structures)
    surfaces = compare_surfaces(reference, prediction, spacing_mm, structures, tolerances_mm)
    return Comparison(
        annotated=np.ones(structures, dtype=np.bool_) if annotated is None else annotated,
        dsc=dice_from_histogram(histogram),
        hd95_mm=surfaces.hd95_mm,
        nsd=surfaces.nsd,
        tolerances_mm=np.asarray(tolerances_mm, dtype=np.float64),
        reference_voxels=histogram.sum(axis=1)[1:],
        prediction_voxels=histogram.sum(axis=0)[1:],
        cut_by_edge=find_cut(reference, structures) | find_cut(prediction, structures),
        surface_voxels=surfaces.surface_voxels,
        surface_voxels_beyond=surfaces.surface_voxels_beyond,
        voxel_ml=math.prod(spacing_mm) / 1000,
    )


def find_cut(labels: LabelMap, structures: int) -> NDArray[np.bool_]:
    """Find the structures of a label map that reach the edge of the image: (structures,) bool."""
    found = np.zeros(structures + 1, dtype=np.bool_)
    for axis in range(labels.ndim):
        for end in (0, -1):
            found[np.unique(labels.take(end, axis=axis))] = True
    return found[1:]
