"""Audit a label map: what speaks against its left and right, head and foot, front and back?

An audit doubts and never refuses: organs may lie mirrored (situs inversus), and a transplanted kidney lies in the pelvis. It looks at

- pairs: the left structure must lie left of the right one, and neither mainly on the other side of the midline;
- orders: where structures must lie to each other, such as the liver right of the spleen;
- the whole: if all orders along an axis are contrary, the image or the mask is probably stored mirrored.

It needs the label map alone, and NumPy alone, so that it can be asked while a reader waits for an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.anatomy import Anatomy, Order
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.midline import Midline, midline_of_structures
from mrseg_label.imaging.voxels import Foreground

AXES = ("left/right", "front/back", "head/foot")
_TOWARDS = (("left of", "right of"), ("behind", "in front of"), ("below", "above"))
_ENDS = ("left to right", "front to back", "head to foot")
# Centres that are this much in the wrong order, mm, by axis: less may come from where the field of view cuts them.
_MARGIN_MM = (10.0, 10.0, 30.0)
_FEWEST_ML = 0.5  # of a structure, for its centre to mean anything
_WRONG_ML, _WRONG_SHARE = 1.0, 0.1
_MIRRORED_FROM = 2


@dataclass(frozen=True)
class Doubt:
    """One thing that an audit doubts.

    Attributes
    ----------
    axis : ``left/right``, ``front/back`` or ``head/foot``.
    structure : the structure that seems to lie in the wrong place; empty where it is the whole label map.
    other : the structure that it is compared with, if any.
    text : the doubt in words.
    """

    axis: str
    structure: str
    other: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)


def audit(
    label_map: NDArray[np.integer[Any]], geometry: Geometry, anatomy: Anatomy, midline: Midline | None = None
) -> list[Doubt]:
    """Find what is doubtful about a label map.

    Parameters
    ----------
    label_map : (X, Y, Z) label ids, in any axis order; ids that the scheme does not have are passed over.
    geometry : its grid.
    midline : of the body, where it is known; by default it is found from the structures that lie in it.
    """
    foreground = Foreground.of(label_map, geometry)
    return audit_foreground(foreground, anatomy, midline or structures_midline(foreground, anatomy))


def audit_foreground(foreground: Foreground, anatomy: Anatomy, midline: Midline | None) -> list[Doubt]:
    """Find what is doubtful about the voxels of a label map; where no midline is known, nothing is said of it."""
    if not len(foreground.labels):
        return []
    found = _Found(foreground, anatomy)
    return [*_mirrored(found), *_wrong_orders(found), *_wrong_sides(found, midline)]


def structures_midline(foreground: Foreground, anatomy: Anatomy) -> Midline | None:
    """Find the midplane of the body from the structures that lie in it."""
    places = np.flatnonzero(np.isin(foreground.labels, list(anatomy.in_midline)))
    x, z = (foreground.along(foreground.affine[axis], places) for axis in (0, 2))
    return midline_of_structures(x, z, foreground.voxel_ml)


def looks_mirrored(foreground: Foreground, anatomy: Anatomy) -> bool:
    """Whether all orders from left to right that can be judged are contrary; pairs, which may be mixed up, aside."""
    return _Found(foreground, anatomy).is_mirrored(0, with_pairs=False)


class _Found:
    """Sizes and centres of the structures of a label map."""

    def __init__(self, foreground: Foreground, anatomy: Anatomy) -> None:
        self.foreground, self.anatomy = foreground, anatomy
        count = max(len(anatomy.names), int(foreground.labels.max(initial=0)))
        self.ml = foreground.sizes(count) * foreground.voxel_ml
        self.centers = foreground.centers_mm(count)

    def along(self, order: Order) -> float | None:
        """How far the first lies from the second in the right direction, mm; None where one is hardly there."""
        if min(self.ml[order.first], self.ml[order.second]) < _FEWEST_ML:
            return None
        return float(order.sign * (self.centers[order.first] - self.centers[order.second])[order.axis])

    def orders(self, axis: int) -> list[tuple[Order, float]]:
        """The orders along an axis that can be judged."""
        found = ((order, self.along(order)) for order in self.anatomy.orders if order.axis == axis)
        return [(order, apart) for order, apart in found if apart is not None]

    def pairs(self) -> list[float]:
        """How far the right structure of each pair lies right of the left one, mm, where both are there."""
        both = [pair for pair in self.anatomy.pairs if min(self.ml[pair.left], self.ml[pair.right]) >= _FEWEST_ML]
        return [float(self.centers[pair.right, 0] - self.centers[pair.left, 0]) for pair in both]

    def is_mirrored(self, axis: int, with_pairs: bool = True) -> bool:
        """Whether all orders along an axis are contrary, and enough of them.

        Parameters
        ----------
        with_pairs : count pairs among them, from left to right. Pairs alone do not tell mirrored from mixed-up.
        """
        orders = [apart for _, apart in self.orders(axis)]
        if axis == 0 and with_pairs and orders:
            orders += self.pairs()
        return len(orders) >= _MIRRORED_FROM and all(apart < -_MARGIN_MM[axis] for apart in orders)


def _mirrored(found: _Found) -> Iterator[Doubt]:
    for axis in range(3):
        if found.is_mirrored(axis):
            text = f"everything looks mirrored {_ENDS[axis]}: check the orientation of the image and of the mask"
            yield Doubt(AXES[axis], "", None, text)


def _wrong_orders(found: _Found) -> Iterator[Doubt]:
    for axis in range(3):
        for order, apart in found.orders(axis):
            if apart < -_MARGIN_MM[axis]:
                first, second = found.anatomy.name(order.first), found.anatomy.name(order.second)
                direction = _TOWARDS[axis][0 if order.sign > 0 else 1]
                text = f"{first} lies {-apart:.0f} mm {direction} {second}, but {order.reason}"
                yield Doubt(AXES[axis], first, second, text)


def _wrong_sides(found: _Found, midline: Midline | None) -> Iterator[Doubt]:
    anatomy, foreground = found.anatomy, found.foreground
    for pair in anatomy.pairs:
        left, right = anatomy.name(pair.left), anatomy.name(pair.right)
        if min(found.ml[pair.left], found.ml[pair.right]) >= _FEWEST_ML:
            apart = float(found.centers[pair.right, 0] - found.centers[pair.left, 0])
            if apart < -_MARGIN_MM[0]:
                yield Doubt(AXES[0], left, right, f"{left} lies {-apart:.0f} mm right of {right}")
                continue  # the midline says the same
        if midline is None:
            continue
        row = midline.to_the_right(foreground.affine)
        for label, wrong, side in ((pair.left, 1, "right"), (pair.right, -1, "left")):
            places = np.flatnonzero(foreground.labels == label)
            beyond = wrong * foreground.along(row, places)
            ml = float(np.count_nonzero(beyond > midline.tolerance_mm) * foreground.voxel_ml)
            if ml >= _WRONG_ML and ml >= _WRONG_SHARE * found.ml[label]:
                name = anatomy.name(label)
                text = f"{ml:.1f} of {found.ml[label]:.1f} ml of {name} lie {side} of the midline of the body"
                yield Doubt(AXES[0], name, None, text)
