"""DSC, HD95 and effort against brute force and against counts done by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import agreement, dice, effort, hausdorff95, joint_histogram, per_structure, score_case
from mrseg_label.metrics.effort import count_edits
from mrseg_label.scoring import MIN_REFERENCE_VOXELS

SPACING = (1.5, 2.0, 4.0)


def ellipsoids(seed: int, shape: tuple[int, int, int] = (34, 28, 19), structures: int = 6) -> NDArray[np.uint8]:
    """A label map of overlapping ellipsoids, some of them cut by the edge."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, dtype=np.uint8)
    for structure in range(1, structures + 1):
        centre, radius = random.uniform(0, shape), random.uniform(2, 8, 3)
        labels[(((grid - centre) / radius) ** 2).sum(-1) < 1] = structure
    return labels


def hd95_by_brute_force(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> float:
    """MONAI's definition, word for word: mask minus erosion, all distances, 95th percentile each way, the larger."""
    surfaces = [mask & ~binary_erosion(mask) for mask in (reference, prediction)]
    own, other = (np.argwhere(surface) * np.array(SPACING) for surface in surfaces)
    distances = cdist(own, other)
    return float(max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1)))


def moved(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two maps that agree in part; structure 2 is in the first only."""
    reference, prediction = ellipsoids(seed), ellipsoids(seed)
    prediction[3:] = np.roll(prediction, seed + 1, axis=seed % 3)[3:]
    prediction[prediction == 2] = 3
    return reference, prediction


@pytest.mark.parametrize("seed", range(6))
def test_hd95_and_dice_by_brute_force(seed: int) -> None:
    reference, prediction = moved(seed)
    distances, overlaps = hausdorff95(reference, prediction, SPACING, 6), dice(reference, prediction, 6)
    for structure in range(1, 7):
        own, other = reference == structure, prediction == structure
        if own.any() and other.any():
            assert distances[structure - 1] == pytest.approx(hd95_by_brute_force(own, other), abs=1e-9)
            assert overlaps[structure - 1] == pytest.approx(2 * (own & other).sum() / (own.sum() + other.sum()))
        elif own.any() or other.any():
            assert np.isinf(distances[structure - 1])
            assert overlaps[structure - 1] == 0
        else:
            assert np.isnan(distances[structure - 1])
            assert np.isnan(overlaps[structure - 1])


def test_hd95_is_in_millimetres_along_the_right_axis() -> None:
    reference = np.zeros((9, 9, 9), dtype=np.uint8)
    reference[2:4, 2:4, 2:4] = 1
    for axis, spacing in enumerate(SPACING):
        assert hausdorff95(reference, np.roll(reference, 3, axis=axis), SPACING, 1)[0] == pytest.approx(3 * spacing)


def test_identical_maps() -> None:
    labels = ellipsoids(1)
    present = np.isin(np.arange(1, 7), labels)
    assert (dice(labels, labels, 6)[present] == 1).all()
    assert (hausdorff95(labels, labels, SPACING, 6)[present] == 0).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_histogram_pairs_voxels_whatever_the_memory_order(order: Literal["C", "F"]) -> None:
    reference, prediction = ellipsoids(1), ellipsoids(2)
    expected = np.zeros((7, 7), dtype=np.int64)
    np.add.at(expected, (reference.ravel(), prediction.ravel()), 1)
    got = joint_histogram(np.asarray(reference, order=order), np.ascontiguousarray(prediction), 6)
    np.testing.assert_array_equal(got, expected)


def test_255_structures_do_not_overflow() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    np.testing.assert_array_equal(joint_histogram(labels, labels, 255), np.eye(256))


def test_empty_and_mismatching() -> None:
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    assert np.isnan(dice(empty, empty, 2)).all()
    assert np.isnan(hausdorff95(empty, empty, (1, 1, 1), 2)).all()
    with pytest.raises(GeometryError, match=r"\(3, 3, 3\).*\(3, 3, 4\)"):
        dice(empty, np.zeros((3, 3, 4), dtype=np.uint8), 2)
    with pytest.raises(InvalidInput, match="label ids 0 to 7"):
        dice(empty, np.full((3, 3, 3), 7, dtype=np.uint8) * (np.arange(27).reshape(3, 3, 3) > 0), 2)
    with pytest.raises(InvalidInput, match="float"):
        dice(empty, empty.astype(np.float32), 2)
    with pytest.raises(InvalidInput, match="spacing"):
        hausdorff95(empty, empty, (1.0, 1.0), 2)


def test_per_structure_has_none_for_what_is_not_there() -> None:
    scheme = LabelScheme.parse("id\tname\n1\tspleen\n2\tliver\n")
    assert per_structure(scheme, np.array([0.5, np.nan])) == {"spleen": 0.5, "liver": None}


def test_effort_counts_what_changed() -> None:
    presegmentation = np.zeros((6, 6, 2), dtype=np.uint8)
    presegmentation[1:5, 1:5, :] = 1
    corrected = presegmentation.copy()
    corrected[4, 1:5, 0] = 0  # 4 voxels taken from structure 1
    corrected[1, 1, 1] = 2  # one voxel from 1 to 2
    result = effort(presegmentation, corrected, 3, spacing_mm=(10, 5, 10), tolerances_mm=[6, 6, 6])
    assert result.edited_voxels == 5
    assert result.edited_ml == 2.5
    assert result.edited_by_structure.tolist() == [5, 1, 0]
    # In slice 0 the contour moved from row 4 to row 3, whose two inner voxels are new contour; in slice 1 the
    # voxel of structure 2 is a contour of its own, and no voxel of structure 1 becomes one that was not.
    assert result.added_path_by_structure.tolist() == [2, 1, 0]
    assert result.added_path_mm_by_structure.tolist() == [15, 7.5, 0]  # in-plane spacing 10 and 5 mm
    assert result.added_path_mm == 22.5
    assert result.dice_by_structure[0] == pytest.approx(2 * 27 / (32 + 27))
    assert result.dice_by_structure[1] == 0
    assert np.isnan(result.dice_by_structure[2])
    assert result.mean_dice == pytest.approx(2 * 27 / 59)  # one voxel is too little of structure 2 to count
    assert not result.accepted_unchanged


def test_edits_are_connected_sets_of_changed_voxels() -> None:
    presegmentation = np.zeros((12, 12, 12), dtype=np.uint8)
    presegmentation[2:6, 2:10, 2:10] = 1
    corrected = presegmentation.copy()
    corrected[2, 2, 2] = corrected[3, 3, 3] = 0  # they share a corner: one edit
    corrected[5, 9, 9] = 2  # another one, of both structures
    corrected[0, 0, 11] = corrected[0, 2, 11] = 2  # two more, with a voxel between
    total, by_structure = count_edits(presegmentation, corrected, 3)
    assert total == 4
    assert by_structure.tolist() == [2, 3, 0]
    assert count_edits(corrected, presegmentation, 3)[0] == 4
    total, by_structure = count_edits(corrected, corrected, 3)
    assert (total, by_structure.tolist()) == (0, [0, 0, 0])


def test_surface_that_moved_by_less_than_the_tolerance_has_not_changed() -> None:
    presegmentation = np.zeros((16, 16, 16), dtype=np.uint8)
    presegmentation[4:12, 4:12, 4:12], presegmentation[14] = 1, 2
    corrected = presegmentation.copy()
    corrected[12, 4:12, 4:12] = 1  # one side moves by a voxel, 2 mm
    within = effort(presegmentation, corrected, 3, (2, 2, 2), [2, 2, 2])
    assert within.surface_changed == within.surface_changed_by_structure[0] == 0
    beyond = effort(presegmentation, corrected, 3, (2, 2, 2), [1.9, 2, 2])
    # Of the box before 6 x 6 voxels of its side lie inside of the box after, of that the whole new side is outside.
    sides = 8**3 - 6**3, 8 * 8 * 9 - 6 * 6 * 7
    assert beyond.surface_changed_by_structure[0] == pytest.approx((6 * 6 + 8 * 8) / sum(sides))
    assert beyond.surface_changed_by_structure[1] == 0
    assert np.isnan(beyond.surface_changed_by_structure[2])
    assert beyond.surface_changed == pytest.approx((6 * 6 + 8 * 8) / (sum(sides) + 2 * 16 * 16))


@pytest.mark.parametrize(
    ("there", "found", "dsc", "remnant", "stray"),
    [
        (0, 0, None, None, 0),
        (0, 1, None, None, 1),
        (0, 500, None, None, 500),  # however much: it is counted, and in no mean
        (1, 0, None, 0.0, 0),
        (MIN_REFERENCE_VOXELS - 1, MIN_REFERENCE_VOXELS - 1, None, 1.0, 0),
        (MIN_REFERENCE_VOXELS, 0, 0.0, None, 0),  # it is there, and was missed
        (500, 500, 1.0, None, 0),
    ],
)
def test_what_counts_in_a_mean(there: int, found: int, dsc: float | None, remnant: float | None, stray: int) -> None:
    reference, prediction = np.zeros((10, 10, 10), np.uint8), np.zeros((10, 10, 10), np.uint8)
    reference.flat[:there], prediction.flat[:found] = 1, 1
    score = score_case(reference, prediction, 2)
    for value, expected in ((score.dsc[0], dsc), (score.remnant_dsc[0], remnant)):
        assert np.isnan(value) if expected is None else value == expected
    assert score.false_positive_voxels.tolist() == [stray, 0]
    assert score.mean == dsc
    # Of two readers neither is the reference: a few voxels are no disagreement, many are one.
    both = agreement(reference, prediction, 2)[0]
    assert np.isnan(both) == (max(there, found) < MIN_REFERENCE_VOXELS)
    if 0 in (there, found) and not np.isnan(both):
        assert both == 0


def test_accepted_unchanged() -> None:
    labels = ellipsoids(3)
    result = effort(labels, labels.copy(), 6, SPACING, [1] * 6)
    assert result.accepted_unchanged
    assert result.edited_voxels == result.edits == result.surface_changed == 0
    assert result.added_path_voxels == 0
