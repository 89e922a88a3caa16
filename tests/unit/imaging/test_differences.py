"""Two label maps are compared by their ids, voxel by voxel and place by place."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.errors import GeometryError
from mrseg_label.imaging.differences import DifferenceKind, find_differences, kinds_of_difference


def two_maps() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Structure 254 is larger in the second map, structure 3 is 5 there, and structure 9 is only in the first."""
    first, second = (np.zeros((12, 10, 8), dtype=np.uint8) for _ in range(2))
    first[1:4, 1:4, 1:4], second[1:4, 1:4, 1:6] = 254, 254
    first[6:8, 6:8, 2:4], second[6:8, 6:8, 2:4] = 3, 5
    first[10, 8, 7] = 9
    return first, second


def test_each_voxel_differs_in_one_way() -> None:
    first, second = two_maps()
    kinds = kinds_of_difference(first, second)
    assert kinds[2, 2, 5] == DifferenceKind.SECOND_ONLY and kinds[2, 2, 2] == 0
    assert kinds[6, 6, 2] == DifferenceKind.OTHER_STRUCTURE and kinds[10, 8, 7] == DifferenceKind.FIRST_ONLY
    assert np.count_nonzero(kinds) == 18 + 8 + 1
    for label, voxels in ((254, 18), (3, 8), (5, 8), (9, 1), (7, 0)):
        assert np.count_nonzero(kinds_of_difference(first, second, label)) == voxels


def test_places_are_found_by_structure_largest_first() -> None:
    first, second = two_maps()
    places = find_differences(first, second, 10)
    found = [(place.label, place.only_first, place.only_second) for place in places]
    assert found == [(254, 0, 18), (3, 8, 0), (5, 0, 8), (9, 1, 0)]
    for place in places:
        in_first, in_second = first[place.voxel] == place.label, second[place.voxel] == place.label
        assert in_first != in_second, "the point lies within the place"
    assert [place.label for place in find_differences(first, second, 1)] == [254]
    assert [place.label for place in find_differences(second, first, 2)] == [254, 3]
    assert find_differences(first, first, 10) == []


def test_voxels_that_share_a_corner_are_one_place_and_others_are_not() -> None:
    first, second = (np.zeros((6, 6, 6), dtype=np.uint8) for _ in range(2))
    first[1, 1, 1] = first[2, 2, 2] = first[5, 5, 5] = 2
    assert [place.voxels for place in find_differences(first, second, 10)] == [2, 1]


def test_maps_of_two_shapes_are_refused() -> None:
    first, second = np.zeros((2, 3, 4), dtype=np.uint8), np.zeros((4, 3, 2), dtype=np.uint8)
    for compare in (kinds_of_difference, lambda one, other: find_differences(one, other, 5)):
        with pytest.raises(GeometryError, match="cannot be compared"):
            compare(first, second)
