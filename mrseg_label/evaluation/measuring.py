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
from mrseg_label.metrics import Presence, compare

METHOD = "3"  # raise it when the same masks give other numbers, so that stored ones are measured again


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
    compared = compare(reference, prediction, geometry.spacing_mm, scheme.nsd_tolerances_mm)
    measured = []
    for structure in scheme:
        one = compared.measures(structure.id)
        volumes = {"reference_ml": _number(one.reference_ml), "prediction_ml": _number(one.prediction_ml)}
        if annotated is not None and structure.name not in annotated:
            measured.append(Measured(structure.name, Found.NOT_ANNOTATED, prediction_ml=volumes["prediction_ml"]))
        elif predicted is not None and structure.name not in predicted:
            measured.append(Measured(structure.name, Found.NOT_PREDICTED, reference_ml=volumes["reference_ml"]))
        elif one.presence in (Presence.NEITHER, Presence.FALSE_POSITIVE):
            outcome = Found.ABSENT if one.presence is Presence.NEITHER else Found.FALSE_POSITIVE
            measured.append(
                Measured(
                    structure.name,
                    outcome,
                    reference_ml=volumes["reference_ml"],
                    prediction_ml=volumes["prediction_ml"],
                )
            )
        else:
            both = Found.BOTH if one.presence is Presence.BOTH else Found.MISSED
            measured.append(
                Measured(
                    structure.name,
                    both if one.counts else Found.REMNANT,
                    dsc=_number(one.dsc),
                    hd95_mm=_number(one.hd95_mm),
                    nsd=_number(one.nsd),
                    tolerance_mm=one.tolerance_mm,
                    cut_by_edge=one.cut_by_edge,
                    reference_ml=volumes["reference_ml"],
                    prediction_ml=volumes["prediction_ml"],
                )
            )
    return measured


def _number(value: float | None) -> float:
    return math.nan if value is None else value
