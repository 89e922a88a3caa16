"""Segment the body in an MR image, and the lungs and gas inside it, so that image intensities can be converted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

Mask = NDArray[np.bool_]

# A cavity is dark in every direction over at least this distance, and has at least this volume.
CAVITY_RADIUS_MM = 5.0
CAVITY_ML = 15.0
# Air lies below this fraction of the intensity range; a higher threshold divides tissue, so the image has no air.
_AIR_BELOW = 0.2
_MIN_AIR = 100  # sampled voxels; with fewer there is no background
# The peak of lung is searched below this level; its foot is at this fraction of its height.
_PEAK_BELOW = 0.15
_PEAK_BINS = 30
_PEAK_FOOT = 0.4
_SAMPLE = 200_000  # voxels; enough for a histogram


def largest_component(mask: Mask) -> Mask:
    """Keep the largest connected component (face neighbours) of a mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def fill_holes_per_slice(mask: Mask, axis: int = 2) -> Mask:
    """Fill the holes of a mask in each slice perpendicular to ``axis``.

    In 3D, lungs and bowel are no holes: they are open where the field of view ends above and below.
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


def large_components(mask: Mask, smallest_share: float) -> Mask:
    """Keep the components (face neighbours) that have at least this share of the voxels of the largest one."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large: Mask = (sizes >= smallest_share * sizes.max())[labels] & mask
    return large


def body_mask(volume: NDArray[Any], axis: int = 2, smallest_share: float = 1.0) -> Mask:
    """Segment the body in an MR image.

    The background is noise near zero; everything above it, however dark, is body. Otsu's threshold on the intensities
    would separate bright fat from the rest, so it is applied to the logarithm of the smoothed intensities, where air
    and tissue are the two classes. The largest connected component is kept and filled slice by slice, so that lungs
    and gas belong to the body.

    Parameters
    ----------
    volume : (X, Y, Z), arbitrary units.
    axis : slices are filled perpendicular to this axis, the one from feet to head.
    smallest_share : parts of the body are kept that have at least this share of the voxels of the largest one: two legs
        are two. By default only the largest.

    Returns
    -------
    (X, Y, Z) bool; all True if air and tissue cannot be separated.

    References
    ----------
    Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 1979;9:62.
    https://doi.org/10.1109/TSMC.1979.4310076
    """
    smooth = ndimage.gaussian_filter(volume, 1.0, output=np.float32, truncate=2.0)
    low, high = robust_range(smooth)
    low = min(low, 0.0)  # air has no signal; if the darkest value is larger, it is tissue
    if not high > low:
        return np.ones(volume.shape, dtype=np.bool_)
    levels = (smooth - low) / (high - low)
    body = levels > _air_threshold(_sample(levels))
    # Opening; the body continues beyond the image.
    body = ndimage.binary_dilation(ndimage.binary_erosion(body, border_value=1))
    parts = largest_component(body) if smallest_share >= 1 else large_components(body, smallest_share)
    body = fill_holes_per_slice(parts, axis)
    if not body.any():
        return np.ones(volume.shape, dtype=np.bool_)
    return body


def cavity_level(level: NDArray[np.float32], body: Mask) -> float:
    """Find the level below which lung and gas lie: the upper foot of a narrow peak at the dark end of the histogram.

    Lung can be as bright in one image as muscle or spleen in another, so a fixed level does not work. But lung has
    hardly any signal of its own, so its voxels form a narrow peak, whereas dark tissue merges into brighter tissue.
    Without such a peak, nothing counts as a cavity.

    Parameters
    ----------
    level : (X, Y, Z) smoothed intensities, 0 to 1 for the image's robust range.
    body : (X, Y, Z) mask of the body.

    Returns
    -------
    The level, or 0 without such a peak.
    """
    histogram = np.histogram(_sample(level[body]), bins=_PEAK_BINS, range=(0, _PEAK_BELOW))[0]
    smooth = ndimage.gaussian_filter1d(histogram.astype(np.float64), 1.0)
    foot = smooth < _PEAK_FOOT * np.maximum.accumulate(smooth)
    return float(np.argmax(foot)) * _PEAK_BELOW / _PEAK_BINS


def _air_threshold(levels: NDArray[np.float32]) -> float:
    """Find the level that separates air from tissue; negative if there is no air."""
    # Adding a hundredth of the range keeps the logarithm from spreading the noise of a black background.
    logarithms = np.log(np.clip(levels, 0, 1) + 0.01)
    for _ in range(3):
        split = float(threshold_otsu(logarithms))
        if np.exp(split) - 0.01 <= _AIR_BELOW:
            return float(np.exp(split)) - 0.01
        # The threshold separates two kinds of tissue (water and suppressed fat): search below it.
        logarithms = logarithms[logarithms <= split]
        if logarithms.size < _MIN_AIR or logarithms.min() == logarithms.max():
            break
    return -1.0


def dark_cavities(level: NDArray[np.float32], body: Mask, spacing_mm: ArrayLike) -> Mask:
    """Segment lung and gas: regions inside the body that are dark, thick in every direction, and large.

    Cortical bone and vessels are dark too, but thin.

    Parameters
    ----------
    level : (X, Y, Z), 0 to 1 for the image's robust range.
    body : (X, Y, Z) mask of the body.
    spacing_mm : of the three axes.

    Returns
    -------
    (X, Y, Z) bool.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    smooth = ndimage.gaussian_filter(level, 1.0, truncate=2.0)
    limit = cavity_level(smooth, body)
    labels, count = ndimage.label(body & (smooth < limit))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * (float(np.prod(spacing)) / 1000)
    sizes[0] = 0
    core: Mask = (sizes >= CAVITY_ML)[labels]
    if not core.any():  # saves the distance transforms, which take most of the time
        return core
    core = ndimage.distance_transform_edt(core, sampling=spacing) > CAVITY_RADIUS_MM
    if not core.any():
        return core
    # Smoothing and partial volume brighten the rim, so the cavity extends to twice the level.
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= 2 * CAVITY_RADIUS_MM
    rim: Mask = body & (smooth < 2 * limit) & near
    return rim


def robust_range(volume: NDArray[Any], low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    """Compute the intensity range of an MR image by percentiles, which ignore its few brightest voxels."""
    first, last = np.percentile(_sample(volume), (low, high))
    return float(first), float(last)


def _sample(volume: NDArray[Any]) -> NDArray[Any]:
    """Sample voxels evenly, enough for a histogram. An odd stride avoids sampling only one half of an axis.

    The voxels are counted by their indices and not by their place in memory, which depends on how the file lies.
    """
    flat = volume.ravel(order="F")
    stride = max(1, flat.size // _SAMPLE)
    return flat[:: stride | 1] if stride > 1 else flat
