"""Normalisation by modality, for networks that are trained on CT and MR together.

MR has no scale, and nnU-Net subtracts each image's mean and divides by its standard deviation. The values of CT have a
meaning, and those outside the tissues (metal, or the -3,024 HU of some scanners' corners) would shift that mean, so CT is
limited to a window first. nnU-Net itself normalises a data set by one rule, whatever its images are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CT = "ct"  # name of the sequence of CT images in the catalogue
CT_WINDOW_HU = (-1000, 1000)  # air to dense bone
WINDOW_KEY = "mrseg_ct_window_hu"  # in dataset.json, of models whose training saw CT in this window


def limit_ct(array: NDArray[Any], window: tuple[float, float] = CT_WINDOW_HU) -> NDArray[Any]:
    """Limit the values of a CT image to a window, HU; the same array if none lies outside."""
    low, high = window
    if array.min() >= low and array.max() <= high:
        return array
    return np.clip(array, low, high).astype(array.dtype)


def window_of(dataset_json: dict[str, Any]) -> tuple[float, float] | None:
    """Return the window that a model's CT images were limited to in training; None if they were not."""
    window = dataset_json.get(WINDOW_KEY)
    return None if window is None else (float(window[0]), float(window[1]))
