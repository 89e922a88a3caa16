"""True masks of phantoms with their images, and errors made in them on purpose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.simulation.phantom import Acquisition, Participant, paint
from mrseg_label.simulation.phantom.grid import make_grid

SCHEME = LabelScheme.default()
ANATOMY = anatomy_of(SCHEME)


@dataclass(frozen=True)
class Masked:
    """An image with its mask, (X, Y, Z)."""

    image: NDArray[np.int16]
    mask: NDArray[np.uint8]
    geometry: Geometry

    def part(self, *box: slice) -> Masked:
        """The same with a smaller field of view."""
        affine = self.geometry.affine.copy()
        starts = [one.indices(n)[0] for one, n in zip(box, self.mask.shape, strict=False)]
        affine[:3, 3] += affine[:3, : len(starts)] @ starts
        mask = self.mask[box]
        x, y, z = mask.shape
        return Masked(self.image[box], mask, Geometry((x, y, z), affine))

    def with_mask(self, mask: NDArray[Any]) -> Masked:
        return replace(self, mask=mask.astype(np.uint8))

    def ras(self) -> Masked:
        mask, grid = reorient(self.mask, self.geometry)
        return Masked(reorient(self.image, self.geometry)[0], mask, grid)

    def without(self, *names: str) -> Masked:
        """The same with structures taken out of the mask."""
        return self.with_mask(np.where(np.isin(self.mask, [SCHEME[name].id for name in names]), 0, self.mask))


@cache
def phantom(
    index: int = 0, station: str = "abdomen", seed: int = 1, sequence: str = "in", coarse: bool = True
) -> Masked:
    """A phantom, coarse to be fast: 3.5 x 3.5 x 6 mm."""
    participant = Participant.draw(seed, index)
    grid = make_grid(participant, station, (3.5, 3.5, 6.0), "LPS", np.deg2rad([3.0, 1.0, 1.0])) if coarse else None
    painted = paint(participant, station, grid)
    x, y, z = painted.structures.shape
    image = Acquisition(painted).render(sequence)
    return Masked(image, painted.structures, Geometry((x, y, z), painted.affine)).ras()


def with_sides_swapped(mask: NDArray[np.uint8], names: Collection[str] | None = None) -> NDArray[np.uint8]:
    """Exchange left and right, of all pairs or of those that have one of these structures."""
    table = np.arange(256, dtype=np.uint8)
    for pair in ANATOMY.pairs:
        if names is None or {ANATOMY.name(pair.left), ANATOMY.name(pair.right)} & set(names):
            table[[pair.left, pair.right]] = pair.right, pair.left
    return table[mask]
