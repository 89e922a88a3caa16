"""A snapshot is read while others write, and fixed once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Participant, Round, RoundCase
from mrseg_label.catalog.types import RoundState
from mrseg_label.rounds import snapshot
from mrseg_label.rounds.filling_choice import FillingModels, filling_models
from mrseg_label.rounds.snapshot import take_snapshot
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


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody else act in a thread of their own while a snapshot is read, once, and wait until they are done."""
    others = [threading.Thread(target=act, daemon=True)]

    def read_with_others(workspace: Workspace, session: Session) -> FillingModels:
        while others:
            other = others.pop()
            other.start()
            other.join(20)
            assert not other.is_alive(), "others wait while the snapshot is read"
        return filling_models(workspace, session)

    monkeypatch.setattr(snapshot, "filling_models", read_with_others)


def cases_of(opened: OpenedWorkspace) -> list[str]:
    with opened.catalog.read() as session:
        return [case.acquisition_id for case in rows.cases(session, 1)]


def test_readers_go_on_while_a_snapshot_is_read_and_what_they_annotate_is_in_the_next(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store_case(opened, "p1")

    def annotate() -> None:
        store_case(opened, "p2")
        with opened.catalog.begin() as session:  # as after an import: nobody decided on which side they are
            session.query(Participant).filter_by(code="p2").update({"held_out": None})

    meanwhile(monkeypatch, annotate)
    take_snapshot(opened.catalog, 1, opened)
    assert cases_of(opened) == [first]
    with opened.catalog.read() as session:
        positions = {person.code: person.fold_position for person in session.query(Participant)}
    assert positions == {"p1": 0, "p2": None}


def test_of_two_workers_that_take_a_snapshot_the_first_decides(
    opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store_case(opened, "p1")

    def take_over() -> None:
        take_snapshot(opened.catalog, 1, opened)
        store_case(opened, "p2")

    meanwhile(monkeypatch, take_over)
    take_snapshot(opened.catalog, 1, opened)
    assert cases_of(opened) == [first]
    with opened.catalog.read() as session:
        assert session.query(RoundCase).count() == 1
        row = rows.get(session, 1)
        assert row is not None
        digest = row.snapshot_digest
    take_snapshot(opened.catalog, 1, opened)  # as a retry of the job does
    with opened.catalog.read() as session:
        assert cases_of(opened) == [first]
        row = rows.get(session, 1)
        assert row is not None
        assert row.snapshot_digest == digest
