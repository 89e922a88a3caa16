"""What is judged, and the numbers of one structure of it; imports no pandas, since every process of an evaluation imports this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from mrseg_label.scoring import MIN_REFERENCE_VOXELS


class Found(StrEnum):
    """Where a structure was found, which decides what its numbers mean.

    Metrics Reloaded (https://doi.org/10.1038/s41592-023-02151-z) asks to tell these apart.
    """

    BOTH = "both"  # in reference and prediction
    MISSED = "missed"  # only in the reference: DSC and NSD 0, HD95 infinite
    FALSE_POSITIVE = "false positive"  # only in the prediction
    ABSENT = "absent"  # in neither, and that is right
    REMNANT = "remnant"  # the reference has fewer than MIN_REFERENCE_VOXELS voxels
    NOT_ANNOTATED = "not annotated"  # in the reference
    NOT_PREDICTED = "not predicted"  # the model does not have the structure


COUNTED = (Found.BOTH, Found.MISSED)  # what enters means and tests (mrseg_label.scoring)


@dataclass(frozen=True)
class CaseOf:
    """What is judged: one image, and whose it is.

    Attributes
    ----------
    model : name of what made the prediction, such as a model version.
    case : unique among the images of a model.
    sex, age : of the participant; empty and NaN where unknown. Age in years.
    propagated_from : the case whose image the reference was drawn on, where that is another one; empty where it was drawn on this image.
    """

    model: str
    case: str
    participant: str
    data_set: str = ""
    sequence: str = ""
    station: str = ""
    sex: str = ""
    age: float = math.nan
    propagated_from: str = ""


@dataclass(frozen=True)
class Measured:
    """The numbers of one structure of one image; NaN where there is nothing to measure, never for an infinite distance.

    Attributes
    ----------
    hd95_mm : infinite where the structure was missed.
    reference_ml, prediction_ml : volumes; the reference's is NaN where the structure was not annotated.
    tolerance_mm : of the NSD.
    cut_by_edge : whether the structure reaches the edge of the image in either mask, so that what is measured is a part of it.
    """

    structure: str
    found: Found
    dsc: float = math.nan
    hd95_mm: float = math.nan
    nsd: float = math.nan
    reference_ml: float = math.nan
    prediction_ml: float = math.nan
    tolerance_mm: float = math.nan
    cut_by_edge: bool = False


RULE = (
    f"A structure of a case counts where the reference has at least {MIN_REFERENCE_VOXELS} voxels of it. One that was missed counts with DSC 0 "
    "and NSD 0; its HD95 is infinite, so it enters no mean of HD95 and is counted beside it. Structures that were not annotated, or that the model does not have, are left out. "
    "A structure that is in the prediction alone is a false positive and is counted apart."
)
