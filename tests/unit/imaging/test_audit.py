"""The audit of left and right, head and foot, front and back."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.imaging import reorient
from mrseg_label.imaging.audit import Doubt, audit
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from tests.support.phantom_masks import ANATOMY, SCHEME, Masked, phantom, with_sides_swapped

STATIONS = ("abdomen", "pelvis")


def doubts(case: Masked) -> list[Doubt]:
    return audit(case.mask, case.geometry, ANATOMY)


@pytest.mark.parametrize("station", STATIONS)
def test_true_masks_raise_no_doubt(station: str) -> None:
    assert doubts(phantom(0, station)) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", [11, 12])
def test_true_masks_of_many_participants_raise_no_doubt(seed: int) -> None:
    for index in range(4):
        for station in (*STATIONS, "trunk"):
            assert doubts(phantom.__wrapped__(index, station, seed)) == [], f"{index} of {seed}, {station}"


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize(("axis", "name"), [(0, "left to right"), (1, "front to back"), (2, "head to foot")])
def test_a_mirrored_mask_is_doubted_as_a_whole(station: str, axis: int, name: str) -> None:
    case = phantom(0, station)
    found = doubts(case.with_mask(np.flip(case.mask, axis)))
    assert found[0].text == f"everything looks mirrored {name}: check the orientation of the image and of the mask"
    assert (found[0].structure, found[0].other) == ("", None)


def test_a_mask_whose_axes_are_in_another_order_is_as_good() -> None:
    case = phantom(0)
    for codes in ("LPS", "PIR", "SLA"):
        turned, grid = reorient(case.mask, case.geometry, codes)
        assert audit(turned, grid, ANATOMY) == []


def test_swapped_sides_are_doubted_pair_by_pair() -> None:
    case = phantom(0)
    found = doubts(case.with_mask(with_sides_swapped(case.mask, ["right_kidney"])))
    (doubt,) = found
    assert (doubt.axis, doubt.structure, doubt.other) == ("left/right", "left_kidney", "right_kidney")
    assert doubt.text.startswith("left_kidney lies ")
    assert doubt.text.endswith(" mm right of right_kidney")
    assert doubt.to_json()["structure"] == "left_kidney"


def test_a_part_on_the_wrong_side_is_doubted() -> None:
    case = phantom(0)
    kidney = np.argwhere(case.mask == SCHEME["right_kidney"].id)
    mask = case.mask.copy()
    upper = mask[:, :, int(np.median(kidney[:, 2])) :]
    upper[upper == SCHEME["right_kidney"].id] = SCHEME["left_kidney"].id
    texts = [doubt.text for doubt in doubts(case.with_mask(mask))]
    assert [text for text in texts if "ml of left_kidney lie right of the midline of the body" in text]
    one_side = case.with_mask(mask).without("left_lung", "right_lung")
    assert doubts(one_side)


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("liver", "spleen", "left of spleen, but the liver lies on the right and the spleen on the left"),
        ("aorta", "inferior_vena_cava", "left of aorta, but the vena cava runs right of the aorta"),
        ("spine", "aorta", "behind spine, but the aorta runs in front of the vertebral column"),
    ],
)
def test_two_structures_in_each_others_place_are_doubted(first: str, second: str, text: str) -> None:
    case = phantom(0)
    table = np.arange(256)
    table[[SCHEME[first].id, SCHEME[second].id]] = SCHEME[second].id, SCHEME[first].id
    assert any(text in doubt.text for doubt in doubts(case.with_mask(table[case.mask])))


def test_a_heart_below_the_pelvis_is_doubted() -> None:
    case = phantom(0, "pelvis")
    mask = case.mask.copy()
    mask[30:36, 30:36, 0:3] = SCHEME["heart"].id
    assert [doubt.axis for doubt in doubts(case.with_mask(mask)) if doubt.structure == "heart"].count("head/foot") >= 2


def test_crumbs_and_foreign_values_raise_no_doubt() -> None:
    case = phantom(0)
    mask = case.mask.copy()
    mask[-2, 3, 3] = SCHEME["spleen"].id
    mask[0, 0, 0] = 255
    assert doubts(case.with_mask(mask)) == []
    assert doubts(case.with_mask(np.zeros_like(mask))) == []


def test_a_scheme_that_knows_only_pairs_is_audited_by_them() -> None:
    scheme = LabelScheme.parse("id\tname\tpaired_with\n1\tleft thing\tright thing\n2\tright thing\tleft thing\n")
    case = phantom(0)
    mask = np.zeros_like(case.mask)
    mask[10:15, 20:25, 5:10], mask[60:65, 20:25, 5:10] = 2, 1
    (doubt,) = audit(mask, case.geometry, anatomy_of(scheme))
    assert doubt.text.endswith("mm right of right_thing")
