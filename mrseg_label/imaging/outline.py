"""The body in an image, coarsely: enough for its outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.body import body_mask, large_components
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient

_SAMPLE_MM = 5.0  # fine enough for an outline
_AIR_HU = -400.0
LEGS_SHARE = 0.3  # of the larger leg; an arm beside the trunk has less


@dataclass(frozen=True)
class Outline:
    """The voxels of the body on a thinned grid.

    Attributes
    ----------
    inside : (X, Y, Z) bool in RAS; all True if air and tissue cannot be separated.
    geometry : the thinned grid.
    steps : how many voxels of the image, reoriented to RAS, one of the thinned grid stands for along each axis.
    """

    inside: NDArray[np.bool_]
    geometry: Geometry
    steps: tuple[int, int, int]

    @property
    def is_separated(self) -> bool:
        """Whether there is anything outside of the body."""
        return not bool(self.inside.all())


def find_outline(image: NDArray[Any], geometry: Geometry, smallest_share: float = LEGS_SHARE) -> Outline:
    """Find the body in an image.

    Parameters
    ----------
    image : (X, Y, Z) in arbitrary units, or in HU for CT.
    smallest_share : as of :func:`mrseg_label.imaging.body.body_mask`.
    """
    array, grid = reorient(image, geometry)
    x, y, z = (max(1, round(_SAMPLE_MM / spacing)) for spacing in grid.spacing_mm)
    thin = array[::x, ::y, ::z]
    if thin.min() < _AIR_HU:
        inside = large_components(thin > _AIR_HU, smallest_share) if smallest_share < 1 else thin > _AIR_HU
    elif min(thin.shape) > 1:
        inside = body_mask(thin, smallest_share=smallest_share)
    else:
        inside = np.ones(thin.shape, dtype=np.bool_)
    affine = grid.affine @ np.diag((x, y, z, 1.0))
    i, j, k = thin.shape
    return Outline(inside, Geometry((i, j, k), affine), (x, y, z))
