"""MR made to look like CT, so that a network that has only seen CT can segment it.

On CT, fat is darker than soft tissue and bone brighter; on T1-weighted MR, fat is brightest and cortical bone
darkest. So an inverted MR image looks more like CT than the MR image does, where fat is bright. Outside
the body, in lung and in gas both are dark, so these are set apart and not inverted (an inverted
background would be bone everywhere).

All arrays are (X, Y, Z) with the third axis from feet to head (any order of RAS or LPS will do for the
rest); results are int16 in the range of Hounsfield units, since TotalSegmentator resamples whole numbers.

References
----------
Häntze H et al. Improve cross-modality segmentation by treating MRI images as inverted CT scans.
arXiv:2405.03713. https://doi.org/10.48550/arXiv.2405.03713
Häntze H et al. MRSegmentator: multi-modality segmentation of 40 classes in MRI and CT. arXiv:2405.06463.
https://doi.org/10.48550/arXiv.2405.06463
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrseg_label.imaging.body import Mask, body_mask, dark_cavities, robust_range

AIR_HU = -1000
CAVITY_HU = -850
# The window of soft tissue on CT, from fat to enhanced vessels and cancellous bone.
TISSUE_HU = (-150, 250)
_RANGE_PERCENT = (1.0, 99.5)
# An image with a smaller range would lose its contrast when it is rounded to whole numbers.
_MIN_RAW_RANGE = 100.0
_RAW_SCALE = 1000.0
_INT16 = np.iinfo(np.int16)
_LEVELS = 1024

Volume = NDArray[np.int16]


def invert(volume: NDArray[Any], spacing_mm: ArrayLike, body: Mask | None = None) -> Volume:
    """Turn bright into dark inside the body: n = (x - p1) / (p99.5 - p1) becomes -150 + (1 - n) 400 HU.

    Parameters
    ----------
    volume : MR intensities, arbitrary units.
    spacing_mm : of the three axes.
    body : where the body is, if it is known; else :func:`mrseg_label.imaging.body.body_mask`.

    Returns
    -------
    int16, HU: tissue -150 to 250, lung and gas -850, outside the body -1000.
    """
    body = body_mask(volume) if body is None else body
    level = _level(volume)
    low, high = TISSUE_HU
    return _assemble(low + (1 - level) * (high - low), body, dark_cavities(level, body, spacing_mm))


def equalize(volume: NDArray[Any], spacing_mm: ArrayLike, body: Mask | None = None) -> Volume:
    """Equalise the histogram of the tissue inside the body: each of -150 to 250 HU becomes equally frequent.

    The order of intensities stays: bright remains bright. Parameters and result as in :func:`invert`.
    """
    body = body_mask(volume) if body is None else body
    level = _level(volume)
    cavities = dark_cavities(level, body, spacing_mm)
    bins = np.minimum((level * _LEVELS).astype(np.int32), _LEVELS - 1)
    histogram = np.bincount(bins[body & ~cavities], minlength=_LEVELS).astype(np.float64)
    # A level's rank is the middle of its bin, so that one frequent level does not jump to its end.
    rank = (np.cumsum(histogram) - histogram / 2) / max(histogram.sum(), 1)
    low, high = TISSUE_HU
    return _assemble((low + rank * (high - low)).astype(np.float32)[bins], body, cavities)


def raw(volume: NDArray[Any]) -> Volume:
    """The image's own values as whole numbers.

    Values stay as they are, unless their range is so small that rounding would erase the image (floating
    point images between 0 and 1) or so large that they do not fit: then they are scaled to 0 to 1000.
    """
    low, high = robust_range(volume, *_RANGE_PERCENT)
    smallest, largest = float(volume.min()), float(volume.max())
    if high - low >= _MIN_RAW_RANGE and smallest >= _INT16.min and largest <= _INT16.max:
        kept: Volume = np.rint(volume).astype(np.int16)
        return kept
    if not high > low:
        low, high = smallest, largest
    scaled = (volume.astype(np.float32) - np.float32(low)) * np.float32(_RAW_SCALE / (high - low))
    whole: Volume = np.rint(np.clip(scaled, _INT16.min, _INT16.max)).astype(np.int16)
    return whole


def _level(volume: NDArray[Any]) -> NDArray[np.float32]:
    """Intensities between the 1st and the 99.5th percentile as 0 to 1."""
    low, high = robust_range(volume, *_RANGE_PERCENT)
    level = volume.astype(np.float32)
    level -= np.float32(low)
    level /= np.float32(max(high - low, 1e-30))
    return np.clip(level, 0, 1, out=level)


def _assemble(tissue: NDArray[np.float32], body: Mask, cavities: Mask) -> Volume:
    result = np.full(tissue.shape, AIR_HU, dtype=np.int16)
    np.copyto(result, np.rint(tissue).astype(np.int16), where=body)
    result[cavities] = CAVITY_HU
    return result
