"""Where structures usually lie, as other masks of the same station show it, and which lie elsewhere.

Participants differ in size and lie differently in the scanner. So each mask is first laid over what is usual: along each axis it is
shifted, and where it shows enough structures also stretched, so that most of its centres fit. A structure that does not fit then
lies elsewhere than in others, or is drawn in the wrong place.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_TO_SHIFT, FEWEST_TO_STRETCH = 3, 8  # structures of a mask whose centres are known along an axis
_MOST_STRETCHED = 1.25
_LEAST_SPREAD_MM = 4.0  # what is believed of how much healthy people differ, however alike a few masks are
_CONSISTENT = 1.4826  # makes the median absolute deviation of normal values their standard deviation
_PASSES = 6
Centers = NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """Where each structure of each mask is expected.

    Attributes
    ----------
    expected : (masks, structures, 3) RAS mm; NaN where nobody can say.
    spread : (structures, 3) robust standard deviation around the expected place, mm.
    known : (structures, 3) number of masks that say where a structure lies along an axis.
    """

    expected: Centers
    spread: NDArray[np.float64]
    known: NDArray[np.int64]

    def deviations(self, centers: Centers, fewest: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute how far each structure lies from its place.

        Parameters
        ----------
        centers : (masks, structures, 3), those that the places were found from.
        fewest : other masks that must say where a structure lies.

        Returns
        -------
        apart_mm : (masks, structures) distance along the axes that can be compared; NaN where none can.
        z : (masks, structures) the same distance, in standard deviations along each axis.
        """
        difference: NDArray[np.float64] = np.where(self.known > fewest, centers - self.expected, np.nan)
        apart = np.sqrt(_sum(np.square(difference)))
        return apart, np.sqrt(_sum(np.square(difference / self.spread)))


def find_places(centers: Centers, reference: NDArray[np.bool_]) -> Places:
    """Find where each structure is expected.

    Parameters
    ----------
    centers : (masks, structures, 3) RAS mm; NaN where a structure is not there or cut by the field of view along an axis.
    reference : (masks,) the masks that say what is usual; the others are only compared with them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians over nothing are NaN, as they should be
        shift = np.zeros((len(centers), 1, 3))
        stretch = np.ones((len(centers), 1, 3))
        usual = np.nanmedian(centers[reference], axis=0)
        for number in range(_PASSES):
            if number >= _PASSES // 2:
                stretch = _stretches(centers, usual)
            shift = np.nanmedian(centers - stretch * usual, axis=1, keepdims=True)
            usual = np.nanmedian(((centers - shift) / stretch)[reference], axis=0)
        expected = stretch * usual + shift
        enough = np.isfinite(centers).sum(axis=1, keepdims=True) > FEWEST_TO_SHIFT
        expected = np.where(enough, expected, np.nan)
        residual = (centers - expected)[reference]
        middle = np.nanmedian(residual, axis=0)
        spread = _CONSISTENT * np.nanmedian(np.abs(residual - middle), axis=0)
    return Places(expected + middle, np.fmax(spread, _LEAST_SPREAD_MM), np.isfinite(centers[reference]).sum(axis=0))


def _stretches(centers: Centers, usual: NDArray[np.float64]) -> Centers:
    """How much larger each mask is than what is usual, (masks, 1, 3): the median of the slopes from its middle to each structure."""
    ours = np.where(np.isfinite(centers + usual), centers, np.nan)
    theirs = np.where(np.isfinite(ours), usual, np.nan)
    x, y = (one - np.nanmedian(one, axis=1, keepdims=True) for one in (theirs, ours))
    weight = np.abs(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = y / x
    result = np.ones((len(centers), 1, 3))
    for mask, axis in np.ndindex(len(centers), 3):
        valid = np.isfinite(slope[mask, :, axis])
        if valid.sum() < FEWEST_TO_STRETCH:
            continue
        order = np.argsort(slope[mask, valid, axis])
        share = np.cumsum(weight[mask, valid, axis][order])
        found = slope[mask, valid, axis][order][np.searchsorted(share, share[-1] / 2)]
        result[mask, 0, axis] = np.clip(found, 1 / _MOST_STRETCHED, _MOST_STRETCHED)
    return result


def _sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the last axis of the values that are known; NaN where none is."""
    known = np.isfinite(values)
    total: NDArray[np.float64] = np.where(known.any(axis=-1), np.where(known, values, 0).sum(axis=-1), np.nan)
    return total
