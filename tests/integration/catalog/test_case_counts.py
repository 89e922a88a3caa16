"""What the database counts while cases change is what there is, whoever changes them, and ``doctor`` mends what is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, case_counts, models, participants
from mrseg_label.catalog.tables import Acquisition, Annotation, CaseCount, RoundCase
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, CaseRole
from mrseg_label.clock import now
from mrseg_label.maintenance.checks.check import State
from mrseg_label.maintenance.checks.counts import check_counts
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant, add_round


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    """A workspace with an empty catalogue."""
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\nWORKERS = 0\n{database_settings}')
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        models.ensure_bootstrap(session)
    yield workspace
    workspace.close()


def test_counts_follow_every_change(opened: OpenedWorkspace) -> None:
    catalog = opened.catalog
    with catalog.begin() as session:
        people = [add_participant(session, f"P{number}") for number in range(6)]
        cases = [add_acquisition(session, one, station=name) for one in people for name in ("abdomen", "pelvis")]
        assert acquisitions.totals(session) == (12, 0)
        assert case_counts.find_differences(session) == []
        participants.decide_held_out(session)
        assert case_counts.find_differences(session) == []
        assert sum(count for group, count in case_counts.by_group(session, held_out=True).items()) == 4
        by_reader, by_import, awaiting = cases[0], cases[1], cases[2]
        annotation = add_annotation(session, by_reader)
        imported = add_annotation(session, by_import)
        imported.author = imported.client = IMPORT_AUTHOR
        submitted = add_annotation(session, awaiting)
        submitted.state, awaiting.annotated_at = AnnotationState.SUBMITTED, None
        cases[3].excluded_at = now()
        cases[4].primary_examination_id = None
        session.flush()
        assert case_counts.find_differences(session) == []
        counts = acquisitions.counts(session, now())
        assert (counts.annotated_total, acquisitions.annotated_since_round(session), counts.excluded) == (2, 1, 1)
        assert (counts.waiting, counts.being_annotated) == (7, 1)
        assert acquisitions.coverage(session) == [("abdomen", "in", 6, 1), ("pelvis", "in", 5, 1)]
        assert acquisitions.participants_annotated(session) == (6, 1)
    with catalog.begin() as session:  # a snapshot, a withdrawal, a mask by a reader on one that was imported
        add_round(session, 1, [(annotation, CaseRole.TRAINING)])
        assert acquisitions.annotated_since_round(session) == 0
        session.execute(update(Annotation).where(Annotation.id == imported.id).values(author="ada"))
        assert acquisitions.annotated_since_round(session) == 1
        session.execute(update(Annotation).where(Annotation.id == imported.id).values(state=AnnotationState.REJECTED))
        assert acquisitions.annotated_since_round(session) == 0
        assert case_counts.find_differences(session) == []
        session.execute(text("DELETE FROM round_cases"))
        assert session.scalars(select(Acquisition.new_for_round).where(Acquisition.id == by_reader.id)).one()
        session.add(RoundCase(round_number=1, annotation_id=annotation.id, acquisition_id=by_reader.id, role=CaseRole.HELD_OUT))  # fmt: skip
        moved = session.get_one(Acquisition, cases[5].id)
        moved.participant_id, moved.station = people[0].id, "neck"
        session.flush()
        assert case_counts.find_differences(session) == []
        assert case_counts.find_differences(session) == []
        session.execute(text("DELETE FROM examinations WHERE acquisition_id = :case"), {"case": cases[6].id})
        session.execute(text("DELETE FROM acquisitions WHERE id = :case"), {"case": cases[6].id})
        assert case_counts.find_differences(session) == []
        session.execute(update(Acquisition).where(Acquisition.participant_id == people[3].id).values(excluded_at=now()))
        assert acquisitions.participants_annotated(session)[0] == 5


def test_counts_are_exact_however_many_change_cases_at_once(opened: OpenedWorkspace) -> None:
    catalog = opened.catalog
    with catalog.begin() as session:
        person = add_participant(session, "P", held_out=False)
        cases = [add_acquisition(session, person, station=f"{number}").id for number in range(4)]
    wrong: list[BaseException] = []

    def change(start: int) -> None:
        try:
            for turn in range(12):
                with catalog.begin() as session:
                    for identifier in cases:  # in one order, as all that change many cases at once
                        row = acquisitions.lock(session, identifier)
                        assert row is not None
                        row.excluded_at = None if row.excluded_at else now()
                        row.station = f"{(start + turn) % 3}"
                with catalog.begin() as session:
                    case_counts.fold(session)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            wrong.append(error)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    with catalog.begin() as session:
        case_counts.fold(session)
        assert case_counts.find_differences(session) == []
        assert set(session.scalars(select(CaseCount.slot))) == {0}
        assert case_counts.by_state(session).total() == 4


def test_doctor_finds_and_mends_counts_and_copies_that_are_wrong(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        for number in range(3):
            add_annotation(session, add_acquisition(session, add_participant(session, f"P{number}", held_out=False)))
    assert check_counts(opened).state is State.OK
    with opened.catalog.begin() as session:
        session.execute(update(CaseCount).values(cases=CaseCount.cases + 2))
        session.execute(update(Acquisition).values(new_for_round=False))
        session.execute(update(Acquisition).values(held_out=True, has_draft=False))
    found = check_counts(opened)
    assert found.state is State.FAILED and "doctor --mend" in (found.advice or "")
    assert "annotated: 2 kept, 0 counted" in found.detail and "3 cases: the side of the participant" in found.detail
    assert check_counts(opened, mend=True).state is State.OK
    assert check_counts(opened).state is State.OK
    with opened.catalog.read() as session:
        assert (acquisitions.totals(session), acquisitions.annotated_since_round(session)) == ((3, 3), 3)
