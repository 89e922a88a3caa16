"""Every measure of a structure, against counts done by hand and for each rule about what is not there."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import (
    DistanceMean,
    Presence,
    compare,
    compare_surfaces,
    hausdorff95,
    mean_distance,
    surface_dice,
)
from mrseg_label.metrics.nearest import shells_around
from mrseg_label.scoring import MIN_REFERENCE_VOXELS
from tests.unit.metrics.test_metrics import SPACING, ellipsoids, moved

SCHEME = LabelScheme.parse("id\tname\tnsd_tolerance_mm\n1\tspleen\t\n2\tliver\t1.5\n")


def box(size: tuple[int, int, int], first: tuple[int, int, int], label: int = 1) -> NDArray[np.uint8]:
    """A map of 12 x 12 x 12 voxels with a box."""
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[tuple(slice(start, start + length) for start, length in zip(first, size, strict=True))] = label
    return labels


def test_a_cube_that_moved_by_one_voxel() -> None:
    """Done by hand: a cube of 3 x 3 x 3, all voxels but the centre on its surface, moved by a voxel of 2 mm."""
    found = compare(box((3, 3, 3), (4, 4, 4)), box((3, 3, 3), (5, 4, 4)), (2, 1, 1), [1.0]).measures(1)
    assert found.presence is Presence.BOTH
    assert found.dsc == pytest.approx(2 * 18 / 54)
    # Of 26 surface voxels 16 are on the other's surface: of the shared layers x = 5 and 6 the outer 8 of each. The
    # centre of layer 6 is the other's inner voxel, 1 mm from its neighbours there, and the layer of 9 that is left
    # behind 2 mm.
    assert found.nsd == pytest.approx((16 + 1) / 26)
    assert found.hd95_mm == pytest.approx(2)
    assert found.reference_ml == found.prediction_ml == pytest.approx(27 * 2 / 1000)
    assert found.relative_volume_error == 0
    assert found.counts and not found.cut_by_edge


def test_a_box_that_is_a_layer_too_thick() -> None:
    """Done by hand: a box of 4 x 4 x 2 voxels, all of them surface, and one of 4 x 4 x 3."""
    reference, prediction = box((4, 4, 2), (3, 3, 3)), box((4, 4, 3), (3, 3, 3))
    found = compare(reference, prediction, (1, 1, 3), [2.9]).measures(1)
    assert found.dsc == pytest.approx(2 * 32 / 80)
    assert found.relative_volume_error == pytest.approx(0.5)
    # The reference's layer z = 4 has 4 inner voxels that are 1 mm from the prediction's rim; the prediction's layer z = 5
    # of 16 voxels is 3 mm away.
    assert found.nsd == pytest.approx((32 + 44 - 16) / (32 + 44))
    assert found.hd95_mm == pytest.approx(3)
    assert compare(reference, prediction, (1, 1, 3), [3.0]).measures(1).nsd == 1  # exactly the tolerance is within it


@pytest.mark.parametrize(
    ("reference", "prediction", "annotated", "presence", "dsc", "hd95", "nsd", "error"),
    [
        (0, 0, True, Presence.NEITHER, None, None, None, None),
        (1, 0, True, Presence.MISSED, 0, math.inf, 0, -1),
        (0, 1, True, Presence.FALSE_POSITIVE, 0, math.inf, 0, None),
        (1, 1, True, Presence.BOTH, 1, 0, 1, 0),
        (1, 1, False, Presence.NOT_ANNOTATED, None, None, None, None),
        (0, 1, False, Presence.NOT_ANNOTATED, None, None, None, None),
    ],
)
def test_what_is_not_there(
    reference: int, prediction: int, annotated: bool, presence: Presence,
    dsc: float | None, hd95: float | None, nsd: float | None, error: float | None,
) -> None:  # fmt: skip
    there = box((3, 3, 3), (4, 4, 4))
    beside = box((5, 5, 2), (1, 1, 9), label=2)  # a structure that is in both maps does not change it
    maps = there * reference + beside, there * prediction + beside
    found = compare(*maps, SPACING, SCHEME.nsd_tolerances_mm, np.array([annotated, True])).by_structure(SCHEME)
    spleen = found["spleen"]
    assert spleen.presence is presence
    assert (spleen.dsc, spleen.hd95_mm, spleen.nsd, spleen.relative_volume_error) == (dsc, hd95, nsd, error)
    assert spleen.reference_ml == (pytest.approx(27 * reference * 0.012) if annotated else None)
    assert spleen.prediction_ml == (pytest.approx(27 * prediction * 0.012) if annotated else None)
    assert spleen.counts is (presence in (Presence.BOTH, Presence.MISSED))
    assert (spleen.tolerance_mm, found["liver"].tolerance_mm) == (3.0, 1.5)
    assert found["liver"].dsc == found["liver"].nsd == 1


def test_few_voxels_do_not_count() -> None:
    few = np.zeros((12, 12, 12), np.uint8)
    few.flat[: MIN_REFERENCE_VOXELS - 1] = 1
    assert not compare(few, few, SPACING, [1.0]).measures(1).counts
    beside_many = compare(few, np.ones_like(few), SPACING, [1.0]).measures(1)
    assert not beside_many.counts and beside_many.counts_between_equals


def test_both_maps_empty() -> None:
    empty = np.zeros((3, 3, 3), np.uint8)
    found = compare(empty, empty, SPACING, SCHEME.nsd_tolerances_mm).by_structure(SCHEME)
    assert {one.presence for one in found.values()} == {Presence.NEITHER}


@pytest.mark.parametrize("first", [(0, 4, 4), (9, 4, 4), (4, 0, 4), (4, 4, 9)])
def test_what_the_edge_of_the_image_cuts_is_marked(first: tuple[int, int, int]) -> None:
    inside, cut = box((3, 3, 3), (4, 4, 4)), box((3, 3, 3), first)
    assert compare(inside, cut, SPACING, [3.0]).measures(1).cut_by_edge
    assert compare(cut, cut, SPACING, [3.0]).measures(1).cut_by_edge
    assert not compare(inside, inside, SPACING, [3.0]).measures(1).cut_by_edge


def test_the_mean_of_distances_counts_infinite_ones_apart() -> None:
    assert mean_distance([1.0, math.inf, None, 3.0, math.nan]) == DistanceMean(2.0, 2**0.5, 2, 1)
    assert mean_distance([math.inf]) == DistanceMean(None, None, 0, 1)
    assert mean_distance([]) == DistanceMean(None, None, 0, 0)


def test_what_does_not_fit_is_refused() -> None:
    labels = ellipsoids(1)
    with pytest.raises(InvalidInput, match=r"tolerances \[3.0\] do not fit 6 structures"):
        surface_dice(labels, labels, SPACING, 6, [3.0])
    with pytest.raises(InvalidInput, match="tolerances"):
        surface_dice(labels, labels, SPACING, 6, [3.0, -1, 3, 3, 3, 3])
    with pytest.raises(InvalidInput, match="spacing"):
        compare(labels, labels, (1, 1, 0), [3.0] * 6)
    with pytest.raises(InvalidInput, match="label ids 0 to 6"):
        hausdorff95(labels, labels, SPACING, 5)
    with pytest.raises(GeometryError):
        compare(labels, labels[1:], SPACING, [3.0] * 6)
    with pytest.raises(InvalidInput, match="6 structures were compared; the scheme has 2"):
        compare(labels, labels, SPACING, [3.0] * 6).by_structure(SCHEME)


def surfaces_by_brute_force(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing: tuple[float, ...], tolerance: float
) -> tuple[float, float]:
    """HD95 and NSD from all distances between the voxels that an erosion takes away."""
    own, other = (np.argwhere(mask & ~binary_erosion(mask)) * np.array(spacing) for mask in (reference, prediction))
    nearest = [cdist(own, other).min(axis=axis) for axis in (0, 1)]
    within = sum(int((distances <= tolerance + 1e-6).sum()) for distances in nearest)
    return max(float(np.percentile(one, 95)) for one in nearest), within / (len(own) + len(other))


@pytest.mark.parametrize("shift", [0, 1, 4, 30])
@pytest.mark.parametrize("spacing", [SPACING, (0.4, 0.4, 6.0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_near_and_far_surfaces_by_brute_force(shift: int, spacing: tuple[float, float, float], order: str) -> None:
    """Nearest neighbours are found by two searches, of which the second is for what is far away."""
    reference = ellipsoids(5, (60, 28, 19))
    prediction = np.roll(reference, shift, axis=0)
    if order == "F":
        reference, prediction = np.asfortranarray(reference), np.asfortranarray(prediction)
    tolerances = [0.0, 1.5, 3.0, 8.0, 20.0, 60.0]
    found = compare_surfaces(reference, prediction, spacing, 6, tolerances)
    for structure in np.intersect1d(reference[reference > 0], prediction):
        hd95, nsd = surfaces_by_brute_force(
            reference == structure, prediction == structure, spacing, tolerances[structure - 1]
        )
        assert found.hd95_mm[structure - 1] == pytest.approx(hd95, abs=1e-9)
        assert found.nsd[structure - 1] == pytest.approx(nsd, abs=1e-12)
    np.testing.assert_array_equal(found.hd95_mm, hausdorff95(reference, prediction, spacing, 6))
    np.testing.assert_allclose(found.nsd, 1 - found.surface_voxels_beyond.sum(0) / found.surface_voxels.sum(0))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 100.0), (0.01, 5.0, 5.0), (2.0, 3.0)])
def test_shells_hold_every_offset_up_to_their_radius(spacing: tuple[float, ...]) -> None:
    shells = shells_around(spacing)
    lengths = [shell.distance_mm for shell in shells]
    assert lengths == sorted(lengths) and lengths[0] == 0
    offsets = {tuple(offset) for shell in shells for offset in shell.offsets.tolist()}
    assert len(offsets) == sum(len(shell.offsets) for shell in shells) and 300 < len(offsets) < 700
    reach = [range(-int(lengths[-1] / step), int(lengths[-1] / step) + 1) for step in spacing]
    for offset in itertools.product(*reach):
        length = math.dist([n * step for n, step in zip(offset, spacing, strict=True)], [0] * len(spacing))
        assert (offset in offsets) == (length <= lengths[-1] + 1e-9)


def test_255_structures_and_wide_label_maps() -> None:
    labels = np.arange(1, 257, dtype=np.int64).reshape(4, 8, 8) % 256
    found = compare_surfaces(labels, np.roll(labels, 1, axis=0), (1, 1, 1), 255, [0.5] * 255)
    assert (found.hd95_mm == np.where(np.arange(1, 256) > 192, 3, 1)).all() and not found.nsd.any()


def test_without_tolerances_there_is_no_nsd() -> None:
    assert np.isnan(compare_surfaces(*moved(1), SPACING, 6).nsd).all()
