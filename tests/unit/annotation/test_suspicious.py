"""Each reason to look at an annotation, with constructed masks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mrseg_label.annotation.suspicious import find_suspicious
from mrseg_label.catalog.queries.held_out import CaseScores
from mrseg_label.catalog.queries.suspicions import Mask

USUAL = Mask("", "abdomen", "r2", False, 0.012, 8000, 700.0, False, ())
MASKS = [
    replace(USUAL, id=f"an-{index}", edited_voxels=7000 + 200 * index, voxels={"liver": 100_000 + 4000 * index, "spleen": 15_000})
    for index in range(12)
]  # fmt: skip


def reasons(*masks: Mask, scores: dict[str, float] | None = None) -> dict[str, list[tuple[str, str, str]]]:
    cases = {key: CaseScores(1, {"pancreas": value}, {}, frozenset()) for key, value in (scores or {}).items()}
    found = find_suspicious([*MASKS, *masks], "r3" if scores else None, cases)
    return {key: [(one["kind"], one["structure"], one["text"]) for one in some] for key, some in found.items()}


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
    assert [one["kind"] for one in found["odd"]] == ["edits"]


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
