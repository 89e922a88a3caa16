"""Cases are assigned in the order that the strategy promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.queries.upcoming import STRATEGIES
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, ModelVersion, Presegmentation
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, CaseRole, ModelStatus
from mrseg_label.clock import now
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.worklist.service import assign_next_case
from tests.support.catalog_rows import add_round
from tests.support.worklist_cases import annotate, fill, make_queue, take


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def test_balanced_is_an_equal_mix_with_two_held_out_cases_first(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert Counter(row.station for row in rows) == {"abdomen": 4, "pelvis": 4}
        assert [row.participant.held_out for row in rows] == [True, True] + [False] * 6
        assert Counter(row.station for row in rows[:2]) == {"abdomen": 1, "pelvis": 1}


def test_each_batch_begins_with_held_out_cases_again(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    for case in [take(opened) for _ in range(8)]:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        add_round(session, 1, [(annotation, CaseRole.TRAINING) for annotation in session.query(Annotation)])
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == [True, True] + [False] * 6


def test_imported_masks_of_held_out_participants_do_not_count_in_a_batch(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    for case in [take(opened) for _ in range(2)]:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        assert all(
            session.get_one(Acquisition, row.acquisition_id).participant.held_out for row in session.query(Annotation)
        )
        for row in session.query(Annotation):
            row.author = row.client = IMPORT_AUTHOR
    cases = [take(opened) for _ in range(3)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == [True, True, False]


def test_held_out_cases_beyond_the_batch_come_last(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        held = [session.get_one(Acquisition, case.acquisition_id).participant.held_out for case in cases]
    assert held == [True, True, False, False, False, False, True, True]


@pytest.mark.parametrize("strategy", ["sequential", "random"])
def test_sequential_is_the_order_of_import_and_random_another_with_held_out_cases_first(
    opened: OpenedWorkspace, strategy: str
) -> None:
    fill(opened.catalog, 8, ("abdomen",))
    with opened.catalog.begin() as session:
        decide_held_out(session)
        key = Acquisition.created_at if strategy == "sequential" else Acquisition.shuffle
        rows = session.query(Acquisition).order_by(key, Acquisition.id).all()
        held_out = [row.id for row in rows if row.participant.held_out]
        others = [row.id for row in rows if not row.participant.held_out]
    assert len(held_out) == 2
    assert [take(opened, strategy).acquisition_id for _ in range(8)] == [*held_out, *others]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fifth_of_each_batch_is_held_out_also_before_the_snapshot_is_taken(
    opened: OpenedWorkspace, strategy: str
) -> None:
    fill(opened.catalog, 20)
    cases = [take(opened, strategy) for _ in range(24)]
    with opened.catalog.read() as session:
        held_out = [session.get_one(Acquisition, case.acquisition_id).participant.held_out for case in cases]
    assert held_out == ([True, True] + [False] * 6) * 3


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


def test_uncertainty_takes_the_case_on_which_two_models_disagree_most(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    fill(workspace.catalog, 3, ("abdomen",))
    grid = Geometry((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    with workspace.catalog.begin() as session:
        session.add(ModelVersion(version="v1", status=ModelStatus.RETIRED))
        session.flush()
        cases = session.query(Acquisition).order_by(Acquisition.created_at).all()
        for shift, case in enumerate(cases):
            for moment, version in enumerate(("bootstrap", "v1")):
                array = np.zeros(grid.shape, dtype=np.uint8)
                array[:, shift * moment : shift * moment + 2] = 1
                path = tmp_path / f"{case.id}-{version}.nii.gz"
                write_nifti(path, array, grid)
                stored = f"presegmentations/{path.name}"
                session.add(
                    Presegmentation(
                        acquisition_id=case.id,
                        examination_id=case.primary_examination_id,
                        model_version=version,
                        source="nnunet",
                        path=stored,
                        digest=workspace.put_file(stored, path),
                        created_at=now() + timedelta(seconds=moment),
                    )
                )
        ids = [case.id for case in cases]
    assert [take(opened, "uncertainty").acquisition_id for _ in range(3)] == ids[::-1]


def test_uncertainty_without_two_presegmentations_still_assigns_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    assert take(opened, "uncertainty")


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
        assert [row.participant.held_out for row in rows] == [True, True] + [False] * 6
        assert Counter(row.station for row in rows) == {"abdomen": 4, "pelvis": 4}
