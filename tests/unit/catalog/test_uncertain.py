"""Cases are ranked by their drafts' uncertainty, every structure counting the same."""

from __future__ import annotations

from mrseg_label.catalog.draft_details import DraftUncertainty
from mrseg_label.catalog.queries.uncertain import rank


def disagreement(**values: float) -> DraftUncertainty:
    return DraftUncertainty(disagreement=values, softmax={})


def test_a_structure_that_no_model_draws_well_does_not_decide_alone() -> None:
    cases = {
        "gallbladder": disagreement(gallbladder=0.95, liver=0.02, spleen=0.03),
        "liver and spleen": disagreement(gallbladder=0.80, liver=0.06, spleen=0.08),
        "sure": disagreement(gallbladder=0.70, liver=0.01, spleen=0.02),
    }
    assert rank(cases) == ["liver and spleen", "gallbladder", "sure"]


def test_stations_are_compared_structure_by_structure() -> None:
    # Every structure of the pelvis is less sure than any of the abdomen; a case is uncertain among its own kind.
    cases = {
        "pelvis, sure": disagreement(hip=0.50, sacrum=0.55),
        "abdomen, unsure": disagreement(liver=0.10, spleen=0.12),
        "pelvis, unsure": disagreement(hip=0.60, sacrum=0.62),
        "abdomen, sure": disagreement(liver=0.02, spleen=0.03),
    }
    assert rank(cases) == ["abdomen, unsure", "pelvis, unsure", "pelvis, sure", "abdomen, sure"]


def test_both_kinds_of_evidence_count_and_either_may_be_missing() -> None:
    cases = {
        "disputed": DraftUncertainty(disagreement={"liver": 0.2}, softmax={"liver": 0.01}),
        "disputed and unsure": DraftUncertainty(disagreement={"liver": 0.3}, softmax={"liver": 0.02}),
        "network alone": DraftUncertainty(softmax={"liver": 0.03}),
        "nothing there": DraftUncertainty(disagreement={}, softmax={}),
    }
    assert rank(cases) == ["network alone", "disputed and unsure", "disputed", "nothing there"]
    assert rank({}) == []
