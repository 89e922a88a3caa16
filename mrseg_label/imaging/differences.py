"""Where two label maps on one grid differ, voxel by voxel and place by place. Labels are compared by their ids, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.errors import GeometryError

LabelMap = NDArray[np.integer[Any]]
_TOUCHING = np.ones((3, 3, 3), dtype=bool)  # voxels that share a corner are one place


class DifferenceKind(IntEnum):
    """How a voxel differs: only the first map has a structure there, only the second, or each has another one."""

    FIRST_ONLY = 1
    SECOND_ONLY = 2
    OTHER_STRUCTURE = 3


@dataclass(frozen=True)
class DifferencePlace:
    """Connected voxels that one of two label maps counts to a structure and the other does not.

    Attributes
    ----------
    label : id of the structure.
    only_first, only_second : how many of the voxels each map has.
    voxel : index (X, Y, Z) of the voxel of the place that is nearest to its centre.
    """

    label: int
    only_first: int
    only_second: int
    voxel: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        """The size of the place."""
        return self.only_first + self.only_second


def kinds_of_difference(first: LabelMap, second: LabelMap, label: int | None = None) -> NDArray[np.uint8]:
    """Compute how each voxel differs.

    Parameters
    ----------
    first, second : label maps (X, Y, Z) on one grid.
    label : only where one of the two has this structure.

    Returns
    -------
    (X, Y, Z) values of :class:`DifferenceKind`, 0 where both are equal.
    """
    _check_shapes(first, second)
    kinds = np.full(first.shape, DifferenceKind.OTHER_STRUCTURE, dtype=np.uint8)
    kinds[second == 0] = DifferenceKind.FIRST_ONLY
    kinds[first == 0] = DifferenceKind.SECOND_ONLY
    kinds[first == second] = 0
    if label is not None:
        kinds[(first != label) & (second != label)] = 0
    return kinds


def find_differences(first: LabelMap, second: LabelMap, limit: int) -> list[DifferencePlace]:
    """Find the places where two label maps differ, structure by structure, largest first.

    Parameters
    ----------
    first, second : label maps (X, Y, Z) on one grid.
    limit : how many places are returned at most.
    """
    _check_shapes(first, second)
    differ = first != second
    boxes = [ndimage.find_objects(np.where(differ, labels, 0).astype(np.int32)) for labels in (first, second)]
    places: list[tuple[int, int, tuple[slice, ...], NDArray[np.bool_]]] = []
    for label in range(1, max(map(len, boxes)) + 1):
        of_label = [found[label - 1] for found in boxes if label <= len(found) and found[label - 1] is not None]
        if not of_label:
            continue
        box = tuple(
            slice(min(part.start for part in parts), max(part.stop for part in parts))
            for parts in zip(*of_label, strict=True)
        )
        numbered, _ = ndimage.label((first[box] == label) != (second[box] == label), structure=_TOUCHING)
        for number, inner in enumerate(ndimage.find_objects(numbered), start=1):
            own = numbered[inner] == number
            outer = tuple(
                slice(whole.start + part.start, whole.start + part.stop) for whole, part in zip(box, inner, strict=True)
            )
            places.append((-int(own.sum()), label, outer, own))
            if len(places) > 2 * limit:
                places = sorted(places, key=_size_and_label)[:limit]
    return [_place(first, label, box, own) for _, label, box, own in sorted(places, key=_size_and_label)[:limit]]


def _size_and_label(place: tuple[int, int, tuple[slice, ...], NDArray[np.bool_]]) -> tuple[int, int]:
    return place[:2]


def _place(first: LabelMap, label: int, box: tuple[slice, ...], own: NDArray[np.bool_]) -> DifferencePlace:
    points = np.argwhere(own)
    nearest = points[((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    x, y, z = (int(start.start + offset) for start, offset in zip(box, nearest, strict=True))
    in_first = int((first[box][own] == label).sum())
    return DifferencePlace(label, in_first, len(points) - in_first, (x, y, z))


def _check_shapes(first: LabelMap, second: LabelMap) -> None:
    if first.shape != second.shape:
        raise GeometryError(f"two label maps of the shapes {first.shape} and {second.shape} cannot be compared")
