"""Compute the Dice similarity coefficient of every structure from one joint histogram."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.labels import LabelScheme

LabelMap = NDArray[np.integer[Any]]
_AT_ONCE = 1 << 18  # voxels whose pairs of labels fit into the processor's cache


def check_pair(reference: LabelMap, prediction: LabelMap) -> None:
    """Check that two label maps can be compared voxel by voxel.

    Raises
    ------
    GeometryError
        Their shapes differ.
    InvalidInput
        One of them is not an array of integers.
    """
    if reference.shape != prediction.shape:
        raise GeometryError(
            f"the reference has {reference.shape} voxels and the prediction {prediction.shape}; resample one of them first"
        )
    for array, what in ((reference, "reference"), (prediction, "prediction")):
        if not np.issubdtype(array.dtype, np.integer):
            raise InvalidInput(f"the {what} holds {array.dtype} values; label ids are whole numbers")


def check_labels(reference: LabelMap, prediction: LabelMap, structures: int) -> None:
    """Check that two label maps have no other labels than 0 (background) to ``structures``.

    Raises
    ------
    InvalidInput
        A label is negative or larger than ``structures``.
    """
    for array, what in ((reference, "reference"), (prediction, "prediction")):
        if array.size and not 0 <= int(array.min()) <= int(array.max()) <= structures:
            raise InvalidInput(
                f"the {what} holds label ids {array.min()} to {array.max()}; the scheme has 0 to {structures}"
            )


def joint_histogram(reference: LabelMap, prediction: LabelMap, structures: int) -> NDArray[np.int64]:
    """Count the voxels of every pair of labels.

    Parameters
    ----------
    reference, prediction : label maps of one grid, ids 0 (background) to ``structures``.
    structures : number of structures of the scheme.

    Returns
    -------
    (structures + 1, structures + 1) int64; rows are the reference's labels, columns the prediction's.

    Raises
    ------
    GeometryError
        The shapes differ.
    InvalidInput
        A label is negative or larger than ``structures``.
    """
    check_pair(reference, prediction)
    check_labels(reference, prediction, structures)
    classes = structures + 1
    # Both arrays in the memory order of the reference: a Fortran-ordered pair is read without a copy.
    order: Literal["F", "C"] = "F" if reference.flags.f_contiguous else "C"
    flat = reference.ravel(order), prediction.ravel(order)
    counts = np.zeros(classes * classes, dtype=np.int64)
    for start in range(0, reference.size, _AT_ONCE):
        pairs = flat[0][start : start + _AT_ONCE].astype(np.intp)
        pairs *= classes
        pairs += flat[1][start : start + _AT_ONCE].astype(np.intp, copy=False)
        counts += np.bincount(pairs, minlength=classes * classes)
    return counts.reshape(classes, classes)


def dice_from_histogram(histogram: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the DSC of structures 1 to N from a joint histogram; NaN where a structure is in neither map.

    References
    ----------
    Dice LR. Measures of the amount of ecologic association between species. Ecology 1945;26:297-302.
    https://doi.org/10.2307/1932409
    """
    both = np.diagonal(histogram)[1:].astype(np.float64)
    total = (histogram.sum(axis=0) + histogram.sum(axis=1))[1:].astype(np.float64)
    return np.divide(2 * both, total, out=np.full(both.shape, np.nan), where=total > 0)


def dice(reference: LabelMap, prediction: LabelMap, structures: int) -> NDArray[np.float64]:
    """Compute the DSC of structures 1 to N: (N,) float64, 0 to 1, NaN where a structure is in neither map."""
    return dice_from_histogram(joint_histogram(reference, prediction, structures))


def per_structure(scheme: LabelScheme, values: NDArray[np.float64]) -> dict[str, float | None]:
    """Name the values of structures 1 to N, in the order of the ids; NaN becomes None (JSON has no NaN)."""
    if values.shape != (len(scheme),):
        raise InvalidInput(f"there are {values.shape[0]} values for a scheme of {len(scheme)} structures")
    return {s.name: None if math.isnan(v) else float(v) for s, v in zip(scheme, values.tolist(), strict=True)}
