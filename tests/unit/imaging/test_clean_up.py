"""Clean-up of drafts: constructed errors are mended, and true masks stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, reorient
from mrseg_label.imaging.anatomy import Anatomy, Pair
from mrseg_label.imaging.changes import Step
from mrseg_label.imaging.clean_up import CleanedUp, clean_up
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from tests.support.axis_orders import AXIS_ORDERS
from tests.support.phantom_masks import ANATOMY, SCHEME, Masked, phantom, with_sides_swapped

STATIONS = ("abdomen", "pelvis")
STRAY = (slice(69, 73), slice(2, 6), slice(5, 8))  # in the fat of the back, right, far from the spleen


def cleaned(case: Masked, *steps: Step, with_image: bool = True) -> CleanedUp:
    return clean_up(case.mask, case.geometry, ANATOMY, case.image if with_image else None, steps or tuple(Step), ())


def wrong(case: Masked, truth: Masked, *steps: Step, with_image: bool = True) -> int:
    """Voxels that differ from the truth after the clean-up."""
    return int(np.count_nonzero(cleaned(case, *steps, with_image=with_image).label_map != truth.mask))


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("with_image", [True, False])
def test_true_masks_stay_as_they_are(station: str, with_image: bool) -> None:
    case = phantom(0, station)
    result = cleaned(case, with_image=with_image)
    assert not result.changes
    assert result.label_map is case.mask


@pytest.mark.soak
@pytest.mark.parametrize("seed", [11, 12])
def test_true_masks_of_many_participants_stay_as_they_are(seed: int) -> None:
    for index in range(5):
        for station in STATIONS:
            case = phantom.__wrapped__(index, station, seed, ("in", "water", "opp", "t1", "ct")[index], coarse=False)
            found = [change.text for change in cleaned(case).changes]
            assert found == [], f"participant {index} of {seed}, {station}"
            middle = case.mask.shape[0] // 2
            for side in (slice(0, middle + 4), slice(middle - 4, None)):
                seen = case.part(side)
                found = [change.text for change in cleaned(seen, Step.SIDES, Step.EDGES).changes]
                assert found == [], f"one side of participant {index} of {seed}, {station}"


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("with_image", [True, False])
def test_all_sides_swapped_are_swapped_back(station: str, with_image: bool) -> None:
    truth = phantom(0, station)
    case = truth.with_mask(with_sides_swapped(truth.mask))
    before = np.count_nonzero(case.mask != truth.mask)
    assert wrong(case, truth, with_image=with_image) < 0.01 * before


@pytest.mark.parametrize("name", ["right_kidney", "left_lung", "left_iliopsoas_muscle"])
def test_one_structure_under_the_name_of_the_other_side_gets_its_own(name: str) -> None:
    truth = phantom(0)
    own = SCHEME[name]
    case = truth.with_mask(np.where(truth.mask == own.id, SCHEME[own.paired_with or ""].id, truth.mask))
    assert wrong(case, truth) <= 3
    (change,) = [one for one in cleaned(case).changes if one.step is Step.SIDES]
    assert (change.structure, change.became) == (own.paired_with, name)
    assert f"became {name}" in change.text


def test_half_of_an_organ_under_the_name_of_the_other_side_gets_its_own() -> None:
    truth = phantom(0)
    kidney = np.argwhere(truth.mask == SCHEME["left_kidney"].id)
    middle = int(np.median(kidney[:, 2]))
    mask = truth.mask.copy()
    lower = mask[:, :, :middle]
    lower[lower == SCHEME["left_kidney"].id] = SCHEME["right_kidney"].id
    assert wrong(truth.with_mask(mask), truth) == 0


def test_both_sides_under_one_name_are_divided_at_the_midline() -> None:
    """The two glutei touch in no phantom, so a bridge makes one component of both."""
    truth = phantom(0, "pelvis")
    left, right = SCHEME["left_gluteus_maximus"].id, SCHEME["right_gluteus_maximus"].id
    mask = np.where(truth.mask == right, left, truth.mask)
    places = np.argwhere(mask == left)
    j, k = (int(np.median(places[:, axis])) for axis in (1, 2))
    row = mask[:, j, k]
    row[row == 0] = left
    case = truth.with_mask(mask)
    mended = cleaned(case, Step.SIDES).label_map
    assert np.count_nonzero((mended != truth.mask) & (truth.mask == right)) == 0
    assert np.count_nonzero((mended != truth.mask) & (truth.mask == left)) == 0


@pytest.mark.parametrize("station", STATIONS)
@pytest.mark.parametrize("left_half", [True, False])
def test_sides_are_resolved_where_one_side_alone_is_seen(station: str, left_half: bool) -> None:
    truth = phantom(0, station)
    middle = truth.mask.shape[0] // 2
    truth = truth.part(slice(0, middle + 3) if left_half else slice(middle - 3, None))
    case = truth.with_mask(with_sides_swapped(truth.mask))
    before = np.count_nonzero(case.mask != truth.mask)
    assert wrong(case, truth, Step.SIDES) < 0.05 * before
    assert wrong(truth, truth, Step.SIDES) == 0
    # Without the spine the skin on one side tells it, less surely: nothing that is right is made wrong.
    alone, swapped = truth.without("spine", "sacrum"), case.without("spine", "sacrum")
    assert wrong(alone, alone, Step.SIDES) == 0
    result = cleaned(swapped, Step.SIDES)
    assert result.midline is not None
    assert result.midline.evidence == "the outline of one side of the body"
    assert np.count_nonzero(result.label_map != alone.mask) < 0.5 * before


def test_ties_are_left_alone() -> None:
    """A part in the midline, and everything where nothing tells where the midline is."""
    truth = phantom(0)
    mask = np.where(np.isin(truth.mask, [SCHEME["left_kidney"].id, SCHEME["right_kidney"].id]), 0, truth.mask)
    spine = np.argwhere(mask == SCHEME["spine"].id)
    i, k = (int(np.median(spine[:, axis])) for axis in (0, 2))
    mask[i : i + 3, -4:-1, k : k + 3] = SCHEME["right_kidney"].id
    case = truth.with_mask(mask)
    assert wrong(case, case, Step.SIDES) == 0
    swapped = case.with_mask(with_sides_swapped(truth.mask)).without("spine", "sacrum")
    result = cleaned(swapped, Step.SIDES, with_image=False)
    assert not result.changes
    assert result.notes == ("sides are left alone: nothing tells where the midline of the body is",)


def test_sides_of_one_leg_are_left_alone() -> None:
    """Its outline is round: its middle is not the midline of the body."""
    x, y, _ = np.meshgrid(*(np.arange(n) for n in (60, 60, 20)), indexing="ij")
    leg = (x - 30) ** 2 + (y - 30) ** 2 < 400
    image = np.where(leg, 500, 0).astype(np.int16) + np.random.default_rng(0).integers(0, 9, leg.shape).astype(np.int16)
    mask = np.where(leg & (x > 36), SCHEME["left_femur"].id, 0).astype(np.uint8)
    case = Masked(image, mask, Geometry((60, 60, 20), np.diag((4.0, 4.0, 6.0, 1.0))))
    assert not cleaned(case, Step.SIDES).changes


def test_a_draft_of_a_mirrored_image_keeps_its_sides() -> None:
    """The orientation in the file is wrong, not the sides: what pairs alone would say is not mended into the mask."""
    truth = phantom(0)
    case = truth.with_mask(truth.mask[::-1])
    result = cleaned(case, Step.SIDES)
    assert not result.changes
    assert result.notes == ("sides are left alone: the whole draft looks mirrored left to right",)


def test_a_false_spine_alone_moves_no_organ_to_the_other_side() -> None:
    """Both kidneys on one side of it, but in the right order: two things contradict each other, so nothing is moved."""
    truth = phantom(0).without("spine", "sacrum", "liver", "spleen", "stomach", "gallbladder")
    mask = truth.mask.copy()
    mask[6:9, 20:26, 5:35] = SCHEME["spine"].id
    result = cleaned(truth.with_mask(mask), Step.SIDES, with_image=False)
    assert "right_kidney" not in {change.structure for change in result.changes}
    assert any("left_kidney and right_kidney are left alone" in note for note in result.notes)
    # The outline of the body knows better.
    assert not cleaned(truth.with_mask(mask), Step.SIDES).changes


def test_a_stray_part_is_removed_and_said() -> None:
    truth = phantom(0)
    mask = truth.mask.copy()
    box = STRAY
    assert not mask[box].any()
    mask[box] = SCHEME["spleen"].id
    result = cleaned(truth.with_mask(mask))
    assert np.array_equal(result.label_map, truth.mask)
    assert result.record()["changes"] == [
        {
            "step": "components",
            "structure": "spleen",
            "became": None,
            "voxels": 48,
            "text": "48 voxels of spleen removed: stray, away from the rest of it",
        }
    ]
    assert result.record()["voxels"] == 48


def test_a_kidney_on_the_wrong_side_becomes_the_other_one_before_it_could_be_stray() -> None:
    truth = phantom(0)
    mask = np.where(truth.mask == SCHEME["left_kidney"].id, SCHEME["right_kidney"].id, truth.mask)
    steps = {change.step for change in cleaned(truth.with_mask(mask)).changes}
    assert steps == {Step.SIDES}
    assert wrong(truth.with_mask(mask), truth) == 0


BLOCKS = Geometry((40, 30, 30), np.diag((4.0, 4.0, 4.0, 1.0)))
ONE, MANY = 1, 2
PLAIN = Anatomy(names=("organ", "bowel"), in_one_piece=frozenset({ONE}))


def blocks(label: int, *boxes: tuple[slice, slice, slice]) -> NDArray[np.uint8]:
    mask = np.zeros(BLOCKS.shape, dtype=np.uint8)
    for box in boxes:
        mask[box] = label
    return mask


LARGE = (slice(5, 15), slice(5, 15), slice(5, 15))


@pytest.mark.parametrize(
    ("label", "other", "kept"),
    [
        pytest.param(ONE, (slice(30, 33), slice(20, 23), slice(20, 23)), False, id="small and far"),
        pytest.param(ONE, (slice(17, 20), slice(10, 13), slice(10, 13)), True, id="near: the same organ behind a gap"),
        pytest.param(ONE, (slice(28, 37), slice(18, 27), slice(18, 27)), True, id="as large: a tie"),
        pytest.param(ONE, (slice(34, 40), slice(20, 26), slice(20, 26)), True, id="cut by the edge of the image"),
        pytest.param(ONE, (slice(39, 40), slice(20, 22), slice(20, 22)), False, id="a crumb at the edge of the image"),
        pytest.param(MANY, (slice(30, 33), slice(20, 23), slice(20, 23)), True, id="a loop"),
        pytest.param(MANY, (slice(30, 31), slice(20, 22), slice(20, 22)), True, id="a few voxels of bowel"),
    ],
)
def test_which_components_are_stray(label: int, other: tuple[slice, slice, slice], kept: bool) -> None:
    mask = blocks(label, LARGE, other)
    result = clean_up(mask, BLOCKS, PLAIN, steps=[Step.COMPONENTS]).label_map
    assert bool(result[other].all()) is kept
    assert result[LARGE].all()


def test_padding_and_sheets_at_the_edge_hold_nothing() -> None:
    image = np.random.default_rng(0).integers(100, 900, BLOCKS.shape).astype(np.int16)
    image[:, :, :4] = 0
    mask = blocks(ONE, LARGE, (slice(20, 38), slice(2, 28), slice(3, 5)))
    result = clean_up(mask, BLOCKS, PLAIN, image, [Step.EDGES]).label_map
    assert not result[:, :, :4].any(), "padding"
    assert not result[20:, :, 4].any(), "a sheet in the first layer that shows anything"
    whole = blocks(ONE, LARGE)
    assert np.array_equal(clean_up(whole, BLOCKS, PLAIN, image, [Step.EDGES]).label_map, whole)
    cap = blocks(ONE, (slice(12, 20), slice(12, 20), slice(29, 30)))
    assert np.array_equal(clean_up(cap, BLOCKS, PLAIN, image, [Step.EDGES]).label_map, cap), "the tip of an organ"


def test_nothing_floats_in_the_air() -> None:
    truth = phantom(0)
    mask = truth.mask.copy()
    mask[2:5, -5:-2, 10:13] = SCHEME["heart"].id
    assert wrong(truth.with_mask(mask), truth, Step.EDGES) == 0
    at_edge = truth.mask.copy()
    at_edge[0:3, -5:-2, 10:13] = SCHEME["heart"].id
    case = truth.with_mask(at_edge)
    assert wrong(case, case, Step.EDGES) == 0, "where the image ends, lung may look like air"


def test_ct_without_values_outside_of_the_circle_holds_nothing_there() -> None:
    image = np.random.default_rng(0).integers(-90, 90, BLOCKS.shape).astype(np.int16)
    image[:3] = -3024
    image[:3, 0] = -1000
    mask = blocks(ONE, LARGE, (slice(0, 3), slice(5, 8), slice(5, 8)))
    result = clean_up(mask, BLOCKS, PLAIN, image, [Step.EDGES]).label_map
    assert not result[:3].any()
    assert result[LARGE].all()


def test_structures_that_cannot_lie_in_the_station_are_removed() -> None:
    case = phantom(0)
    heart = SCHEME["heart"].id
    result = clean_up(case.mask, case.geometry, ANATOMY, None, [Step.PLACES], {heart, SCHEME["left_femur"].id})
    assert np.array_equal(result.label_map, np.where(case.mask == heart, 0, case.mask))
    assert [(change.step, change.structure) for change in result.changes] == [(Step.PLACES, "heart")]


def test_each_step_is_optional() -> None:
    truth = phantom(0)
    mask = with_sides_swapped(truth.mask)
    mask[STRAY] = SCHEME["spleen"].id
    case = truth.with_mask(mask)
    assert cleaned(case, Step.EDGES).label_map is case.mask
    assert {change.step for change in cleaned(case, Step.SIDES).changes} == {Step.SIDES}
    assert {change.structure for change in cleaned(case, Step.COMPONENTS).changes} == {"spleen"}
    nothing = clean_up(case.mask, case.geometry, ANATOMY, case.image, [])
    assert nothing.label_map is case.mask
    assert nothing.record() == {"steps": [], "voxels": 0, "changes": [], "notes": []}


@pytest.mark.parametrize("axcodes", [AXIS_ORDERS[0], "PIR", "ASL", "SLA", pytest.param("all", marks=pytest.mark.soak)])
def test_every_axis_order_gives_the_same_mask(axcodes: str) -> None:
    """The phantom is tilted, so this holds for oblique images too."""
    truth = phantom(0)
    mask = with_sides_swapped(truth.mask)
    mask[STRAY] = SCHEME["spleen"].id
    case = truth.with_mask(mask)
    expected = cleaned(case).label_map
    for codes in AXIS_ORDERS if axcodes == "all" else (axcodes,):
        turned, grid = reorient(case.mask, case.geometry, codes)
        image, _ = reorient(case.image, case.geometry, codes)
        result = clean_up(np.asfortranarray(turned), grid, ANATOMY, image).label_map
        assert np.array_equal(reorient(result, grid)[0], expected), codes


def test_an_empty_draft_and_one_of_a_single_slice_stay() -> None:
    case = phantom(0)
    empty = case.with_mask(np.zeros_like(case.mask))
    assert wrong(empty, empty) == 0
    slice_ = case.part(slice(None), slice(None), slice(20, 21))
    assert wrong(slice_, slice_) == 0


def test_other_schemes_have_sides_too() -> None:
    text = "id\tname\tpaired_with\ttotalsegmentator_total_ids\n1\tNiere links\tNiere rechts\t3\n2\tNiere rechts\tNiere links\t2\n3\tWirbel\t\t27\n4\tMilz\t\t1\n"
    anatomy = anatomy_of(LabelScheme.parse(text))
    assert anatomy.pairs == (Pair(1, 2),)
    assert 4 in anatomy.in_one_piece, "known as TotalSegmentator's spleen"
    assert anatomy.orders == ()
    nameless = LabelScheme.parse("id\tname\tpaired_with\n1\ta\tb\n2\tb\ta\n")
    assert anatomy_of(nameless).pairs == (), "nobody knows which is the left one"
