"""Where the midplane of the body lies, and how sure that is.

Two kinds of evidence: structures that lie in the midplane (the spine), and the outline of the body in the image. An outline
tells it only where both sides of the body are seen to the skin. Where the field of view cuts the body on one side, the
midplane is estimated from the skin of the other and the depth of the body, with a tolerance to match; where it is cut on both
sides, or where the outline is no wider than deep (one leg, an infant), the outline tells nothing. Evidence that contradicts
itself is no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Affine

if TYPE_CHECKING:
    from mrseg_label.imaging.outline import Outline  # SciPy is behind it, and an audit needs none

# How far the midplane may be from where the evidence puts it.
_OF_STRUCTURES_MM, _OF_OUTLINE_MM = 15.0, 20.0
_FEWEST_ML = 5.0  # of the structures in the midplane
_LAYER_MM = 10.0  # in which their middle is found
_MAX_SPREAD_MM = 20.0  # median deviation of the layers' middles; more is no spine
_TILTED_FROM_MM = 100.0  # height that tells how the body is tilted
_MAX_SLOPE = 0.3
_FAR_APART_MM = 60.0  # a spine that is farther from the middle of the outline is none
_AGREE_MM = 30.0
# Width of the trunk against its depth: less is one leg, or a body on its side; half of it where one side alone is seen.
_WIDER_THAN_DEEP = 1.15
_HALF_WIDTH, _HALF_WIDTH_SPREAD = 0.75, 0.15
_MOST_LAYERS = 0.6
_CUT = 0.1  # of the depth of the body lies at the border of the image


@dataclass(frozen=True)
class Midline:
    """The midplane of the body, which may be tilted to the right or left but contains the axis from back to front.

    Attributes
    ----------
    x_mm, height_mm, slope : it is at ``x_mm + slope * (z - height_mm)``, RAS.
    tolerance_mm : a voxel that is farther away certainly lies on its side.
    evidence : what it was found from, for people.
    is_confirmed : whether structures and outline agree.
    """

    x_mm: float
    height_mm: float
    slope: float
    tolerance_mm: float
    evidence: str
    is_confirmed: bool = False

    def at(self, z_mm: float) -> float:
        """Its x at a height, mm."""
        return self.x_mm + self.slope * (z_mm - self.height_mm)

    def to_the_right(self, affine: Affine) -> NDArray[np.float64]:
        """Coefficients (4,) of the distance from the midplane to the right, mm, as a linear function of the place."""
        row: NDArray[np.float64] = affine[0] - self.slope * affine[2]
        row[3] += self.slope * self.height_mm - self.x_mm
        return row


def find_midline(of_structures: Midline | None, of_outline: Midline | None) -> Midline | None:
    """Combine the two kinds of evidence; None where there is none, or where they contradict each other."""
    if of_structures is None or of_outline is None:
        return of_structures or of_outline
    apart = abs(of_structures.x_mm - of_outline.at(of_structures.height_mm))
    if of_outline.tolerance_mm > _OF_OUTLINE_MM:  # the outline of one side
        return replace(of_structures, is_confirmed=True) if apart <= of_outline.tolerance_mm else None
    if apart > _FAR_APART_MM:
        return of_outline
    return replace(of_structures, is_confirmed=apart <= _AGREE_MM)


def midline_of_structures(
    x_mm: NDArray[np.floating[Any]], z_mm: NDArray[np.floating[Any]], voxel_ml: float
) -> Midline | None:
    """Find the midplane from the voxels of structures that lie in it.

    Parameters
    ----------
    x_mm, z_mm : (n,) coordinates of the voxels.
    """
    if len(x_mm) * voxel_ml < _FEWEST_ML:
        return None
    layer = np.floor(z_mm / _LAYER_MM).astype(np.int64)
    order = np.argsort(layer, kind="stable")
    layers, starts = np.unique(layer[order], return_index=True)
    middles = np.array([np.median(part) for part in np.split(x_mm[order], starts[1:])])
    return _fit((layers + 0.5) * _LAYER_MM, middles, _OF_STRUCTURES_MM, "the structures in the midline")


def midline_of_outline(outline: Outline) -> Midline | None:
    """Find the midplane from the outline of the body; an oblique image is taken as if its axes were the nearest ones."""
    if not outline.is_separated:
        return None
    inside, affine = outline.inside, outline.geometry.affine
    spacing = outline.geometry.spacing_mm
    layers = [_Layer.of(inside[:, :, k], k, affine, spacing) for k in range(inside.shape[2]) if inside[:, :, k].any()]
    if not layers:
        return None
    whole = [one for one in layers if not one.cut_left and not one.cut_right]
    if len(whole) >= _MOST_LAYERS * len(layers):
        if np.median([one.width_mm / one.depth_mm for one in whole]) < _WIDER_THAN_DEEP:
            return None
        heights, middles = np.array([one.height_mm for one in whole]), np.array([one.middle_mm for one in whole])
        return _fit(heights, middles, _OF_OUTLINE_MM, "the outline of the body")
    for cut_left in (True, False):
        cut = [one for one in layers if one.cut_left is cut_left and one.cut_right is not cut_left]
        if len(cut) >= _MOST_LAYERS * len(layers):
            depth = float(np.median([one.depth_mm for one in cut]))
            skin = float(np.median([one.right_mm if cut_left else one.left_mm for one in cut]))
            middle = skin + (-_HALF_WIDTH if cut_left else _HALF_WIDTH) * depth
            tolerance = _HALF_WIDTH_SPREAD * depth + _OF_OUTLINE_MM
            height = float(np.median([one.height_mm for one in cut]))
            return Midline(middle, height, 0.0, tolerance, "the outline of one side of the body")
    return None


@dataclass(frozen=True)
class _Layer:
    """The outline in one axial layer; coordinates in RAS mm."""

    height_mm: float
    middle_mm: float
    left_mm: float
    right_mm: float
    width_mm: float
    depth_mm: float
    cut_left: bool
    cut_right: bool

    @classmethod
    def of(cls, inside: NDArray[np.bool_], k: int, affine: Affine, spacing: tuple[float, float, float]) -> _Layer:
        columns, rows = inside.sum(axis=1), np.flatnonzero(inside.any(axis=0))
        across = np.flatnonzero(columns)
        share = columns.cumsum() / columns.sum()
        middle = int(np.searchsorted(share, 0.5))
        depth = rows[-1] - rows[0] + 1
        row = (rows[0] + rows[-1]) / 2
        place = affine[:3, :3] @ np.array([0.0, row, k]) + affine[:3, 3]
        x = place[0] + affine[0, 0] * np.array([middle, across[0] - 0.5, across[-1] + 0.5])
        return cls(
            height_mm=float(place[2] + affine[2, 0] * middle),
            middle_mm=float(x[0]),
            left_mm=float(x[1]),
            right_mm=float(x[2]),
            width_mm=float((across[-1] - across[0] + 1) * spacing[0]),
            depth_mm=float(depth * spacing[1]),
            cut_left=bool(columns[0] > _CUT * depth),
            cut_right=bool(columns[-1] > _CUT * depth),
        )


def _fit(
    heights: NDArray[np.float64], middles: NDArray[np.float64], tolerance_mm: float, evidence: str
) -> Midline | None:
    """Fit a line by the median of its slopes; None where the middles scatter.

    References
    ----------
    Sen PK. Estimates of the regression coefficient based on Kendall's tau. J Am Stat Assoc 1968;63:1379.
    https://doi.org/10.1080/01621459.1968.10480934
    """
    slope = 0.0
    if np.ptp(heights) >= _TILTED_FROM_MM:
        first, second = np.triu_indices(len(heights), 1)
        far = np.abs(heights[second] - heights[first]) >= _TILTED_FROM_MM / 2
        rise = (middles[second] - middles[first])[far] / (heights[second] - heights[first])[far]
        slope = float(np.clip(np.median(rise), -_MAX_SLOPE, _MAX_SLOPE))
    height = float(np.median(heights))
    level = middles - slope * (heights - height)
    x = float(np.median(level))
    if float(np.median(np.abs(level - x))) > _MAX_SPREAD_MM:
        return None
    return Midline(x, height, slope, tolerance_mm, evidence)
