"""The source of each structure is the one that needs least correction, if enough participants say so."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mrseg_label.presegmentation.evidence import (
    MeasuredCase,
    Work,
    choose,
    compare,
    estimate_advantage,
)

OWN, OTHER, THIRD = "r2", "TotalSegmentator inverted", "r1"
OTHERWISE = 0.055  # the advantage where it cannot be estimated
KNOWS = {name: frozenset({"liver", "spleen"}) for name in (OWN, OTHER, THIRD)}


def work(dsc: float, ml: float = 100.0) -> Work:
    return Work(edited=(1 - dsc) * 2 * ml, drafted=ml, annotated=ml)


def case(
    participant: int,
    dsc: Mapping[str, float],
    *,
    drafted_by: str = "hand",
    sequence: str = "in",
    station: str = "abdomen",
    seen_by: tuple[str, ...] = (),
    structure: str = "liver",
) -> MeasuredCase:
    return MeasuredCase(
        participant=f"P{participant}",
        sequence=sequence,
        station=station,
        drafted_by={structure: drafted_by},
        work={source: {structure: work(value)} for source, value in dsc.items()},
        seen_by=frozenset(seen_by),
    )


def liver(cases: list[MeasuredCase], advantage: float = OTHERWISE, sequence: str = "in") -> str:
    return choose(cases, [OWN, OTHER, THIRD], KNOWS, ["liver"], sequence, "abdomen", advantage)["liver"].source


def test_the_own_source_is_kept_without_evidence_and_left_for_one_that_needs_clearly_less() -> None:
    better = [case(number, {OWN: 0.6, OTHER: 0.7 + number / 100, THIRD: 0.65}) for number in range(3)]
    assert liver([]) == OWN
    assert liver(better[:2]) == OWN  # too few participants
    assert liver([*better[:2], better[0]]) == OWN  # two cases of one participant are one
    assert liver(better) == OTHER
    chosen = choose(better, [OWN, OTHER], KNOWS, ["liver", "spleen"], "in", "abdomen", OTHERWISE)
    reason = chosen["liver"].reason
    assert reason is not None and reason.participants == 3 and reason.cases == "sequence and station"
    assert reason.saved == pytest.approx(1 - 0.29 / 0.4) and chosen["liver"].dsc == pytest.approx(0.71)
    assert chosen["spleen"].source == OWN and chosen["spleen"].dsc is None
    assert chosen["liver"].decided and not chosen["spleen"].decided
    few = choose(better[:2], [OWN, OTHER], KNOWS, ["liver"], "in", "abdomen", OTHERWISE)
    assert not few["liver"].decided and few["liver"].dsc is not None
    scattered = [case(number, {OWN: 0.6, OTHER: dsc}) for number, dsc in enumerate((0.9, 0.4, 0.55))]
    assert liver(scattered) == OWN  # better in the mean by less than its standard error


def test_a_source_is_charged_with_the_advantage_of_its_own_drafts() -> None:
    """Labels that began as the other's draft score it 0.04 too well: it is no better, and was found so on neutral labels."""
    favoured = [case(number, {OWN: 0.7, OTHER: 0.73}, drafted_by=OTHER) for number in range(4)]
    assert liver(favoured, advantage=0.0) == OTHER
    assert liver(favoured, advantage=0.04) == OWN
    neutral = [case(number, {OWN: 0.72, OTHER: 0.70}) for number in range(4, 7)]
    assert liver(favoured + neutral, advantage=0.0) == OWN  # where enough are neutral, they alone count
    against = [case(number, {OWN: 0.72, OTHER: 0.70}, drafted_by=OWN) for number in range(4)]
    assert liver(against, advantage=0.0) == OWN
    assert liver(against, advantage=0.04) == OTHER


def test_the_advantage_is_estimated_from_whose_draft_a_label_began_as() -> None:
    cases = []
    for structure in (f"structure {number}" for number in range(10)):
        for number in range(6):
            drafter = (OWN, OTHER)[number % 2]
            dsc = {OWN: 0.8 + 0.03 * (drafter == OWN), OTHER: 0.6 + 0.03 * (drafter == OTHER)}
            cases.append(case(number, dsc, drafted_by=drafter, structure=structure))
    assert estimate_advantage(cases, OTHERWISE) == pytest.approx(0.03)
    too_few = [one for one in cases if one.drafted_by.get("structure 0") is None]
    assert estimate_advantage(too_few, OTHERWISE) == estimate_advantage([], OTHERWISE) == OTHERWISE


def test_cases_that_a_model_was_trained_on_say_nothing_of_it() -> None:
    trained = [case(number, {OWN: 0.95, OTHER: 0.7}, seen_by=(OWN,)) for number in range(5)]
    unseen = [case(number, {OWN: 0.6, OTHER: 0.7}) for number in range(5, 8)]
    assert compare(trained, "liver", OWN, OTHER, "in", "abdomen", OTHERWISE) is None
    assert liver(trained + unseen) == OTHER


def test_a_sequence_and_station_decide_for_themselves_where_they_have_enough_cases() -> None:
    inside = [case(number, {OWN: 0.6, OTHER: 0.8}) for number in range(3)]
    water = [case(number, {OWN: 0.8, OTHER: 0.2}, sequence="water") for number in range(5)]
    assert liver(inside + water) == OTHER
    assert liver(inside + water, sequence="water") == OWN
    found = compare(
        inside[:2] + water, "liver", OWN, OTHER, "in", "abdomen", OTHERWISE
    )  # two cases of this sequence are too few
    assert found is not None and (found.cases, found.participants) == ("station", 5)
    elsewhere = [case(number, {OWN: 0.6, OTHER: 0.8}, station="thorax") for number in range(3)]
    found = compare(elsewhere, "liver", OWN, OTHER, "opp", "pelvis", OTHERWISE)
    assert found is not None and found.cases == "all"


def test_a_structure_that_a_source_does_not_know_is_left_to_one_that_does() -> None:
    knows = {OWN: frozenset({"liver"}), OTHER: frozenset({"spleen"})}
    chosen = choose([], [OWN, OTHER], knows, ["liver", "spleen", "heart"], "in", "abdomen", OTHERWISE)
    assert {name: one.source for name, one in chosen.items()} == {"liver": OWN, "spleen": OTHER, "heart": OWN}


def test_voxels_of_an_absent_structure_count_as_correction() -> None:
    absent: dict[str, dict[str, Work]] = {OWN: {}, OTHER: {"liver": Work(5.0, 5.0, 0.0)}}
    cases = [MeasuredCase(f"P{number}", "in", "abdomen", {}, absent) for number in range(3)]
    found = compare(cases, "liver", OTHER, OWN, "in", "abdomen", OTHERWISE)
    assert found is not None and found.clear and found.saved == 1.0
    assert liver(cases) == OWN
    swapped = {OWN: absent[OTHER], OTHER: absent[OWN]}
    assert liver([MeasuredCase(f"P{number}", "in", "abdomen", {}, swapped) for number in range(3)]) == OTHER
