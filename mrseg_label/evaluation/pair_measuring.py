"""Measure one pair of files; what the processes of an evaluation run, so that it imports no pandas."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from mrseg_label.errors import MrsegError
from mrseg_label.evaluation.masks import read_pair
from mrseg_label.evaluation.measuring import METHOD, measure
from mrseg_label.evaluation.pairs import Pair
from mrseg_label.evaluation.values import Measured
from mrseg_label.files import sha256_of
from mrseg_label.intake.images import MaskLabels
from mrseg_label.labels import LabelScheme


@dataclass(frozen=True)
class Comparison:
    """How predictions are compared with references.

    Attributes
    ----------
    prediction_labels, reference_labels : names of their label ids.
    spacing_mm : to which both are resampled; None for that of the masks.
    """

    scheme: LabelScheme
    prediction_labels: MaskLabels
    reference_labels: MaskLabels
    spacing_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Outcome:
    """The measurements of a pair, or why there are none."""

    pair: Pair
    result: list[Measured] | str
    notes: tuple[str, ...] = ()


def measure_pair(pair: Pair, how: Comparison) -> Outcome:
    """Measure a pair; what is wrong with its files is in the result."""
    try:
        prediction, reference, geometry = read_pair(
            how.scheme, pair.prediction, how.prediction_labels, pair.reference, how.reference_labels
        )
        measured = measure(
            reference.mask,
            prediction.mask,
            geometry,
            how.scheme,
            annotated=reference.names,
            predicted=prediction.names,
            spacing_mm=how.spacing_mm,
        )
    except MrsegError as error:
        return Outcome(pair, str(error))
    return Outcome(pair, measured, (*prediction.notes, *reference.notes))


def key_of(pair: Pair, how: Comparison) -> str:
    """Compute a digest of everything that the measurements of a pair depend on."""
    parts = [METHOD, sha256_of(pair.prediction), sha256_of(pair.reference), how.scheme.digest]
    values = [*parts, how.scheme.nsd_tolerances_mm, how.prediction_labels, how.reference_labels, how.spacing_mm]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
