"""The rules of every mean: which structures of a case count for a mean DSC, and which distances for a mean HD95.

A mean says how well a model segments what is there. The DSC of a structure that is not there is zero for a single
voxel that the model put somewhere, however good it is elsewhere, and that of a few voxels at the border of the image
is noise. So both are left out of every mean and reported apart: Maier-Hein L, et al. Metrics reloaded:
recommendations for image analysis validation. Nat Methods 2024;21:195-212.
https://doi.org/10.1038/s41592-023-02151-z
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

MIN_REFERENCE_VOXELS = 10

# Shown wherever a mean is.
STRUCTURES_THAT_COUNT = (
    f"structures of which the reference has at least {MIN_REFERENCE_VOXELS} voxels; voxels of a structure that is not "
    "there are counted apart, as false positives"
)
MEAN_OF_CASES = f"mean over the cases of each case's mean over the {STRUCTURES_THAT_COUNT}"


@dataclass(frozen=True)
class DistanceMean:
    """The mean of distances of which some are infinite, which are counted and not averaged.

    Attributes
    ----------
    mean_mm, sd_mm : of the finite ones, sample standard deviation; None of none, or of fewer than two.
    finite : number of finite ones.
    infinite : number of cases in which only one of the two masks has the structure.
    """

    mean_mm: float | None
    sd_mm: float | None
    finite: int
    infinite: int


def mean_distance(values: Iterable[float | None]) -> DistanceMean:
    """Average HD95 over cases; None and NaN (nothing to measure) are left out, infinite ones are counted."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    finite = [value for value in known if math.isfinite(value)]
    return DistanceMean(
        mean_mm=fmean(finite) if finite else None,
        sd_mm=stdev(finite) if len(finite) > 1 else None,
        finite=len(finite),
        infinite=len(known) - len(finite),
    )
