"""The phantom's truth: all structures, where they belong, the same whatever grid they are painted on."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.simulation.phantom import Painted, Participant, ct_grid, image_grid, paint
from mrseg_label.simulation.phantom.grid import make_grid, smooth_field

SCHEME = LabelScheme.default()
SEED = 11


def center(painted: Painted, name: str) -> NDArray[np.float64]:
    """Centroid in RAS mm."""
    index = np.argwhere(painted.structures == SCHEME[name].id)
    assert len(index), f"{name} is missing"
    mean: NDArray[np.float64] = nib.affines.apply_affine(painted.affine, index).mean(axis=0)
    return mean


@pytest.fixture(scope="module")
def trunk() -> Painted:
    participant = Participant.draw(SEED, 0)
    return paint(participant, "trunk", ct_grid(participant, "trunk", 4.0))


def test_a_participant_is_the_same_every_time_and_unlike_others() -> None:
    first = Participant.draw(SEED, 3)
    assert first == Participant.draw(SEED, 3)
    assert first != Participant.draw(SEED, 4)
    assert first != Participant.draw(SEED + 1, 3)
    grid = ct_grid(first, "abdomen", 8.0)
    once, twice = paint(first, "abdomen", grid), paint(first, "abdomen", grid)
    other = paint(Participant.draw(SEED, 4), "abdomen", grid)
    np.testing.assert_array_equal(once.total_ids, twice.total_ids)
    np.testing.assert_array_equal(once.tissue, twice.tissue)
    assert np.mean(once.structures != other.structures) > 0.05


@pytest.mark.parametrize("index", range(5))
def test_the_two_stations_together_hold_every_structure(index: int) -> None:
    participant = Participant.draw(SEED, index)
    found: set[int] = set()
    for station in ("abdomen", "pelvis"):
        found |= set(np.unique(paint(participant, station, ct_grid(participant, station, 3.0)).structures))
    expected = {s.id for s in SCHEME if s.name not in participant.missing} | {0}
    assert found == expected


def test_right_is_right_and_left_is_left(trunk: Painted) -> None:
    for structure in SCHEME:
        if structure.name.startswith("right_"):
            right, left = center(trunk, structure.name), center(trunk, structure.paired_with or "")
            assert right[0] > 5, structure.name
            assert left[0] < -5, structure.name
    assert center(trunk, "liver")[0] > 20
    assert center(trunk, "spleen")[0] < -50
    assert center(trunk, "inferior_vena_cava")[0] > center(trunk, "aorta")[0]


def test_front_and_back_and_head_and_feet(trunk: Painted) -> None:
    assert center(trunk, "urinary_bladder")[1] > center(trunk, "sacrum")[1] + 50
    assert center(trunk, "heart")[1] > center(trunk, "spine")[1] + 40
    assert center(trunk, "right_autochthonous_muscle")[1] < center(trunk, "right_iliopsoas_muscle")[1]
    heights = [center(trunk, name)[2] for name in ("left_femur", "sacrum", "pancreas", "liver", "heart")]
    assert heights == sorted(heights)


def test_truth_is_the_merge_of_totalsegmentator_ids(trunk: Painted) -> None:
    table = SCHEME.lookup_from(TOTALSEGMENTATOR_TOTAL)
    np.testing.assert_array_equal(trunk.structures, table[trunk.total_ids])
    present = set(np.unique(trunk.total_ids))
    assert {10, 11, 12, 13, 14} <= present, "lobes of the lungs"
    assert {25, 26} <= present, "sacrum and S1"
    assert len(present & set(range(27, 51))) >= 14, "vertebrae"
    assert present & set(range(92, 116)), "ribs have ids but are no structure"


def test_vertebrae_are_numbered_from_below_upwards(trunk: Painted) -> None:
    heights = [np.argwhere(trunk.total_ids == k)[:, 2].mean() for k in range(27, 39)]
    assert heights == sorted(heights)


def test_an_operation_and_a_cyst_change_the_truth() -> None:
    people = [Participant.draw(SEED, index) for index in range(80)]
    nephrectomy = next(p for p in people if "left_kidney" in p.missing)
    painted = paint(nephrectomy, "abdomen", ct_grid(nephrectomy, "abdomen", 6.0))
    assert not np.any(painted.structures == SCHEME["left_kidney"].id)
    assert np.any(painted.structures == SCHEME["right_kidney"].id)
    cyst = next(p for p in people if "right_kidney" in p.cysts)
    painted = paint(cyst, "abdomen", ct_grid(cyst, "abdomen", 4.0))
    # TotalSegmentator has an id for cysts of a kidney; they are not part of the structure.
    assert np.any(painted.total_ids == 24)
    assert not np.any(painted.structures[painted.total_ids == 24])


def test_structures_lie_at_the_same_place_on_every_grid() -> None:
    participant = Participant.draw(SEED, 1)
    plain = paint(participant, "abdomen", make_grid(participant, "abdomen", (3.0, 3.0, 3.0)))
    tilted = make_grid(participant, "abdomen", (2.6, 2.6, 4.0), "LAS", np.deg2rad([4.0, -2.0, 1.0]), coronal=True)
    other = paint(participant, "abdomen", tilted)
    assert nib.aff2axcodes(other.affine) == ("L", "S", "A")
    for name in ("right_kidney", "gallbladder", "pancreas", "heart"):
        if name not in participant.missing and name != "heart":
            np.testing.assert_allclose(center(plain, name), center(other, name), atol=2.0, err_msg=name)
    # Voxel by voxel: what the plain grid holds at the tilted grid's places.
    index = np.argwhere(other.structures == SCHEME["right_kidney"].id)
    back = np.rint(nib.affines.apply_affine(np.linalg.inv(plain.affine) @ other.affine, index)).astype(int)
    inside = np.all((back >= 0) & (back < plain.structures.shape), axis=1)
    assert np.mean(plain.structures[tuple(back[inside].T)] == SCHEME["right_kidney"].id) > 0.9


def test_the_field_of_view_cuts_the_body() -> None:
    participant = Participant.draw(SEED, 2)
    painted = paint(participant, "abdomen", ct_grid(participant, "abdomen", 5.0))
    for slice_index in (0, -1):
        assert np.any(painted.structures[:, :, slice_index])
    # In the axial plane the body fits.
    assert not np.any(painted.tissue[0]) and not np.any(painted.tissue[:, 0])


def test_grids_differ_as_scanners_do() -> None:
    grids = [image_grid(Participant.draw(SEED, index), "pelvis") for index in range(40)]
    codes = {nib.aff2axcodes(grid.affine) for grid in grids}
    assert len(codes) >= 4
    oblique = [np.sum(np.abs(grid.affine[:3, :3]) > 1e-3) > 3 for grid in grids]
    assert any(oblique) and not all(oblique)
    assert all(grid.spacing.max() > 1.3 * grid.spacing.min() for grid in grids)


def test_a_smooth_field_is_fixed_in_the_world() -> None:
    participant = Participant.draw(SEED, 0)
    coarse = make_grid(participant, "pelvis", (8.0, 8.0, 8.0))
    fine = make_grid(participant, "pelvis", (4.0, 4.0, 8.0), "LPS")
    fields = [smooth_field(grid, np.random.default_rng(5), 2.0, (80, 200)) for grid in (coarse, fine)]
    index = np.array([[10, 9, 8], [30, 20, 15], [5, 25, 3]])
    at = nib.affines.apply_affine(np.linalg.inv(fine.affine) @ coarse.affine, index)
    for here, there in zip(index, at, strict=True):
        low = np.floor(there).astype(int)
        cell = fields[1][tuple(slice(v, v + 2) for v in low)]
        assert cell.min() - 0.2 <= fields[0][tuple(here)] <= cell.max() + 0.2
