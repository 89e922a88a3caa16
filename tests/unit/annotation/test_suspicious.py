"""Each reason to look at an annotation, with constructed masks."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mrseg_label.annotation.compared_models import compare_audits
from mrseg_label.annotation.suspicious import Overlap, find_suspicious
from mrseg_label.catalog.queries.compared_masks import Mask
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.held_out import CaseScores
from mrseg_label.catalog.queries.model_audits import Audited
from mrseg_label.catalog.queries.suspicions import total_score

USUAL = Mask("", "abdomen", "r2", False, 0.012, 8000, 700.0, False, ())
MASKS = [
    replace(USUAL, id=f"an-{index}", edited_voxels=7000 + 200 * index, voxels={"liver": 100_000 + 4000 * index, "spleen": 15_000})
    for index in range(12)
]  # fmt: skip


def reasons(*masks: Mask, scores: dict[str, float] | None = None) -> dict[str, list[tuple[str, str, str]]]:
    cases = {key: CaseScores(1, {"pancreas": value}, {}, frozenset()) for key, value in (scores or {}).items()}
    found = find_suspicious([*MASKS, *masks], "r3" if scores else None, cases)
    return {key: [(one.kind, one.structure, one.text) for one in some] for (_, key), some in found.items()}


def odd(**changes: object) -> Mask:
    return replace(MASKS[5], id="odd", **changes)  # type: ignore[arg-type]


def test_what_is_usual_is_not_suspicious() -> None:
    assert reasons() == {}


def test_a_volume_far_from_those_of_its_station() -> None:
    found = reasons(odd(voxels={"liver": 400_000, "spleen": 15_000}))
    ((kind, structure, text),) = found.pop("odd")
    assert not found and (kind, structure) == ("volume", "liver")
    assert text.startswith("4,800 ml, 3.2 times the median of 12 other masks of abdomen (1,4")
    # The same volume where nothing is known of the station.
    assert reasons(odd(voxels={"liver": 400_000, "spleen": 15_000}, station="pelvis")) == {}


def test_millilitres_are_compared_and_not_voxels() -> None:
    assert reasons(odd(voxels={"liver": 960_000, "spleen": 120_000}, voxel_ml=0.0015)) == {}


def test_an_empty_structure_that_its_station_should_have() -> None:
    found = reasons(odd(voxels={"liver": 120_000, "spleen": 0}))
    assert found == {"odd": [("empty", "spleen", "marked absent; 12 of 12 other masks of abdomen have it")]}
    assert reasons(odd(voxels={"liver": 120_000})) == {}, "not judged is not absent"
    both = [replace(odd(voxels={"liver": 120_000, "spleen": 0}), id=name) for name in ("odd", "odd-2")]
    assert reasons(*both) == {}, "where several have none, nobody can say that it should be there"


@pytest.mark.parametrize(("edited", "word"), [(0, "fewer"), (150_000, "more")])
def test_far_fewer_or_far_more_edits_than_of_other_drafts_of_the_model(edited: int, word: str) -> None:
    ((kind, structure, text),) = reasons(odd(edited_voxels=edited))["odd"]
    assert (kind, structure) == ("edits", "")
    assert text.startswith(f"{edited:,} voxels were changed, far {word} than the median of 12 other drafts of r2 (8,")
    assert reasons(odd(edited_voxels=edited, model_version="r1")) == {}, "of r1 nothing is known"
    assert reasons(odd(edited_voxels=edited, imported=True)) == {}


def test_edits_are_compared_over_stations_where_one_has_too_few() -> None:
    found = find_suspicious([replace(mask, station=f"s{index % 4}") for index, mask in enumerate(MASKS)] + [odd(edited_voxels=10**6)], None, {})  # fmt: skip
    assert [one.kind for one in found[MaskKind.ANNOTATION, "odd"]] == ["edits"]


def test_a_draft_accepted_unchanged_within_seconds() -> None:
    quick = odd(unchanged=True, seconds=12.4)
    assert reasons(quick) == {"odd": [("unchanged", "", "the draft of r2 was accepted unchanged after 12 s")]}
    for other in (odd(unchanged=True), odd(seconds=12.4), replace(quick, seconds=None), replace(quick, imported=True)):
        assert reasons(other) == {}


def test_the_newest_model_disagrees() -> None:
    scores = {mask.id: 0.80 + 0.005 * index for index, mask in enumerate(MASKS)}
    found = reasons(odd(), scores=scores | {"odd": 0.41, "withdrawn": 0.0})
    assert found == {"odd": [("model", "pancreas", "DSC 0.41 with r3, whose median over 13 other cases is 0.82")]} or (
        found["odd"][0][:2] == ("model", "pancreas") and list(found) == ["odd"]
    )
    assert reasons(odd(), scores={"odd": 0.1, "an-1": 0.9}) == {}, "too few"


def test_doubts_of_the_audit_come_first() -> None:
    found = reasons(odd(doubts=("left_kidney lies right",), edited_voxels=0))
    assert [one[0] for one in found["odd"]] == ["doubt", "edits"]


def placed(
    name: str,
    *,
    station: str = "abdomen",
    kind: MaskKind = MaskKind.ANNOTATION,
    changes: dict[str, Any] | None = None,
    **more: Any,
) -> Mask:
    """A mask of ten structures in a row, some 40 mm apart, all 10 ml; ``changes`` by structure, None to leave it out."""
    number, everything = zlib.crc32(name.encode()), (changes or {}) | more
    shapes: dict[str, dict[str, Any]] = {}
    for column in range(10):
        jitter = np.random.default_rng([number, column]).normal(0, 3, 3)
        center = (
            np.array([40.0 * column - 180, 10.0 * (column % 3), 25.0 * (column % 4)]) * (1 + number % 7 / 50) + jitter
        )
        shape = {"ml": 10.0, "center_mm": center.tolist(), "cut": [], "stray_ml": 0.0} | everything.get(
            f"s{column}", {}
        )
        if "moved_mm" in shape:
            shape["center_mm"] = (center + shape.pop("moved_mm")).tolist()
        if shape["ml"]:
            shapes[f"s{column}"] = shape
    voxels = (
        {f"s{column}": 1000 if f"s{column}" in shapes else 0 for column in range(10)}
        if kind is MaskKind.ANNOTATION
        else {}
    )
    grid = {"affine": np.diag([5.0, 5, 5, 1]).tolist(), "shape": [100, 40, 40]}
    grid["affine"][0][3], grid["affine"][1][3], grid["affine"][2][3] = -250.0, -90.0, -60.0
    return replace(USUAL, id=name, station=station, voxel_ml=0.01, edited_voxels=None, voxels=voxels, shapes=shapes, kind=kind, geometry=grid)  # fmt: skip


def found_in(odd: Mask, *others: Mask, pairs: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """The reasons to look at a mask among fourteen usual ones, of which there must be none to look at."""
    usual = [placed(f"u{number}") for number in range(14)]
    found = find_suspicious([*usual, odd, *others], None, {}, (), pairs)
    assert not {key for _, key in found} & {mask.id for mask in usual}
    return [(one.kind, one.structure, one.text) for one in found.get(odd.key, ())]


def test_a_structure_in_the_wrong_place() -> None:
    ((kind, structure, text),) = found_in(placed("odd", s4={"moved_mm": np.array([0, 0, 45.0])}))
    assert (kind, structure) == ("position", "s4")
    assert "mm from where other masks of abdomen show it, towards the head" in text
    # The whole body lies elsewhere in the scanner: nothing is in the wrong place.
    assert found_in(placed("odd", changes={f"s{one}": {"moved_mm": np.array([0, 0, 45.0])} for one in range(10)})) == []
    # Along an axis on which the field of view cuts it, its centre says nothing.
    assert found_in(placed("odd", s4={"moved_mm": np.array([0, 0, 45.0]), "cut": [2]})) == []
    # A draft is compared with the annotations.
    draft = placed("odd", kind=MaskKind.DRAFT, s4={"moved_mm": np.array([0, -60.0, 0])})
    assert [one[:2] for one in found_in(draft)] == [("position", "s4")]


def test_two_structures_in_each_others_place() -> None:
    usual = placed("odd").shapes
    assert usual is not None
    exchanged = {one: {"center_mm": usual[other]["center_mm"]} for one, other in (("s4", "s5"), ("s5", "s4"))}
    found = found_in(placed("odd", changes=exchanged))
    assert [one[:2] for one in found] == [("position", "s4"), ("position", "s5")]
    assert found[0][2] == "it lies where s5 is expected, and that where this is: are the two exchanged?"


def test_parts_that_lie_apart() -> None:
    ((kind, structure, text),) = found_in(placed("odd", s2={"stray_ml": 6.0}))
    assert (kind, structure) == ("stray", "s2") and text.startswith(
        "6.0 ml of it lie apart from the rest; the median of 14"
    )
    assert found_in(placed("odd", s2={"stray_ml": 1.0})) == []


def test_a_structure_is_missed_only_where_the_field_of_view_shows_its_place() -> None:
    missing = placed("odd", s9={"ml": 0.0})
    assert found_in(missing) == [("empty", "s9", "marked absent; 14 of 14 other masks of abdomen have it")]
    assert found_in(replace(missing, geometry={**missing.geometry, "shape": [80, 40, 40]})) == []
    # A draft lacks it: that says something only if its model knows it.
    draft = placed("odd", kind=MaskKind.DRAFT, s9={"ml": 0.0})
    assert found_in(draft) == []
    alike = [placed(f"d{number}", kind=MaskKind.DRAFT) for number in range(3)]
    assert found_in(draft, *alike) == [("empty", "s9", "not in the draft; 14 of 14 other masks of abdomen have it")]


def test_a_structure_is_missed_beside_its_counterpart() -> None:
    without_both = [placed(f"n{number}", s8={"ml": 0.0}, s9={"ml": 0.0}) for number in range(3)]
    missing = placed("odd", s9={"ml": 0.0})
    assert found_in(missing, *without_both) == [], "of all others 14 of 17 have it"
    ((kind, structure, text),) = found_in(missing, *without_both, pairs={"s9": "s8", "s8": "s9"})
    assert (kind, structure) == ("empty", "s9") and "14 of 14 other masks of abdomen and also show s8 have it" in text


def overlapping(dsc: float, first: float, second: float, odd: Mask) -> dict[str, list[tuple[str, str]]]:
    """The reasons of an abdomen and of the pelvis of the same participant that overlap."""
    other = placed("pelvis", station="pelvis")
    overlap = Overlap(odd.key, other.key, {"s3": {"dsc": dsc, "ml": [first, second]}})
    found = find_suspicious([*(placed(f"u{number}") for number in range(14)), odd, other], None, {}, [overlap])
    return {key: [(one.kind, one.structure) for one in reasons] for (_, key), reasons in found.items()}


def test_a_neighbouring_station_shows_a_structure_elsewhere() -> None:
    both = {"odd": [("neighbour", "s3")], "pelvis": [("neighbour", "s3")]}
    assert overlapping(0.1, 20.0, 3.0, placed("odd")) == both
    assert overlapping(0.8, 20.0, 18.0, placed("odd")) == {}
    assert overlapping(0.0, 1.5, 0.0, placed("odd")) == {}, "too little"
    not_judged = placed("odd")
    not_judged.voxels.pop("s3")
    assert overlapping(0.0, 0.0, 20.0, not_judged) == {}
    # If one of the two is odd in itself, it is that one.
    moved = overlapping(0.1, 20.0, 3.0, placed("odd", s3={"moved_mm": np.array([0, 0, 50.0])}))
    assert moved == {"odd": [("position", "s3"), ("neighbour", "s3")]}


def at_a_seam(odd: Mask, *, of: int, ml: tuple[float, float] | None = None) -> dict[str, list[tuple[str, str, str]]]:
    """The reasons of an abdomen and of the pelvis of the same participant, of which one has a structure up to its edge."""
    other = placed("pelvis", station="pelvis")
    seam = {"structure": "s3", "of": of, "towards": ("foot", "head")[of], "mm2": 321.0}
    structures = {} if ml is None else {"s3": {"dsc": 0.0, "ml": list(ml)}}
    overlap = Overlap(odd.key, other.key, structures, [seam])
    found = find_suspicious([*(placed(f"u{number}") for number in range(14)), odd, other], None, {}, [overlap])
    return {key: [(one.kind, one.structure, one.text) for one in reasons] for (_, key), reasons in found.items()}


def test_a_structure_that_ends_at_a_seam() -> None:
    found = at_a_seam(placed("odd"), of=0)
    assert list(found) == ["pelvis"], "the mask that does not go on with it"
    ((kind, structure, text),) = found["pelvis"]
    assert (kind, structure) == ("seam", "s3") and "the mask of abdomen has 321 mm² of it at its lower edge" in text
    ((_, _, text),) = at_a_seam(placed("odd"), of=1)["odd"]
    assert "the mask of pelvis has 321 mm² of it at its upper edge" in text
    # If the mask that has it is odd in itself about the structure, it is that one.
    moved = at_a_seam(placed("odd", s3={"moved_mm": np.array([0, 0, 50.0])}), of=0)
    assert {key: [one[0] for one in reasons] for key, reasons in moved.items()} == {"odd": ["position", "seam"]}
    assert "has nothing of it" in moved["odd"][1][2]
    # A large overlap says the same, and once is enough.
    both = at_a_seam(placed("odd"), of=0, ml=(20.0, 0.0))
    assert {key: [one[0] for one in reasons] for key, reasons in both.items()} == {
        "odd": ["neighbour"],
        "pelvis": ["neighbour"],
    }
    not_judged = placed("odd")
    not_judged.voxels.pop("s3")
    assert at_a_seam(not_judged, of=1) == {}


def test_more_reasons_and_stronger_ones_come_first() -> None:
    strong, weak = (find_suspicious([*(placed(f"u{number}") for number in range(14)), mask], None, {})[mask.key] for mask in (
        placed("odd", s4={"moved_mm": np.array([0, 0, 90.0])}, s2={"stray_ml": 9.0}), placed("odd", s2={"stray_ml": 9.0})))  # fmt: skip
    assert 0 < total_score(weak) < total_score(strong) < 1
    assert total_score([*weak, *weak]) > total_score(weak) and total_score([]) == 0


def test_a_model_is_compared_within_a_station_and_not_about_remnants_at_the_edge() -> None:
    def audit(dsc: float, drawn: float, made: float) -> Audited:
        return Audited(False, {"liver": {"dsc": dsc, "hd95_mm": 5.0, "ml": [drawn, made]}})

    audits = {f"a{number}": audit(0.9, 1400.0, 1400.0) for number in range(12)}
    pelvis = {f"p{number}": audit(0.5, 1000.0, 900.0) for number in range(12)}
    stations = {key: "abdomen" if key.startswith("a") else "pelvis" for key in (*audits, *pelvis, "a-odd", "a-edge")}
    odd, edge = audit(0.4, 1400.0, 500.0), audit(0.0, 8.0, 0.5)
    found = dict(compare_audits("r1", audits | pelvis | {"a-odd": odd, "a-edge": edge}, stations))
    assert list(found) == ["a-odd"], "all of the pelvis are as bad, and little is left of a liver at the edge"
    assert found["a-odd"].text == "DSC 0.40 with r1, whose median over 12 other cases is 0.90"
