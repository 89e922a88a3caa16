"""Cases are assigned in the order that the strategy promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.assignments import AssignmentFilter
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.queries.upcoming import STRATEGIES
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, ModelVersion, Presegmentation
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, CaseRole, ModelStatus
from mrseg_label.clock import now
from mrseg_label.errors import InvalidInput
from mrseg_label.reports.worklist import read_assignments
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.service import assign_next_case
from tests.support.catalog_rows import add_round
from tests.support.worklist_cases import annotate, fill, make_queue, take

# Which cases of a batch of eight are of held-out participants.
BATCH = [False, False, True, False, False, False, True, False]


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def test_balanced_is_an_equal_mix_with_two_held_out_cases_spread_over_it(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert Counter(row.station for row in rows) == {"abdomen": 4, "pelvis": 4}
        assert [row.participant.held_out for row in rows] == BATCH
        assert Counter(row.station for row in rows if row.participant.held_out) == {"abdomen": 1, "pelvis": 1}


def test_the_next_batch_has_its_held_out_cases_at_the_same_places(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    for case in [take(opened) for _ in range(8)]:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        add_round(session, 1, [(annotation, CaseRole.TRAINING) for annotation in session.query(Annotation)])
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == BATCH


def test_imported_masks_of_held_out_participants_do_not_count_in_a_batch(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    first = [take(opened) for _ in range(3)]
    assert [_is_held_out(opened, case) for case in first] == BATCH[:3]
    for case in first:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        for row in session.query(Annotation):
            row.author = row.client = IMPORT_AUTHOR
    assert [_is_held_out(opened, take(opened)) for _ in range(8)] == BATCH


def test_held_out_cases_beyond_the_batch_come_last(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        held = [session.get_one(Acquisition, case.acquisition_id).participant.held_out for case in cases]
    assert held == [*BATCH[:5], True, True, True]  # no other case is left for the sixth place


@pytest.mark.parametrize("strategy", ["sequential", "random"])
def test_sequential_is_the_order_of_import_and_random_another_of_either_kind(
    opened: OpenedWorkspace, strategy: str
) -> None:
    fill(opened.catalog, 8, ("abdomen",))
    with opened.catalog.begin() as session:
        decide_held_out(session)
        key = Acquisition.created_at if strategy == "sequential" else Acquisition.shuffle
        rows = session.query(Acquisition).order_by(key, Acquisition.id).all()
        of_kind = {kind: iter([row.id for row in rows if row.participant.held_out is kind]) for kind in (True, False)}
    assert [take(opened, strategy).acquisition_id for _ in range(8)] == [next(of_kind[kind]) for kind in BATCH]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fifth_of_each_batch_is_held_out_also_before_the_snapshot_is_taken(
    opened: OpenedWorkspace, strategy: str
) -> None:
    fill(opened.catalog, 20)
    cases = [take(opened, strategy) for _ in range(24)]
    with opened.catalog.read() as session:
        held_out = [session.get_one(Acquisition, case.acquisition_id).participant.held_out for case in cases]
    assert held_out == BATCH * 3


def test_balanced_begins_a_second_case_of_a_participant_after_those_of_others(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    cases = [take(opened) for _ in range(16)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        trained_on = [row.participant.code for row in rows if not row.participant.held_out]
    assert len(trained_on) == 12 and len(set(trained_on)) == 9
    assert len(set(trained_on[:8])) == 8


def test_unknown_strategy_is_refused(opened: OpenedWorkspace) -> None:
    with pytest.raises(InvalidInput, match="balanced, uncertainty, sequential, random"):
        assign_next_case(opened, Reader("c"), "first")


def test_uncertainty_takes_the_least_sure_draft_and_says_why(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 6, ("abdomen",))
    with opened.catalog.begin() as session:
        decide_held_out(session)
        cases = [row for row in session.query(Acquisition).order_by(Acquisition.key) if not row.participant.held_out]
        for place, case in enumerate(cases[:-1]):
            for version, value in (("bootstrap", 0.9 - place / 10), ("v1", place / 10)):
                if session.get(ModelVersion, version) is None:
                    session.add(ModelVersion(version=version, status=ModelStatus.RETIRED))
                    session.flush()
                session.add(
                    Presegmentation(
                        acquisition_id=case.id,
                        examination_id=case.primary_examination_id,
                        model_version=version,
                        source="nnunet",
                        path=f"presegmentations/{case.id}-{version}.nii.gz",
                        digest=case.id,
                        created_at=now() + timedelta(seconds=version == "v1"),  # the newest draft decides
                        details={
                            "uncertainty": {"disagreement": {"liver": value}, "softmax": {}, "sides": ["left_kidney"]}
                        },
                    )
                )
        ids = [case.id for case in cases]
    found = [chosen for _ in range(6) if not _is_held_out(opened, chosen := take(opened, "uncertainty"))]
    assert [chosen.acquisition_id for chosen in found] == [*ids[-2::-1], ids[-1]]
    assert found[0].reason == (
        "draft number 1 of 3 by uncertainty; sides of left kidney disputed by two sources; "
        "sources disagree most on liver (DSC 0.80)"
    )
    assert found[-1].reason.startswith("no other waiting draft tells how sure it is, so chosen as by balanced; rarest")


def test_uncertainty_without_drafts_still_assigns_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    assert take(opened, "uncertainty")


def test_balanced_mixes_stations_before_sequences_repeat(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    with opened.catalog.begin() as session:
        for number, row in enumerate(session.query(Acquisition).order_by(Acquisition.key)):
            row.sequence = ("in", "T1", "T2", "water")[number // 2 % 4]
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        others = [row for row in rows if not row.participant.held_out][:4]
        assert Counter(row.station for row in others) == {"abdomen": 2, "pelvis": 2}
        assert len({row.sequence for row in others}) == 4
        assert len({row.participant_id for row in rows}) == 8
    assert cases[2].reason == (
        "held-out participant, for the evaluation of the next round; nothing of held-out participants is annotated yet"
    )
    assert cases[0].reason == "nothing is annotated yet"
    assert cases[1].reason == "rarest station among the annotated: pelvis 0 of 1; no case of this participant"


def test_the_reason_is_kept_and_comes_back_with_the_case(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 8, ("abdomen",))
    first = take(opened, "sequential", "slicer", "ada")
    again = take(opened, "sequential", "slicer", "ada")
    assert (first.acquisition_id, again.reason) == (again.acquisition_id, f"it was still open; {first.reason}")
    page = read_assignments(opened.catalog, AssignmentFilter(), 5)
    assert [(item.strategy, item.reason) for item in page.items] == [("sequential", first.reason)]
    assert first.reason.endswith("next in the order of import")
    assert take(opened, "random").reason.endswith("next in the order drawn at import")


def _is_held_out(opened: OpenedWorkspace, case: AssignedCase) -> bool:
    with opened.catalog.read() as session:
        return bool(session.get_one(Acquisition, case.acquisition_id).participant.held_out)


def test_cases_that_await_review_count_as_begun(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    cases = [take(opened) for _ in range(3)]
    for case in cases:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        for row in session.query(Acquisition):
            row.annotated_at = None
        for annotation in session.query(Annotation):
            annotation.state = AnnotationState.SUBMITTED
    cases += [take(opened) for _ in range(5)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == BATCH
        assert Counter(row.station for row in rows) == {"abdomen": 4, "pelvis": 4}
