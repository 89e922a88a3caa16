"""Measure a prediction against a reference on one grid, structure by structure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mrseg_label.evaluation.values import Found, Measured
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.resampling import resample_labels
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import dice_from_histogram, hausdorff95, joint_histogram
from mrseg_label.scoring import MIN_REFERENCE_VOXELS

METHOD = "1"  # raise it when the same masks give other numbers, so that stored ones are measured again


def measure(
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    geometry: Geometry,
    scheme: LabelScheme,
    *,
    annotated: Collection[str] | None = None,
    predicted: Collection[str] | None = None,
    spacing_mm: Sequence[float] | None = None,
) -> list[Measured]:
    """Measure every structure of the scheme.

    Parameters
    ----------
    reference, prediction : (X, Y, Z) in the ids of the scheme, on the grid ``geometry``.
    annotated : structures that were judged in the reference; all by default.
    predicted : structures that the prediction can have at all; all by default.
    spacing_mm : resample both first, left to right, back to front, bottom to top.

    Raises
    ------
    GeometryError, InvalidInput
        The arrays or the spacing do not fit.
    """
    if spacing_mm is not None:
        grid = geometry
        reference, geometry = resample_labels(reference, grid, spacing_mm)
        prediction, _ = resample_labels(prediction, grid, spacing_mm)
    histogram = joint_histogram(reference, prediction, len(scheme))
    there, found = histogram.sum(axis=1)[1:], histogram.sum(axis=0)[1:]
    dsc = dice_from_histogram(histogram)
    distances = hausdorff95(reference, prediction, geometry.spacing_mm, len(scheme))
    measured = []
    for place, structure in enumerate(scheme):
        volumes = (float(there[place]) * geometry.voxel_ml, float(found[place]) * geometry.voxel_ml)
        if annotated is not None and structure.name not in annotated:
            measured.append(Measured(structure.name, Found.NOT_ANNOTATED, prediction_ml=volumes[1]))
        elif predicted is not None and structure.name not in predicted:
            measured.append(Measured(structure.name, Found.NOT_PREDICTED, reference_ml=volumes[0]))
        else:
            outcome = _outcome(int(there[place]), int(found[place]))
            apart = outcome in (Found.ABSENT, Found.FALSE_POSITIVE)
            measured.append(
                Measured(
                    structure.name,
                    outcome,
                    math.nan if apart else float(dsc[place]),
                    math.nan if apart else float(distances[place]),
                    math.nan,
                    *volumes,
                )
            )
    return measured


def _outcome(there: int, found: int) -> Found:
    if not there:
        return Found.FALSE_POSITIVE if found else Found.ABSENT
    if there < MIN_REFERENCE_VOXELS:
        return Found.REMNANT
    return Found.BOTH if found else Found.MISSED
