"""A snapshot is read while others work, holds when it is stored, and is fixed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from mrseg_label.annotation.review import withdraw
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Participant, Presegmentation, Round
from mrseg_label.catalog.types import CaseRole, RoundState
from mrseg_label.intake.exclusion import exclude
from mrseg_label.maintenance.deletion.service import delete
from mrseg_label.rounds import take_snapshot as taking
from mrseg_label.rounds.filling_choice import FillingModels, filling_models
from mrseg_label.rounds.snapshot import FILLING_KEY
from mrseg_label.rounds.take_snapshot import take_snapshot
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import store_case


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=database_settings)
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        session.add(Round(number=1, state=RoundState.SNAPSHOT, profile="smoke"))
    yield workspace
    workspace.close()


def meanwhile(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> list[threading.Thread]:
    """Let somebody else act, in a thread of their own, while a snapshot is read: one at each reading. Returns who did not."""
    others = [threading.Thread(target=act, daemon=True) for act in acts]

    def read_with_others(workspace: Workspace, session: Session) -> FillingModels:
        known = filling_models(workspace, session)  # the first that is read
        if others:
            other = others.pop(0)
            other.start()
            other.join(20)
            assert not other.is_alive(), "others wait while the snapshot is read"
        return known

    monkeypatch.setattr(taking, "filling_models", read_with_others)
    return others


def roles(opened: OpenedWorkspace) -> dict[str, CaseRole]:
    with opened.catalog.read() as session:
        return {case.acquisition_id: case.role for case in rows.cases(session, 1)}


def change_side(opened: OpenedWorkspace, code: str, held_out: bool | None) -> None:
    with opened.catalog.begin() as session:
        session.query(Participant).filter_by(code=code).update({"held_out": held_out})


def test_readers_go_on_while_a_snapshot_is_read_and_what_they_annotate_is_in_the_next(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store_case(opened, "p1")
    others = meanwhile(monkeypatch, lambda: store_case(opened, "p2"))
    take_snapshot(opened.catalog, 1, opened)
    assert not others and roles(opened) == {first: CaseRole.TRAINING}
    with opened.catalog.read() as session:
        positions = {person.code: person.fold_position for person in session.query(Participant)}
    assert positions == {"p1": 0, "p2": None}


@pytest.mark.parametrize("changes", [1, 2])
def test_who_changes_sides_meanwhile_is_not_trained_on(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    first, second, third = (store_case(opened, code) for code in ("p1", "p2", "p3"))
    acts = [lambda: change_side(opened, "p2", True), lambda: change_side(opened, "p3", True)]
    others = meanwhile(monkeypatch, *acts[:changes])
    take_snapshot(opened.catalog, 1, opened)
    other_side = CaseRole.HELD_OUT if changes == 2 else CaseRole.TRAINING
    assert not others
    assert roles(opened) == {first: CaseRole.TRAINING, second: CaseRole.HELD_OUT, third: other_side}


def test_whose_side_is_open_again_is_decided_before_it_is_stored(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("p1", "p2", "p3"):
        store_case(opened, code)
    meanwhile(monkeypatch, lambda: change_side(opened, "p3", None))
    take_snapshot(opened.catalog, 1, opened)
    with opened.catalog.read() as session:
        held_out = {person.code: person.held_out for person in session.query(Participant)}
    assert None not in held_out.values() and len(roles(opened)) == 3
    assert sum(role is CaseRole.HELD_OUT for role in roles(opened).values()) == sum(map(bool, held_out.values()))


@pytest.mark.parametrize("by", ["exclusion", "withdrawal"])
def test_what_is_excluded_or_withdrawn_meanwhile_is_in_no_snapshot(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    first, second = store_case(opened, "p1"), store_case(opened, "p2")

    def take_away() -> None:
        if by == "exclusion":
            exclude(opened.catalog, second, reason="motion", actor="ada")
            return
        with opened.catalog.read() as session:
            [annotation] = session.query(Annotation).filter_by(acquisition_id=second)
        withdraw(opened.catalog, annotation.id, actor="ada", comment="the wrong patient")

    others = meanwhile(monkeypatch, take_away)
    take_snapshot(opened.catalog, 1, opened)
    assert not others and roles(opened) == {first: CaseRole.TRAINING}


def test_who_is_deleted_meanwhile_is_in_no_snapshot(opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = store_case(opened, "p1"), store_case(opened, "p2")

    # Its rows are gone at once; then it waits, to write the database anew, until nobody reads.
    deletion = threading.Thread(target=delete, args=(opened, ["p2"]), daemon=True)

    def withdraw() -> None:
        deletion.start()
        while deletion.is_alive():
            with opened.catalog.read() as session:
                if session.query(Participant).filter_by(code="p2").count() == 0:
                    return

    others = meanwhile(monkeypatch, withdraw)
    take_snapshot(opened.catalog, 1, opened)
    assert not others and roles(opened) == {first: CaseRole.TRAINING}
    deletion.join(60)
    assert not deletion.is_alive()


def test_nothing_is_filled_from_a_draft_that_is_removed_meanwhile(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = store_case(opened, "p1", not_annotated=("spleen",))

    def remove() -> None:
        with opened.catalog.begin() as session:
            session.query(Annotation).update({"presegmentation_id": None})
            session.query(Presegmentation).delete()

    meanwhile(monkeypatch)
    take_snapshot(opened.catalog, 1, opened)
    with opened.catalog.begin() as session:
        row = rows.get(session, 1)
        assert row is not None and len(row.result[FILLING_KEY]) == 1  # as it is if nobody removes the draft
        session.add(Round(number=2, state=RoundState.SNAPSHOT, profile="smoke"))
    meanwhile(monkeypatch, remove)
    take_snapshot(opened.catalog, 2, opened)
    with opened.catalog.read() as session:
        row = rows.get(session, 2)
        assert row is not None and row.result[FILLING_KEY] == {}
        assert [one.acquisition_id for one in rows.cases(session, 2)] == [case]


def test_of_two_workers_that_take_a_snapshot_the_first_decides(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store_case(opened, "p1")

    def take_over() -> None:
        take_snapshot(opened.catalog, 1, opened)
        store_case(opened, "p2")

    meanwhile(monkeypatch, take_over)
    take_snapshot(opened.catalog, 1, opened)
    assert roles(opened) == {first: CaseRole.TRAINING}
    with opened.catalog.read() as session:
        row = rows.get(session, 1)
        assert row is not None and row.snapshot_digest
        digest = row.snapshot_digest
    take_snapshot(opened.catalog, 1, opened)  # as a retry of the job does
    with opened.catalog.read() as session:
        row = rows.get(session, 1)
        assert row is not None and row.snapshot_digest == digest
    assert roles(opened) == {first: CaseRole.TRAINING}
