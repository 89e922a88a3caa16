"""Detect misregistration: an image that lies elsewhere than another on the same grid, as a whole or in the inside of the body.

Contrasts differ, but the borders of organs are in the same places. Two images are compared by their normalised gradient
fields: at each voxel, how parallel the gradients are, whichever of the two sides is the brighter. The sum over all voxels is
largest at the displacement at which the borders coincide; all displacements are tried at once by Fourier transforms.

A breath moves the inside of the body, and its rim hardly. So the inside is compared by itself too, in its upper and its lower half.

References
----------
Haber E, Modersitzki J. Intensity gradient based registration and fusion of multi-modal images. MICCAI 2006.
https://doi.org/10.1007/11866763_89
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient

_GRID_MM = 4.5  # coarser voxels are averaged no further
_FEWEST = 8  # voxels along an axis of the coarse grid, for a comparison
_EDGE = 0.02  # gradients below this share of the bright end, per voxel, are noise
_WIDEST_MM = 60.0  # displacements beyond are chance
_LEAST_MM = 3.0
# Where the images are in place, the similarity without displacement is the largest, but for noise and rounding.
_IN_PLACE = 0.85
_CLEAR = 1.6  # the peak against the median over all displacements; below, the images have too little in common to tell
_INSIDE = 0.25  # of the extent of the body on each side that is not its inside
_COMPONENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_PARTS = {"whole": "the whole image", "upper": "the upper inside of the body", "lower": "the lower inside of the body"}

_Array = NDArray[np.float32]
_Spectra = list[NDArray[np.complex64]]


@dataclass(frozen=True)
class Displacement:
    """How far an image lies from another.

    Attributes
    ----------
    part : of the body, in words.
    mm : towards the right, the front and the head of the patient (RAS).
    """

    part: str
    mm: tuple[float, float, float]

    @property
    def length_mm(self) -> float:
        """Its length."""
        return math.hypot(*self.mm)

    def __str__(self) -> str:
        names = (("left", "right"), ("back", "front"), ("feet", "head"))
        steps = [
            f"{abs(value):.0f} mm towards the {side[value > 0]}"
            for value, side in zip(self.mm, names, strict=True)
            if abs(value) >= 1
        ]
        return f"{self.part} by {' and '.join(steps)}"


class Reference:
    """An image that others of the same grid are compared with.

    Parameters
    ----------
    image : (X, Y, Z) on the grid of ``geometry``.
    """

    def __init__(self, image: NDArray[Any], geometry: Geometry) -> None:
        self.geometry = geometry
        coarse, self.spacing = _coarse(image, geometry)
        self.usable = min(coarse.shape) >= _FEWEST and float(coarse.max()) > 0
        self.shape = tuple(fft.next_fast_len(n + n // 4, real=True) for n in coarse.shape)
        field = _field(coarse, self.spacing) if self.usable else []
        self.parts: Mapping[str, _Spectra] = (
            {name: _spectra([part * place for part in field], self.shape) for name, place in _places(coarse)}
            if self.usable
            else {}
        )

    def find_displacement(self, image: NDArray[Any]) -> Displacement | None:
        """Find how far another image on the same grid lies from this one; None where it is in place, or nobody can tell.

        Parameters
        ----------
        image : (X, Y, Z).
        """
        if not self.usable:
            return None
        coarse, _ = _coarse(image, self.geometry)
        spectra = _spectra(_field(coarse, self.spacing), self.shape)
        for name, own in self.parts.items():
            found = self._peak(own, spectra)
            if found is not None:
                return Displacement(_PARTS[name], found)
        return None

    def _peak(self, own: _Spectra, other: _Spectra) -> tuple[float, float, float] | None:
        total = sum(
            (1 if first == second else 2) * np.conj(mine) * theirs
            for (first, second), mine, theirs in zip(_COMPONENTS, own, other, strict=True)
        )
        similarity = fft.irfftn(total, self.shape)
        base = float(np.median(similarity))
        near = np.zeros(similarity.shape, dtype=bool)
        reach = [min(n // 3, int(_WIDEST_MM // step)) for n, step in zip(similarity.shape, self.spacing, strict=True)]
        near[
            np.ix_(*([*range(far + 1), *range(n - far, n)] for far, n in zip(reach, similarity.shape, strict=True)))
        ] = True
        place = np.unravel_index(int(np.where(near, similarity, -np.inf).argmax()), similarity.shape)
        steps = [int(at) if at <= n // 2 else int(at) - n for at, n in zip(place, similarity.shape, strict=True)]
        x, y, z = (float(step * size) for step, size in zip(steps, self.spacing, strict=True))
        peak, in_place = float(similarity[place]), float(similarity[0, 0, 0])
        if peak < _CLEAR * base or math.hypot(x, y, z) < _LEAST_MM:
            return None
        return (x, y, z) if in_place - base < _IN_PLACE * (peak - base) else None


def _coarse(image: NDArray[Any], geometry: Geometry) -> tuple[_Array, tuple[float, ...]]:
    """Average an image in RAS order to voxels of about _GRID_MM; return it with its spacing, mm."""
    turned, grid = reorient(image, geometry)
    steps = [max(1, round(_GRID_MM / size)) for size in grid.spacing_mm]
    kept = turned[tuple(slice(n // step * step) for n, step in zip(turned.shape, steps, strict=True))]
    blocks = [size for n, step in zip(kept.shape, steps, strict=True) for size in (n // step, step)]
    averaged = np.clip(kept.reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32), 0, None)
    return averaged, tuple(size * step for size, step in zip(grid.spacing_mm, steps, strict=True))


def _field(coarse: _Array, spacing: tuple[float, ...]) -> list[_Array]:
    """Compute the normalised gradient field, three arrays like the image."""
    bright = float(np.percentile(coarse, 99)) or float(coarse.max()) or 1.0
    compressed = np.sqrt(coarse / bright)  # the bright end would outweigh all else
    finest = min(spacing)
    gradient = [np.gradient(compressed, axis=axis) * np.float32(finest / spacing[axis]) for axis in range(3)]
    size = np.sqrt(sum(part**2 for part in gradient) + np.float32(_EDGE**2))
    return [(part / size).astype(np.float32) for part in gradient]


def _spectra(field: list[_Array], shape: tuple[int, ...]) -> _Spectra:
    return [fft.rfftn(field[first] * field[second], shape) for first, second in _COMPONENTS]


def _places(coarse: _Array) -> Iterator[tuple[str, _Array]]:
    """Yield the parts of the reference that are compared: all of it, and two halves of the inside of the body."""
    yield "whole", np.ones(coarse.shape, dtype=np.float32)
    lit = coarse > 0.15 * float(np.percentile(coarse, 99))
    ranges = []
    for axis in range(3):
        share = lit.any(axis=tuple(other for other in range(3) if other != axis)).nonzero()[0]
        if share.size == 0:
            return
        low, high = int(share[0]), int(share[-1]) + 1
        margin = int(_INSIDE * (high - low)) if axis < 2 else 0
        ranges.append((low + margin, high - margin))
    (left, right), (back, front), (feet, head) = ranges
    middle = (feet + head) // 2
    for name, (start, stop) in {"upper": (middle, head), "lower": (feet, middle)}.items():
        place = np.zeros(coarse.shape, dtype=np.float32)
        place[left:right, back:front, start:stop] = 1
        yield name, place
