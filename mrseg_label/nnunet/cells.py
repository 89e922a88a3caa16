"""The class with the largest interpolated logit where it takes no interpolation of most classes, or of none.

An interpolated logit is a weighted mean of those at the corners of a cell. Call loss what a class is below the best at a
corner. Where one class is best at all corners, it is best everywhere between them. Elsewhere, let a and b win at corners
of a cell, and lose at most A and B at any of its corners. Then at every point one of them loses at most min(A, B), and at most
A * B / (A + B) if nobody else wins at a corner, since the weights of their corners add up to 1. A class that loses more
at every corner of the cell cannot win in it. Only the others are interpolated, and only in such cells; so the result is
that of interpolating all classes everywhere. Imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mrseg_label.nnunet.sampling import AxisSampling

MAX_CLASSES = 255
_UNDECIDED = 255
_MOSTLY_OPEN = 0.9
_VOXELS = 16_384  # interpolated at once, so that they stay in the cache
# Seconds, relative to each other: to interpolate one class at one voxel that is picked out, and where all are interpolated.
_COST_PICKED, _COST_DENSE = 25.0, 2.0


def fill_cells(
    values: torch.Tensor, samplings: Sequence[AxisSampling], dtype: torch.dtype, target: NDArray[np.uint8 | np.uint16]
) -> bool:
    """Write the class with the largest interpolated logit into ``target``, unless it costs less to interpolate all.

    Parameters
    ----------
    values : (C, X, Y, Z) float32, contiguous, at most 255 classes.
    samplings : of the three axes.
    dtype : precision of the logits, to which interpolated values are rounded before they are compared.
    target : (X', Y', Z').

    Returns
    -------
    Whether ``target`` was written.
    """
    interpolated = [bool(sampling.weight.any()) for sampling in samplings]
    best = values.amax(0)
    tolerance = 4 * torch.finfo(dtype).eps * float(best.abs().max())  # of two roundings
    winner = _sole_winner(values, best, tolerance)
    lowest, highest = (_over_corners(winner, interpolated, extreme) for extreme in (np.minimum, np.maximum))
    decided = np.where((lowest == highest) & (highest != _UNDECIDED), winner, np.uint8(_UNDECIDED))
    for axis, sampling in enumerate(samplings):
        decided = decided.take(sampling.low, axis)
    target[...] = decided
    open_voxels = np.flatnonzero(decided == _UNDECIDED)
    if len(open_voxels) == 0:
        return True
    if len(open_voxels) > _MOSTLY_OPEN * decided.size:  # then most classes win somewhere
        return False
    at = [
        sampling.low[index]
        for sampling, index in zip(samplings, np.unravel_index(open_voxels, decided.shape), strict=True)
    ]
    cell_of_voxel = np.ravel_multi_index(at, best.shape)
    is_open = np.zeros(best.numel(), bool)
    is_open[cell_of_voxel] = True
    cells = np.flatnonzero(is_open)
    classes, first, count = _candidates(values, best, cells, (lowest, highest), interpolated, tolerance)
    number = np.zeros(best.numel(), np.int32)
    number[cells] = np.arange(len(cells), dtype=np.int32)
    cell_of_voxel = number[cell_of_voxel]
    if float(count[cell_of_voxel].sum()) * _COST_PICKED > decided.size * len(values) * _COST_DENSE:
        return False
    found = np.empty(len(open_voxels), np.uint8)
    for start in range(0, len(open_voxels), _VOXELS):
        some = slice(start, start + _VOXELS)
        of_cell = cell_of_voxel[some]
        found[some] = _best_candidates(
            values, samplings, dtype, np.unravel_index(open_voxels[some], decided.shape),
            (classes, first[of_cell], count[of_cell]),
        )  # fmt: skip
    decided.flat[open_voxels] = found
    target[...] = decided
    return True


def _sole_winner(values: torch.Tensor, best: torch.Tensor, tolerance: float) -> NDArray[np.uint8]:
    """Return the best class of each voxel; 255 where another is so close that rounding may make both equal."""
    near = torch.from_numpy(np.greater_equal(values.numpy(), (best - tolerance).numpy())).view(torch.uint8)
    numbers = torch.arange(len(values), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    winner = (near * numbers).amax(0)
    winner[near.sum(0, dtype=torch.uint8) != 1] = _UNDECIDED
    found: NDArray[np.uint8] = winner.numpy()
    return found


def _over_corners(
    array: NDArray[Any], interpolated: Sequence[bool], extreme: Any, buffers: Sequence[NDArray[Any]] | None = None
) -> NDArray[Any]:
    """Take the minimum or maximum over the corners of the cell that begins at each voxel; cells of the edge are flat.

    Results go into ``buffers``, two arrays of the shape, if they are given.
    """
    for axis, wanted in enumerate(interpolated):
        if wanted and array.shape[axis] > 1:
            before: tuple[Any, ...] = (slice(None),) * axis
            result = np.empty_like(array) if buffers is None else buffers[axis % 2]
            extreme(
                array[(*before, slice(None, -1))],
                array[(*before, slice(1, None))],
                out=result[(*before, slice(None, -1))],
            )
            result[(*before, -1)] = array[(*before, -1)]
            array = result
    return array


def _candidates(
    values: torch.Tensor, best: torch.Tensor, cells: NDArray[np.int64], winners: tuple[Any, Any],
    interpolated: Sequence[bool], tolerance: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Return, for each of some cells, the classes that can win in it, in ascending order.

    Returns
    -------
    classes : of all cells one after another.
    first, count : where those of a cell begin, and how many they are.
    """
    bound = _largest_loss(values, best, cells, winners, interpolated) + np.float32(2 * tolerance)
    can_win = np.empty((len(cells), len(values)), bool)
    # Class by class, so that all of this stays in the cache.
    loss, *buffers = (np.empty(best.shape, np.float32) for _ in range(3))
    for number, of_class in enumerate(values.numpy()):
        np.subtract(best.numpy(), of_class, out=loss)
        least = _over_corners(loss, interpolated, np.minimum, buffers)
        np.less_equal(least.ravel().take(cells), bound, out=can_win[:, number])
    count = can_win.sum(1)
    return np.nonzero(can_win)[1], np.cumsum(count) - count, count


def _largest_loss(
    values: torch.Tensor,
    best: torch.Tensor,
    cells: NDArray[np.int64],
    winners: tuple[Any, Any],
    interpolated: Sequence[bool],
) -> NDArray[np.float32]:
    """Return, for each of some cells, how much the class that wins at a point of it can lose there against the best."""
    flat, heights, size = values.numpy().ravel(), best.numpy().ravel(), best.numel()
    numbers = [winner.ravel()[cells].astype(np.int64) for winner in winners]
    # A corner without a sole winner counts as one of a third class; then the other winner alone limits the loss.
    unknown = [number == _UNDECIDED for number in numbers]
    bases = [np.where(missing, 0, number) * size for missing, number in zip(unknown, numbers, strict=True)]
    lost = [np.zeros(len(cells), np.float32) for _ in winners]
    two_win = ~(unknown[0] | unknown[1])
    for corner in _corners(cells, best.shape, interpolated):
        height = heights.take(corner)
        one, other = (height - flat.take(base + corner) for base in bases)
        np.maximum(lost[0], one, out=lost[0])
        np.maximum(lost[1], other, out=lost[1])
        two_win &= np.minimum(one, other) == 0
    for missing, most in zip(unknown, lost, strict=True):
        most[missing] = np.inf
    with np.errstate(invalid="ignore", divide="ignore"):
        share = lost[0] * lost[1] / (lost[0] + lost[1])
    bound: NDArray[np.float32] = np.where(two_win, share, np.minimum(*lost))
    return bound


def _corners(cells: NDArray[np.int64], shape: Sequence[int], interpolated: Sequence[bool]) -> list[NDArray[np.int64]]:
    """Return the flat indices of the corners of cells; those beyond the edge are the last voxel."""
    index = np.unravel_index(cells, shape)
    steps = [(0, 1) if wanted and count > 1 else (0,) for wanted, count in zip(interpolated, shape, strict=True)]
    return [
        np.ravel_multi_index(
            [np.minimum(i + step, n - 1) for i, step, n in zip(index, offset, shape, strict=True)], shape
        )
        for offset in product(*steps)
    ]


def _best_candidates(
    values: torch.Tensor, samplings: Sequence[AxisSampling], dtype: torch.dtype, voxels: Sequence[NDArray[np.int64]],
    candidates: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.uint8]:  # fmt: skip
    """Interpolate the candidates at voxels of the output, and return the best of each voxel."""
    classes, first, count = candidates
    begin = np.cumsum(count) - count  # of each voxel among all pairs of a voxel and a candidate
    pairs = np.repeat(np.arange(len(count)), count)
    number = classes[np.arange(len(pairs)) + (first - begin)[pairs]]
    shape = values.shape[1:]
    base = np.zeros(len(count), np.int64)
    steps, weights = [], []
    for sampling, index, stride in zip(samplings, voxels, (shape[1] * shape[2], shape[2], 1), strict=True):
        base += sampling.low[index] * stride
        if sampling.weight.any():
            steps.append(((sampling.high - sampling.low)[index] * stride)[pairs])
            weights.append(sampling.weight.astype(np.float32)[index][pairs])
    score = _interpolate(values.numpy().ravel(), base[pairs] + number * int(np.prod(shape)), steps, weights)
    if dtype == torch.float16:
        score = torch.from_numpy(score).half().float().numpy()
    is_best = score == np.maximum.reduceat(score, begin)[pairs]
    found: NDArray[np.uint8] = np.minimum.reduceat(np.where(is_best, number, _UNDECIDED).astype(np.uint8), begin)
    return found


def _interpolate(
    flat: NDArray[np.float32], base: NDArray[np.int64], steps: Sequence[NDArray[np.int64]],
    weights: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:  # fmt: skip
    """Interpolate along one axis after another, the last first."""
    if not steps:
        return flat.take(base)
    low = _interpolate(flat, base, steps[1:], weights[1:])
    high = _interpolate(flat, base + steps[0], steps[1:], weights[1:])
    high -= low
    high *= weights[0]
    high += low
    return high
