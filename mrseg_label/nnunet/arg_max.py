"""The class with the largest logit at every voxel of a finer or coarser grid, without the logits on that grid.

Logits are interpolated block by block, and in a block only the classes that can win there. Interpolated logits are
weighted means of those at the corners of a cell. Let m classes win at corners of a block. Those of a cell share its weights,
so one of them has a weight of at least 1/m at corners where it wins, and there loses nothing against the best; so at every
point some class loses at most B = (1 - 1/m) of the most that a winner loses at a corner beside its own. A class that
loses more than B at every corner cannot win in between, and where one class is left, nothing is interpolated. The
result is that of interpolating all classes everywhere. Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from mrseg_label.nnunet.sampling import AxisSampling

_BLOCK_ON_CPU = (32, 32, 128)  # outputs; all that is made of a block should fit in the cache of a core
_VALUES_ON_GPU = 100_000_000
_MAX_CORNERS = 8
_MAX_WINNERS = 12

Block = tuple[slice, slice, slice]


def arg_max(
    logits: torch.Tensor, axes: Sequence[AxisSampling], target: NDArray[np.uint8 | np.uint16], device: torch.device,
    threads: int = 1,
) -> None:  # fmt: skip
    """Write the number of the class with the largest interpolated logit into ``target``; of equal ones the first.

    Parameters
    ----------
    logits : (C, X, Y, Z) half or single precision, finite, on the CPU. Interpolated values are rounded to its precision
        before they are compared, as nnU-Net does.
    axes : sampling of the three axes.
    target : (X', Y', Z'); may be a view.
    device : where to interpolate; blocks are copied there one by one.
    threads : number of blocks at a time on the CPU.
    """
    if device.type == "cpu":
        blocks = list(_blocks(target.shape, _BLOCK_ON_CPU))
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # the parts of a block are too small to share
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for _ in pool.map(lambda block: _fill(logits, axes, target, block, device), blocks):
                    pass
        finally:
            torch.set_num_threads(before)
        return
    for block in _blocks(target.shape, _size_on_gpu(logits, axes, target.shape)):
        _fill(logits, axes, target, block, device)


def _blocks(shape: Sequence[int], size: Sequence[int]) -> Iterator[Block]:
    for x, y, z in product(*(range(0, count, step) for count, step in zip(shape, size, strict=True))):
        yield slice(x, x + size[0]), slice(y, y + size[1]), slice(z, z + size[2])


def _size_on_gpu(logits: torch.Tensor, axes: Sequence[AxisSampling], shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the size of slabs, of which neither the input nor the output takes more than a share of the memory."""
    _, nx, ny, nz = logits.shape
    plane = len(logits) * max(shape[1] * shape[2], ny * nz, shape[1] * nz)
    rows = max(1, min(_VALUES_ON_GPU // plane, int(_VALUES_ON_GPU / plane * len(axes[0]) / nx)))
    return rows, shape[1], shape[2]


@torch.inference_mode()
def _fill(
    logits: torch.Tensor, axes: Sequence[AxisSampling], target: NDArray[np.uint8 | np.uint16], block: Block,
    device: torch.device,
) -> None:  # fmt: skip
    """Write one block of the result."""
    part = target[block]
    inputs, samplings = zip(
        *(axis.part(at.start, at.start + size) for axis, at, size in zip(axes, block, part.shape, strict=True)),
        strict=True,
    )
    values = logits[(slice(None), *inputs)].to(device).float()
    classes = np.arange(len(values))
    if device.type == "cpu" and not all(sampling.is_identity for sampling in samplings):
        candidates = _candidates(values, torch.finfo(logits.dtype).eps)
        classes = candidates.numpy()
        if len(classes) == 1:
            part[...] = classes[0]
            return
        if len(classes) < len(values):
            values = values.index_select(0, candidates)
    table = classes[::-1].astype(part.dtype)
    values = _interpolate(_interpolate(values, 3, samplings[2]), 2, samplings[1])
    if device.type != "cpu":
        part[...] = table[_followers_of_best(_interpolate(values, 1, samplings[0]), logits.dtype)]
        return
    # Plane by plane, so that all classes of a plane stay in the cache.
    scores = torch.empty_like(values[:, 0])
    for row, (low, high, weight) in enumerate(zip(*(array.tolist() for array in samplings[0].arrays), strict=True)):
        torch.lerp(values[:, low], values[:, high], weight, out=scores)
        part[row] = table[_followers_of_best(scores, logits.dtype)]


def _candidates(values: torch.Tensor, precision: float) -> torch.Tensor:
    """Return the classes that can win between the corners of a block (C, X, Y, Z), in ascending order."""
    best = values.amax(0)
    loss = best - values
    least = loss.flatten(1).amin(1)
    winners = (least == 0).nonzero()[:, 0]
    if len(winners) > _MAX_WINNERS:
        return torch.arange(len(values))
    tolerance = 4 * precision * float(values.abs().max())  # of rounding to the precision of the logits
    bound = 0.0
    if len(winners) > 1:
        of_winners = loss.index_select(0, winners)
        beside = _dilate(of_winners == 0)
        bound = (1 - 1 / min(len(winners), _MAX_CORNERS)) * float((of_winners * beside).max())
    return (least <= bound + tolerance).nonzero()[:, 0]


def _dilate(mask: torch.Tensor) -> torch.Tensor:
    """Add the 26 neighbours of every voxel to masks (C, X, Y, Z)."""
    for dim in (1, 2, 3):
        wider = mask.clone()
        count = mask.shape[dim] - 1
        wider.narrow(dim, 0, count).logical_or_(mask.narrow(dim, 1, count))
        wider.narrow(dim, 1, count).logical_or_(mask.narrow(dim, 0, count))
        mask = wider
    return mask


def _interpolate(values: torch.Tensor, dim: int, sampling: AxisSampling) -> torch.Tensor:
    if sampling.is_identity and len(sampling) == values.shape[dim]:
        return values
    if dim == 3 and values.device.type == "cpu":  # to gather single values is slower than to multiply
        matrix = np.zeros((values.shape[dim], len(sampling)), np.float32)
        columns = np.arange(len(sampling))
        matrix[sampling.low, columns] = 1 - sampling.weight
        matrix[sampling.high, columns] += sampling.weight
        return values @ torch.from_numpy(matrix)
    low = values.index_select(dim, torch.from_numpy(sampling.low).to(values.device))
    if not sampling.weight.any():
        return low
    high = values.index_select(dim, torch.from_numpy(sampling.high).to(values.device))
    shape = [1] * values.ndim
    shape[dim] = -1
    weight = torch.from_numpy(sampling.weight).to(values.device, values.dtype).reshape(shape)
    return torch.lerp(low, high, weight)


def _followers_of_best(scores: torch.Tensor, dtype: torch.dtype) -> NDArray[np.uint8 | np.int16]:
    """Return, for each voxel, how many classes follow the first of those with the largest score in a precision."""
    # Maxima along the first axis are many times faster than torch.argmax and give the first of equal classes.
    count = len(scores)
    kind = torch.uint8 if count <= 256 else torch.int16
    following = torch.arange(count - 1, -1, -1, dtype=kind, device=scores.device).reshape(-1, *[1] * (scores.ndim - 1))
    if dtype == torch.float16:
        scores = scores.half().float()
    best = scores.amax(0)
    if scores.device.type == "cpu":  # NumPy compares several times faster than torch
        is_best = torch.from_numpy(np.equal(scores.numpy(), best.numpy()))
    else:
        is_best = scores == best
    is_best = is_best.view(torch.uint8) if kind == torch.uint8 else is_best.to(kind)
    found: NDArray[np.uint8 | np.int16] = (is_best * following).amax(0).cpu().numpy()
    return found
