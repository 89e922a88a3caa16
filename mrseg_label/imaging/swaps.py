"""Detect fat-water swaps in Dixon images: fat and water exchanged in a whole station, in one half of it, or in a slab.

Subcutaneous fat forms the rim of the body; inside it are muscle and organs, which are mostly water. If the "water"
image is bright along the rim and the "fat" image inside it, the two are exchanged. This is checked for the whole image
and for both halves along each axis. Besides, what is fat in one plane is mostly fat in the next: where it is water instead, and
water is fat, an exchanged part begins or ends.

References
----------
Ma J. Dixon techniques for water and fat imaging. J Magn Reson Imaging 2008;28:543.
https://doi.org/10.1002/jmri.21492
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient

_GRID_MM, _BETWEEN_PLANES_MM = 4.0, 12.0  # fine enough for the rim, coarse enough to cost nothing
_RIM_MM, _CORE_MM = 12.0, 28.0
_BODY = 0.15  # of the bright end of fat + water
_FEWEST = 300  # voxels of rim and of core needed for a decision
_FAT_BELOW, _CONTRAST = 0.4, 0.15
_FEWEST_OF_PLANE = 100  # voxels that two neighbouring planes share, and their share of the largest plane:
_SHARE_OF_PLANE = 0.4  # at the front a plane of the rim, which is fat, lies before one of organs
_TURNED = -0.25  # correlation of fat between neighbouring planes; in images without a swap it is positive
_HALF = (0.35, 0.65)  # of the body, for a part to be called half
_ALONG = {
    "R": "left to right",
    "L": "left to right",
    "A": "back to front",
    "P": "back to front",
    "S": "foot to head",
    "I": "foot to head",
}
_HALVES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "upper", "I": "lower"}
_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


def swapped_parts(fat: NDArray[Any], water: NDArray[Any], geometry: Geometry) -> list[str]:
    """Find the part of the body in which fat and water look exchanged.

    Parameters
    ----------
    fat, water : (X, Y, Z) on the grid of ``geometry``.

    Returns
    -------
    ``["whole image"]``, a half such as ``["left half"]``, another part such as ``["upper part"]`` or ``["slab across foot to
    head"]``, or an empty list.
    """
    # In one orientation, since which voxels are sampled depends on where the axes begin.
    fat, water, geometry = reorient(fat, geometry)[0], *reorient(water, geometry)
    axial = _axial(geometry)
    grid = [_BETWEEN_PLANES_MM if axis == axial else _GRID_MM for axis in range(3)]
    steps = [max(1, round(target / spacing)) for target, spacing in zip(grid, geometry.spacing_mm, strict=True)]
    thin = tuple(slice(None, None, step) for step in steps)
    f, w = (np.clip(np.asarray(image[thin], dtype=np.float32), 0, None) for image in (fat, water))
    spacing = [value * step for value, step in zip(geometry.spacing_mm, steps, strict=True)]
    total = f + w
    bright = float(np.percentile(total, 99))
    if bright <= 0 or min(total.shape) < 2:
        return []
    lit = total > _BODY * bright
    body = _opened(lit, axial)
    depth = _depth(body, spacing, axial)
    fraction = np.divide(f, total, out=np.zeros_like(f), where=total > 0)
    rim, core = (depth > 0) & (depth <= _RIM_MM) & lit, (depth > _CORE_MM) & lit
    everywhere = np.ones(body.shape, dtype=bool)
    if slab := _slab(fraction, lit & body, (rim, core), geometry.axcodes):
        return [slab]
    if _exchanged(fraction, rim, core, everywhere) is None:
        return []
    halves = []
    for axis, code in enumerate(geometry.axcodes):
        middle = _middle(body, axis)
        index = np.arange(body.shape[axis]).reshape([-1 if n == axis else 1 for n in range(3)])
        parts = [(_OPPOSITE[code], index < middle), (code, index >= middle)]
        verdicts = {side: _exchanged(fraction, rim, core, np.broadcast_to(part, body.shape)) for side, part in parts}
        halves += [(side, verdicts) for side, verdict in verdicts.items() if verdict]
    bad = {side for side, _ in halves}
    if any({side, _OPPOSITE[side]} <= bad for side in bad):
        return ["whole image"]
    # A half counts if its counterpart is clearly not exchanged; the first axis for which this holds is reported.
    clear = [side for side, verdicts in halves if verdicts[_OPPOSITE[side]] is False]
    if clear:
        return [f"{_HALVES[side]} half" for side in clear[:1]]
    return ["whole image"] if _exchanged(fraction, rim, core, everywhere) else []


def _slab(
    fraction: NDArray[np.float32],
    body: NDArray[np.bool_],
    places: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    axcodes: str,
) -> str:
    """Name the part between planes at which fat turns into water and water into fat; empty where there are no such planes."""
    for axis, code in enumerate(axcodes):
        contrast = np.moveaxis(2 * fraction - 1, axis, 0)
        lit = np.moveaxis(body, axis, 0)
        shared = [lit[k] & lit[k + 1] for k in range(len(lit) - 1)]
        counts = np.array([np.count_nonzero(one) for one in shared])
        enough = counts >= max(_FEWEST_OF_PLANE, _SHARE_OF_PLANE * counts.max(initial=0))
        turns = np.array(
            [enough[k] and _is_turned(contrast[k : k + 2], one) for k, one in enumerate(shared)], dtype=bool
        )
        if not turns.any():
            continue
        odd = np.concatenate([[False], np.logical_xor.accumulate(turns)])  # by plane: after an odd number of turns
        index = odd.reshape([-1 if n == axis else 1 for n in range(3)])
        verdicts = [_exchanged(fraction, *places, np.broadcast_to(part, body.shape)) for part in (index, ~index)]
        sizes = [float((lit & part[:, None, None]).sum()) for part in (odd, ~odd)]
        # The exchanged part is the one whose rim is water; where both or neither say so, the smaller one.
        is_odd = verdicts[0] is True if verdicts[0] is not verdicts[1] and True in verdicts else sizes[0] <= sizes[1]
        planes = odd if is_odd else ~odd
        if planes[0] == planes[-1]:
            return f"slab across {_ALONG[code]}"
        share = sizes[0 if is_odd else 1] / max(sum(sizes), 1.0)
        side = code if planes[-1] else _OPPOSITE[code]
        return f"{_HALVES[side]} {'half' if _HALF[0] <= share <= _HALF[1] else 'part'}"
    return ""


def _is_turned(contrast: NDArray[np.float32], shared: NDArray[np.bool_]) -> bool:
    """Whether fat of one plane is water in the next; ``contrast`` (2, ...) is 1 in fat and -1 in water."""
    first, second = contrast[0][shared], contrast[1][shared]
    size = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return size > 0 and float((first * second).sum()) < _TURNED * size


def _exchanged(
    fraction: NDArray[np.float32], rim: NDArray[np.bool_], core: NDArray[np.bool_], part: NDArray[np.bool_]
) -> bool | None:
    """Decide whether fat and water are exchanged in a part of the image; None if it shows too little of the body."""
    edge, inside = fraction[rim & part], fraction[core & part]
    if edge.size < _FEWEST or inside.size < _FEWEST:
        return None
    # The 60th percentile of the rim, since skin is water, and arms and heads have little fat.
    at_edge, within = float(np.percentile(edge, 60)), float(np.median(inside))
    return at_edge < _FAT_BELOW and within > at_edge + _CONTRAST


def _opened(lit: NDArray[np.bool_], axial: int) -> NDArray[np.bool_]:
    """Remove specks, plane by plane."""
    cross = np.expand_dims(ndimage.generate_binary_structure(2, 1), axial)
    opened: NDArray[np.bool_] = ndimage.binary_opening(lit, cross)
    return opened


def _depth(body: NDArray[np.bool_], spacing: list[float], axial: int) -> NDArray[np.float64]:
    """Compute the distance to the outside in mm, within axial planes: a station's end slices are not rim."""
    depth = np.zeros(body.shape, dtype=np.float64)
    in_plane = [value for axis, value in enumerate(spacing) if axis != axial]
    for k in range(body.shape[axial]):
        at: list[Any] = [slice(None)] * 3
        at[axial] = k
        filled = ndimage.binary_fill_holes(body[tuple(at)])
        # The body continues beyond the field of view, whose edge is not skin.
        depth[tuple(at)] = ndimage.distance_transform_edt(filled, sampling=in_plane) * filled
    return depth


def _axial(geometry: Geometry) -> int:
    return next(axis for axis, code in enumerate(geometry.axcodes) if code in "SI")


def _middle(body: NDArray[np.bool_], axis: int) -> int:
    other = tuple(n for n in range(3) if n != axis)
    counts = body.sum(axis=other).cumsum()
    return int(np.searchsorted(counts, counts[-1] / 2))
