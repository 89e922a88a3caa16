"""Tell label maps from images, so that no mask is stored as an image: by the name and the voxels together.

A name alone proves nothing (``masked_T1``), and few values alone do not either (a phantom). Only where the voxels
can be nothing but a label map is the name not asked.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(
    "mask(?:s|e|en)?|msk|segs?|segm|segment(?:s|ations?|ierung|ierungen)?|[ad]seg|aparc|parcellation|labels?|labelmaps?|lbl"
    "|annotations?|annots?|anno|rois?|contours?|delineations?|gt|groundtruth|predictions?|preds?"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")  # labelsTr, T1Mask
_LETTERS = re.compile(r"[^\W\d_]+")
_MAX_LABELS = 256
# As many grey values as this have only images that mean something else by them, if the name speaks of a mask.
_FEW = 32
_MAX_CLEAR_LABELS = 128
_FEW_LABELS = 16
_MIN_PAIRS = 30
_OFFSET = 1 << 15


def mask_word(path: PurePath) -> str | None:
    """The word in the name of a file or of its folder that speaks of a mask, if there is one."""
    for part in reversed(path.parts[-2:]):
        words: list[str] = [word.casefold() for word in _LETTERS.findall(_CAMEL.sub(" ", part))]
        words += [first + second for first, second in pairwise(words)]
        for word in words:
            if _WORD.fullmatch(word):
                return word
    return None


def label_map_reason(array: NDArray[Any], path: PurePath) -> str | None:
    """Say why a file is a label map; None where it is an image.

    Parameters
    ----------
    array : (X, Y, Z) as :func:`mrseg_label.imaging.load_image` returns it: int16 where all values are whole.
    path : name of the file, with the folder that it lies in.
    """
    if array.dtype != np.int16:
        if _share_of_ends(array) > 0.5 and (word := mask_word(path)):
            return f"holds values from 0 to 1, most of them 0 or 1, and is named as a mask ('{word}')"
        return None
    values = distinct_values(array, _MAX_LABELS)
    if values is None or (values[0] < 0 and len(values) > 2):
        return None
    listed = ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
    text = f"holds {len(values)} different whole numbers ({listed})"
    word = mask_word(path)
    dense = values[0] == 0 and len(values) <= _MAX_CLEAR_LABELS and values[-1] <= 4 * len(values)
    if word and (len(values) <= _FEW or dense or _uniformity(array) > 0.5):
        return f"{text} and is named as a mask ('{word}')"
    small = values[0] == 0 and len(values) <= _FEW_LABELS and values[-1] < _MAX_LABELS
    if len(values) == 2 or ((dense or small) and _uniformity(array) > 0.5):
        return f"{text}, as a label map does"
    return None


def distinct_values(array: NDArray[np.int16], most: int) -> list[int] | None:
    """The different values of an array (X, Y, Z) of int16 in order, or None where there are more than ``most``."""
    seen = np.zeros(1 << 16, dtype=np.bool_)
    for k in range(array.shape[2]):
        seen[array[:, :, k].astype(np.int32) + _OFFSET] = True
        if int(seen.sum()) > most:
            return None
    return [int(value) for value in np.flatnonzero(seen) - _OFFSET]


def _uniformity(array: NDArray[np.int16]) -> float:
    """The share of neighbours, both not 0, that have equal values, along the axis where it is smallest; 0 for few pairs.

    In a label map it is nearly 1; in an image noise leaves little of it, and in a ramp nothing is left along one axis.
    """
    shares = []
    for axis in range(3):
        first, second = np.moveaxis(array, axis, 0)[:-1], np.moveaxis(array, axis, 0)[1:]
        pairs = (first != 0) & (second != 0)
        count = int(pairs.sum())
        if count < _MIN_PAIRS:
            return 0.0
        shares.append(int((pairs & (first == second)).sum()) / count)
    return min(shares)


def _share_of_ends(array: NDArray[Any]) -> float:
    """The share of voxels that are exactly 0 or 1; 0 where any lies outside that range (interpolated masks)."""
    if array.min() < 0 or array.max() > 1:
        return 0.0
    return float(np.isin(array, (0, 1)).mean())
