"""Bring an image to the network's grid and intensities as nnU-Net's preprocessor does, in less memory and time.

nnU-Net interpolates cubic splines in double precision on copies of the whole image, and resamples a mask that a prediction
does not use. Interpolation is separable: here each axis is one product with a matrix that scipy itself gives. The voxels
are nnU-Net's up to the rounding of single precision (1e-5 of the range). What is not nnU-Net's default is left to nnU-Net.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice, get_bbox_from_mask
from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape,
    determine_do_sep_z_and_axis,
    resample_data_or_seg_to_shape,
)
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.nnunet.sampling import sample_nearest

_NEGLIGIBLE = 1e-9  # weights of voxels farther away than about 16
_ROWS = 32  # of a matrix that are multiplied at once, with the part of the image that they need
_BYTES = 64 * 2**20  # of the part of an image that is copied at once

Volume = NDArray[np.float32]


def prepare(
    data: Volume, properties: Mapping[str, Any], plans: Any, configuration: Any, dataset_json: Mapping[str, Any]
) -> tuple[Volume, dict[str, Any]]:
    """Prepare an image for the network as nnU-Net's ``run_case_npy`` does without a segmentation.

    Parameters
    ----------
    data : (C, Z, Y, X); it is changed in place.
    properties : the spacing in mm.

    Returns
    -------
    prepared : (C, ...) on the network's grid.
    properties : with what the export needs to know of the crop.
    """
    noted = dict(properties)
    preprocessor = configuration.preprocessor_class(verbose=False)
    if type(preprocessor) is not DefaultPreprocessor or not _is_default(configuration.resampling_fn_data):
        prepared, _, noted = preprocessor.run_case_npy(data, None, noted, plans, configuration, dataset_json)
        return prepared, noted
    data = data.transpose([0, *[axis + 1 for axis in plans.transpose_forward]])
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    noted["shape_before_cropping"] = data.shape[1:]
    mask: Any = [None]  # which voxels intensities are measured on
    if any(configuration.use_mask_for_norm):
        data, mask, box = crop_to_nonzero(data)
    else:  # to fill holes takes longest of all, and does not change the box
        box = get_bbox_from_mask((data != 0).any(0))
        data = data[(slice(None), *bounding_box_to_slice(box))]
    noted["bbox_used_for_cropping"] = box
    noted["shape_after_cropping_and_before_resampling"] = data.shape[1:]
    target = list(configuration.spacing)
    if len(target) < 3:  # a network for single slices
        target = [spacing[0], *target]
    new_shape = tuple(int(count) for count in compute_new_shape(data.shape[1:], spacing, target))
    data = preprocessor._normalize(data, mask, configuration, plans.foreground_intensity_properties_per_channel)
    if data.shape[1:] == new_shape:
        return np.ascontiguousarray(data), noted
    options = {"order": 3} | configuration.resampling_fn_data.keywords
    separate, axis = determine_do_sep_z_and_axis(
        options.get("force_separate_z", False),
        spacing,
        target,
        **{name: options[name] for name in ("separate_z_anisotropy_threshold",) if name in options},
    )
    nearest = int(axis) if separate and axis is not None else None
    return np.stack([resample(channel, new_shape, options["order"], nearest) for channel in data]), noted


def _is_default(resampling: Any) -> bool:
    if not isinstance(resampling, partial) or resampling.func is not resample_data_or_seg_to_shape or resampling.args:
        return False
    stated = {"is_seg": False, "order": 3, "order_z": 0} | resampling.keywords
    return not stated["is_seg"] and stated["order"] in (1, 2, 3) and stated["order_z"] == 0


def resample(image: Volume, new_shape: tuple[int, ...], order: int, nearest_axis: int | None) -> Volume:
    """Interpolate an image (X, Y, Z) by splines of an order, with ``nearest_axis`` by its nearest slices.

    As ``skimage.transform.resize``, with the mode ``edge``, values are limited to the range of the image, or of each slice
    where slices are interpolated one by one.
    """
    if nearest_axis is not None:
        slices = sample_nearest(image.shape[nearest_axis], new_shape[nearest_axis]).low
        image = image.take(slices, nearest_axis)
    axes = tuple(axis for axis in range(3) if axis != nearest_axis)
    whole = axes if nearest_axis is not None else None
    low, high = image.min(axis=whole, keepdims=True), image.max(axis=whole, keepdims=True)
    for axis in sorted(axes, key=lambda axis: new_shape[axis] / image.shape[axis]):
        if image.shape[axis] != new_shape[axis]:
            image = _along(image, _spline_matrix(image.shape[axis], new_shape[axis], order), axis)
    return np.clip(image, low, high, out=image if image.flags.owndata else None)


@lru_cache(maxsize=32)
def _spline_matrix(count: int, new_count: int, order: int) -> NDArray[np.float32]:
    """Return the (new_count, count) weights of the old voxels of an axis in the new ones, as scipy computes them."""
    matrix = np.empty((new_count, count))
    unit = np.zeros(count)
    for number in range(count):
        unit[number] = 1
        matrix[:, number] = ndimage.zoom(unit, new_count / count, order=order, mode="nearest", grid_mode=True)
        unit[number] = 0
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0
    return matrix.astype(np.float32)


def _along(image: Volume, matrix: NDArray[np.float32], axis: int) -> Volume:
    """Multiply the axis of an image by a matrix, of which each part needs a part of the image only."""
    shape = list(image.shape)
    shape[axis] = len(matrix)
    result = np.empty(shape, np.float32)
    other = 1 if axis == 0 else 0
    step = max(1, _BYTES // max(1, image.nbytes // image.shape[other]))
    for start in range(0, len(matrix), _ROWS):
        rows = matrix[start : start + _ROWS]
        used = np.flatnonzero(rows.any(0))
        inputs, outputs = slice(used[0], used[-1] + 1), slice(start, start + _ROWS)
        weights = rows[:, inputs]
        for first in range(0, image.shape[other], step):
            some = slice(first, first + step)
            if axis == 0:
                part = np.ascontiguousarray(image[inputs, some])
                flat = weights @ part.reshape(len(part), -1)
                result[outputs, some] = flat.reshape(len(weights), *part.shape[1:])
            elif axis == 1:
                result[some, outputs] = np.matmul(weights, image[some, inputs])
            else:
                result[some, :, outputs] = np.matmul(image[some, :, inputs], weights.T)
    return result
