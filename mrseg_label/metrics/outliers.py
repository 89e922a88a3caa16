"""Find values that lie far outside of others, robustly: a few wrong ones among the others do not hide each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

FEWEST_OTHERS = 8  # of fewer values nobody can say what is usual
MAX_Z = 3.5
_CONSISTENT = 1.4826  # makes the median absolute deviation of normal values their standard deviation

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Outlier:
    """A value far outside of the others.

    Attributes
    ----------
    value : the value.
    median : of the others.
    others : number of the others.
    z : modified z-score, negative below the median.
    """

    value: float
    median: float
    others: int
    z: float


def find_outliers(
    values: Mapping[Key, float], floor: float, reference: Collection[Key] | None = None
) -> dict[Key, Outlier]:
    """Find the positive or zero values whose logarithm has a modified z-score above MAX_Z among all; by their keys.

    Logarithms, since volumes and efforts differ by factors: log(1 + value).

    Parameters
    ----------
    floor : smallest standard deviation of the logarithms that is believed, so that values that are nearly all alike do not make
        every small difference an outlier (0.1: about 10 %).
    reference : keys of the values that say what is usual; by default all. The others are only compared with them.

    References
    ----------
    Iglewicz B, Hoaglin DC. How to detect and handle outliers. ASQC Quality Press 1993.
    """
    keys = list(values)
    usual = np.array([reference is None or key in reference for key in keys], dtype=np.bool_)
    if usual.sum() <= FEWEST_OTHERS:
        return {}
    numbers = np.array([values[key] for key in keys], dtype=np.float64)
    logarithms = np.log1p(numbers)
    center = float(np.median(logarithms[usual]))
    deviation = max(_CONSISTENT * float(np.median(np.abs(logarithms - center)[usual])), floor)
    scores = (logarithms - center) / deviation
    return {
        keys[index]: Outlier(
            value=float(numbers[index]),
            median=math.expm1(center),
            others=int(usual.sum() - usual[index]),
            z=float(scores[index]),
        )
        for index in np.flatnonzero(np.abs(scores) > MAX_Z)
    }
