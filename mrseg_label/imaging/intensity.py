"""Convert the intensities of MR images to resemble CT, so that a network trained on CT alone can segment them.

On CT, fat is darker and bone brighter than soft tissue; on T1-weighted MR, fat is brightest and cortical bone darkest.
If fat is bright, an inverted MR image therefore resembles CT more closely. Air outside the body, lung and gas are dark
on both, so they are handled separately and not inverted (an inverted background would look like bone).

All arrays are (X, Y, Z) with the third axis from feet to head, such as RAS or LPS; results are int16 in the range of
Hounsfield units, since TotalSegmentator resamples integers.

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
# Soft tissue on CT, from fat to enhanced vessels and cancellous bone.
TISSUE_HU = (-150, 250)
_RANGE_PERCENT = (1.0, 99.5)
# An image with a smaller range would lose its contrast by rounding to integers.
_MIN_RAW_RANGE = 100.0
_RAW_SCALE = 1000.0
_INT16 = np.iinfo(np.int16)
_LEVELS = 1024

Volume = NDArray[np.int16]


def invert(volume: NDArray[Any], spacing_mm: ArrayLike, body: Mask | None = None) -> Volume:
    """Invert the intensities inside the body: n = (x - p1) / (p99.5 - p1) becomes -150 + (1 - n) 400 HU.

    Parameters
    ----------
    volume : (X, Y, Z) MR intensities, arbitrary units.
    spacing_mm : of the three axes.
    body : (X, Y, Z) mask of the body; by default :func:`mrseg_label.imaging.body.body_mask`.

    Returns
    -------
    (X, Y, Z) int16 in HU: tissue -150 to 250, lung and gas -850, outside the body -1000.
    """
    body = body_mask(volume) if body is None else body
    level = _level(volume)
    low, high = TISSUE_HU
    return _assemble(low + (1 - level) * (high - low), body, dark_cavities(level, body, spacing_mm))


def equalize(volume: NDArray[Any], spacing_mm: ArrayLike, body: Mask | None = None) -> Volume:
    """Equalise the histogram of tissue inside the body: all values from -150 to 250 HU become equally frequent.

    The order of intensities is kept: bright remains bright. Parameters and result as in :func:`invert`.
    """
    body = body_mask(volume) if body is None else body
    level = _level(volume)
    cavities = dark_cavities(level, body, spacing_mm)
    bins = np.minimum((level * _LEVELS).astype(np.int32), _LEVELS - 1)
    histogram = np.bincount(bins[body & ~cavities], minlength=_LEVELS).astype(np.float64)
    # The rank of a level is the middle of its bin, so that a frequent level is not moved to the end of its bin.
    rank = (np.cumsum(histogram) - histogram / 2) / max(histogram.sum(), 1)
    low, high = TISSUE_HU
    return _assemble((low + rank * (high - low)).astype(np.float32)[bins], body, cavities)


def round_to_int16(volume: NDArray[Any]) -> Volume:
    """Round the values of an image to int16, without converting them.

    Only if their range is so small that rounding would erase the image (floating-point images between 0 and 1), or so
    large that it exceeds int16, the values are first scaled to 0 to 1000.

    Parameters
    ----------
    volume : (X, Y, Z), HU or arbitrary units.

    Returns
    -------
    (X, Y, Z) int16.
    """
    low, high = robust_range(volume, *_RANGE_PERCENT)
    smallest, largest = float(volume.min()), float(volume.max())
    if high - low >= _MIN_RAW_RANGE and smallest >= _INT16.min and largest <= _INT16.max:
        kept: Volume = np.rint(volume).astype(np.int16)
        return kept
    if not high > low:
        low, high = smallest, largest
    scaled = (volume.astype(np.float32) - np.float32(low)) * np.float32(_RAW_SCALE / (high - low))
    rounded: Volume = np.rint(np.clip(scaled, _INT16.min, _INT16.max)).astype(np.int16)
    return rounded


def _level(volume: NDArray[Any]) -> NDArray[np.float32]:
    """Scale intensities from the 1st to the 99.5th percentile to 0 to 1."""
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
