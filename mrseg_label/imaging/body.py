"""Where the body is in an MR image, and what is hollow in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

Mask = NDArray[np.bool_]

# What counts as a cavity in the body: dark in every direction over this distance, and this large.
CAVITY_RADIUS_MM = 5.0
CAVITY_ML = 15.0
# Air is darker than this part of the range; a threshold above it divides tissue, because there is no air.
_AIR_BELOW = 0.2
_MIN_AIR = 100  # sampled voxels; fewer are no background
# Levels among which the peak of lung is looked for, and what part of its height its foot has.
_PEAK_BELOW = 0.15
_PEAK_BINS = 30
_PEAK_FOOT = 0.4
_SAMPLE = 200_000  # voxels that are enough for a histogram


def largest_component(mask: Mask) -> Mask:
    """The largest connected part (faces touching) of a mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def fill_holes_per_slice(mask: Mask, axis: int = 2) -> Mask:
    """Fill what a mask encloses within each slice across ``axis``.

    Slice by slice, because lungs and bowel are open where the field of view ends above and below.
    """
    in_plane = ndimage.generate_binary_structure(3, 1)
    middle: list[Any] = [slice(None)] * 3
    for side in (0, 2):
        middle[axis] = side
        in_plane[tuple(middle)] = False
    outside, count = ndimage.label(~mask, structure=in_plane)
    open_to_border = np.zeros(count + 1, dtype=bool)
    for edge in (other for other in range(3) if other != axis):
        for end in (0, -1):
            open_to_border[np.take(outside, end, axis=edge)] = True
    open_to_border[0] = False  # the mask itself
    filled: Mask = ~open_to_border[outside]
    return filled


def body_mask(volume: NDArray[Any], axis: int = 2) -> Mask:
    """Where the body is in an MR image.

    Background is noise near zero and the body anything above, however dark. Otsu's threshold alone splits
    bright fat from the rest, so it is taken of the logarithm of the smoothed intensities, where air and
    tissue are the two groups. The largest connected part is kept and filled slice by slice, so that lung
    and gas belong to the body.

    Parameters
    ----------
    volume : (X, Y, Z), arbitrary units.
    axis : the axis across which slices are filled: the one from feet to head.

    Returns
    -------
    (X, Y, Z) bool; all True where air and tissue cannot be told apart.

    References
    ----------
    Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 1979;9:62.
    https://doi.org/10.1109/TSMC.1979.4310076
    """
    smooth = ndimage.gaussian_filter(volume, 1.0, output=np.float32, truncate=2.0)
    low, high = robust_range(smooth)
    low = min(low, 0.0)  # air has no signal; a larger darkest value is tissue
    if not high > low:
        return np.ones(volume.shape, dtype=np.bool_)
    levels = (smooth - low) / (high - low)
    body = levels > _air_threshold(_sample(levels))
    # Opening; the body goes on beyond the image.
    body = ndimage.binary_dilation(ndimage.binary_erosion(body, border_value=1))
    body = fill_holes_per_slice(largest_component(body), axis)
    if not body.any():
        return np.ones(volume.shape, dtype=np.bool_)
    return body


def cavity_level(level: NDArray[np.float32], body: Mask) -> float:
    """Level below which lung and gas lie: the far foot of a narrow peak at the dark end of the histogram.

    Lung can be as bright on one image as muscle or spleen on another, so no fixed level will do. But lung has
    hardly any signal of its own and its voxels stand close together, whereas dark tissue runs on into
    brighter tissue. Where there is no such peak, nothing is taken for a cavity.

    Parameters
    ----------
    level : (X, Y, Z) smoothed intensities, 0 to 1 for the image's robust range.
    body : where the body is.

    Returns
    -------
    The level, or 0 where there is no peak.
    """
    histogram = np.histogram(_sample(level[body]), bins=_PEAK_BINS, range=(0, _PEAK_BELOW))[0]
    smooth = ndimage.gaussian_filter1d(histogram.astype(np.float64), 1.0)
    foot = smooth < _PEAK_FOOT * np.maximum.accumulate(smooth)
    return float(np.argmax(foot)) * _PEAK_BELOW / _PEAK_BINS


def _air_threshold(levels: NDArray[np.float32]) -> float:
    """Level that divides air from tissue; negative where there is no air."""
    # A hundredth of the range keeps the logarithm from spreading the noise of a black background.
    logarithms = np.log(np.clip(levels, 0, 1) + 0.01)
    for _ in range(3):
        split = float(threshold_otsu(logarithms))
        if np.exp(split) - 0.01 <= _AIR_BELOW:
            return float(np.exp(split)) - 0.01
        # Two kinds of tissue were divided (fat and water, where fat is suppressed): look below.
        logarithms = logarithms[logarithms <= split]
        if logarithms.size < _MIN_AIR or logarithms.min() == logarithms.max():
            break
    return -1.0


def dark_cavities(level: NDArray[np.float32], body: Mask, spacing_mm: ArrayLike) -> Mask:
    """Lung and gas: what is dark inside the body, in every direction over some millimetres, and large.

    Cortical bone and vessels are dark too, but thin.

    Parameters
    ----------
    level : (X, Y, Z), 0 to 1 for the image's robust range.
    body : where the body is.
    spacing_mm : of the three axes.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    smooth = ndimage.gaussian_filter(level, 1.0, truncate=2.0)
    limit = cavity_level(smooth, body)
    labels, count = ndimage.label(body & (smooth < limit))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * (float(np.prod(spacing)) / 1000)
    sizes[0] = 0
    core: Mask = (sizes >= CAVITY_ML)[labels]
    if not core.any():  # spares the distances, which take most of the time
        return core
    core = ndimage.distance_transform_edt(core, sampling=spacing) > CAVITY_RADIUS_MM
    if not core.any():
        return core
    # Smoothing and partial volume brighten the rim, so the cavity ends where it is twice as bright.
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= 2 * CAVITY_RADIUS_MM
    rim: Mask = body & (smooth < 2 * limit) & near
    return rim


def robust_range(volume: NDArray[Any], low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    """The percentiles between which an MR image's intensities lie, without its few brightest voxels."""
    first, last = np.percentile(_sample(volume), (low, high))
    return float(first), float(last)


def _sample(volume: NDArray[Any]) -> NDArray[Any]:
    """Evenly spread voxels, enough for a histogram. A prime stride meets every axis's phases alike."""
    flat = volume.ravel(order="K")
    stride = max(1, flat.size // _SAMPLE)
    return flat[:: stride | 1] if stride > 1 else flat
