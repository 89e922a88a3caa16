"""The class with the largest logit at every voxel of a finer or coarser grid, without the logits on that grid.

Logits are interpolated block by block; on the CPU only where and of which classes it is needed (:mod:`mrseg_label.nnunet.cells`).
The result is that of interpolating all classes everywhere. Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from mrseg_label.nnunet.cells import MAX_CLASSES, fill_cells
from mrseg_label.nnunet.sampling import AxisSampling

_CELLS_ON_CPU = (16, 16, 160)  # of the input in a block; all classes of them should fit in the cache
_VALUES_ON_CPU = 400_000  # interpolated at once
_VALUES_ON_GPU = 100_000_000

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
        size = [
            max(1, round(cells * len(axis) / count))
            for cells, axis, count in zip(_CELLS_ON_CPU, axes, logits.shape[1:], strict=True)
        ]
        blocks = list(_blocks(target.shape, size))
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
    values = logits[(slice(None), *inputs)].to(device).float().contiguous()
    if device.type == "cpu" and len(values) <= MAX_CLASSES and fill_cells(values, samplings, logits.dtype, part):
        return
    table = np.arange(len(values) - 1, -1, -1, dtype=part.dtype)
    if device.type != "cpu":
        for axis in (2, 1, 0):
            values = _interpolate(values, axis + 1, samplings[axis])
        part[...] = table[_followers_of_best(values, logits.dtype)]
        return
    # Plane by plane and few rows at once, so that all classes stay in the cache.
    rows = max(1, _VALUES_ON_CPU // (len(values) * part.shape[2]))
    planes = list(zip(*(array.tolist() for array in samplings[0].arrays), strict=True))
    for start in range(0, part.shape[1], rows):
        span, sampling = samplings[1].part(start, start + rows)
        strip = _interpolate(_interpolate(values[:, :, span], 3, samplings[2]), 2, sampling)
        scores = torch.empty_like(strip[:, 0])
        for row, (low, high, weight) in enumerate(planes):
            torch.lerp(strip[:, low], strip[:, high], weight, out=scores)
            part[row, start : start + rows] = table[_followers_of_best(scores, logits.dtype)]


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
