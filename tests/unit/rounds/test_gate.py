"""What is promoted, and why: noise, groups that get worse, stray voxels, and labels that favour one of the two."""

from __future__ import annotations

import pytest

from mrseg_label.catalog.queries.held_out import CaseOrigin, over_same_cases
from mrseg_label.catalog.tables import Evaluation
from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.registry.compare import Comparison, compare_over
from mrseg_label.registry.draft_advantage import DraftAdvantage
from mrseg_label.rounds.gate import Rule, as_document, decide

SCHEME = LabelScheme((Structure(1, "liver", "organs"), Structure(2, "aorta", "vessels")))
Case = tuple[str, dict[str, float], dict[str, float]]  # participant, DSC of the current model and of the new one


def compared(
    cases: list[Case],
    drafted: dict[int, str] | None = None,
    stray: dict[str, dict[str, float]] | None = None,
    advantage: DraftAdvantage | None = None,
) -> Comparison:
    """Compare new with old; ``stray`` is the volume of false positives of every case, by version."""
    rows = {
        version: [
            Evaluation(
                model_version=version, annotation_id=f"an-{k:02}", examination_id="ex", dsc=case[place],
                apart={"false_positive_ml": (stray or {}).get(version, {})},
            )
            for k, case in enumerate(cases)
        ]
        for place, version in ((1, "old"), (2, "new"))
    }  # fmt: skip
    origins = {f"an-{k:02}": CaseOrigin(case[0], (drafted or {}).get(k)) for k, case in enumerate(cases)}
    return compare_over(over_same_cases(rows), ("old", "new"), origins, SCHEME, advantage)


def better_by(liver: float, aorta: float = 0.0, participants: int = 8) -> list[Case]:
    """Cases of as many participants, each a little different."""
    return [
        (f"p{k}", {"liver": 0.8, "aorta": 0.6}, {"liver": 0.8 + liver + 0.001 * k, "aorta": 0.6 + aorta})
        for k in range(participants)
    ]


def test_a_clear_improvement_is_promoted_by_every_rule_but_by_hand() -> None:
    found = compared(better_by(0.03))
    decisions = {rule: decide(found, rule, 0.05) for rule in ("better", "clear", "manual")}
    assert {rule: one.promoted for rule, one in decisions.items()} == {"better": True, "clear": True, "manual": False}
    assert not decisions["better"].uncertain and decisions["better"].reason.startswith("better: mean DSC")
    assert "p = 0.0078" in decisions["better"].reason and "PROMOTION is manual" in decisions["manual"].reason
    document = as_document(found, decisions["better"], 0.05)
    assert document["difference"]["participants"] == 8 and document["groups"].keys() == {"organs", "vessels"}


@pytest.mark.parametrize(("rule", "promoted"), [("better", True), ("clear", False), ("manual", False)])
def test_too_few_participants_cannot_tell(rule: Rule, promoted: bool) -> None:
    decision = decide(compared(better_by(0.1, participants=3)), rule, 0.05)
    assert decision.promoted is promoted and decision.uncertain
    assert "over 3 participants, too few to tell (at least 6)" in decision.reason


def test_a_worse_mean_and_a_worse_group_are_not_promoted() -> None:
    worse = decide(compared(better_by(-0.03)), "better", 0.05)
    assert not worse.promoted and not worse.uncertain and worse.reason.startswith("not better")
    group = compared(better_by(0.2, -0.06))
    decision = decide(group, "better", 0.05)
    assert not decision.promoted and "group 'vessels' are worse by 0.060 (margin 0.050)" in decision.reason
    assert decide(group, "better", 0.1).promoted


def test_stray_voxels_do_not_reject_a_better_model_but_litres_do() -> None:
    few = compared(better_by(0.03), stray={"new": {"spleen": 0.02}})
    assert decide(few, "better", 0.05).promoted and few.false_positive_ml.mean == pytest.approx(0.02)
    many = compared(better_by(0.03), stray={"new": {"spleen": 40.0}, "old": {"colon": 1.0}})
    decision = decide(many, "better", 0.05)
    assert not decision.promoted and "39.0 ml more false positives" in decision.reason
    assert decide(compared(better_by(0.03), stray={"old": {"colon": 90.0}}), "better", 0.05).promoted


def test_labels_drafted_by_one_of_the_two_are_left_out_where_enough_others_remain() -> None:
    """The current model seems better on labels that were corrected from its own drafts."""
    cases = [*better_by(0.02, 0.02, 3), *((f"q{k}", {"liver": 0.9}, {"liver": 0.8}) for k in range(3))]
    drafted = {3: "old", 4: "old", 5: "old"}
    fair = compared(cases, drafted | {0: "bootstrap"})
    assert (fair.cases, fair.left_out_as_drafted, fair.drafted_by_these) == (3, 3, 0)
    assert decide(fair, "better", 0.05).promoted
    assert not decide(compared(cases), "better", 0.05).promoted
    most = compared(cases, dict.fromkeys(range(4), "old"))
    assert (most.cases, most.left_out_as_drafted, most.drafted_by_these) == (6, 0, 4)
    assert "4 of the labels were corrected from drafts by one of the two" in decide(most, "better", 0.05).reason


LINEAGES = DraftAdvantage(0.08, {"old": ("old", "older"), "new": ("new", "old", "older")})


@pytest.mark.parametrize(
    ("drafter", "advantage"),
    [(None, 0.0), ("bootstrap", 0.0), ("new", 0.0 - 0.08), ("old", 0.08 - 0.02), ("older", 0.02 - 0.005)],
)
def test_the_advantage_of_drafts_is_taken_off(drafter: str | None, advantage: float) -> None:
    """A label favours the model that drafted it, and a fourth as much each model that was trained from that in turn."""
    drafted = {} if drafter is None else dict.fromkeys(range(8), drafter)
    found = compared(better_by(-0.02, -0.02), drafted, advantage=LINEAGES)
    assert found.draft_advantage == pytest.approx(advantage)
    assert found.difference.mean is not None and found.corrected.mean is not None and found.corrected.low is not None
    assert found.corrected.mean - found.difference.mean == pytest.approx(advantage)
    decision = decide(found, "clear", 0.05)
    assert decision.promoted is (found.corrected.low > 0) is (drafter == "old")
    assert ("which favours old by about 0.060" in decision.reason) is (drafter == "old")
    assert as_document(found, decision, 0.05)["draft_advantage"] == found.draft_advantage


def test_a_group_may_be_worse_by_the_advantage_of_drafts_and_the_margin() -> None:
    cases = better_by(0.2, -0.1)
    assert not decide(compared(cases), "better", 0.05).promoted
    found = compared(cases, dict.fromkeys(range(8), "old"), advantage=LINEAGES)
    assert decide(found, "better", 0.05).promoted and not decide(found, "better", 0.03).promoted


def test_only_cases_that_are_compared_and_people_as_a_whole_count_in_the_advantage() -> None:
    """Of one participant with two labels, each counts half; a case without a structure that counts does not at all."""
    cases: list[Case] = [("p0", {"liver": 0.8}, {"liver": 0.8}), ("p0", {"liver": 0.8}, {"liver": 0.8})]
    cases += [("p1", {"liver": 0.8}, {"liver": 0.8}), ("p2", {}, {})]
    found = compared(cases, {0: "older", 3: "older"}, {"new": {"spleen": 1.0}, "old": {}}, LINEAGES)
    assert found.draft_advantage == pytest.approx(0.015 / 4) == found.corrected.mean


def test_nothing_in_common_is_not_promoted() -> None:
    decision = decide(compared([]), "better", 0.05)
    assert not decision.promoted and decision.uncertain
