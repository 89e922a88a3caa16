"""How many statements each question sends, and that none reads a large table from end to end, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.catalog import Questions
from benchmarks.filled_catalog import fill
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.workspace import Workspace
from tests.support.statements import Statements

# Of each question the most statements that it may send.
ALLOWED = {
    "next case, balanced": 16,
    "next case, uncertainty": 17,
    "next case, sequential": 16,
    "next case, random": 16,
    "next case with sign-in": 17,
    "submission": 17,
    "job after a submission": 44,  # two for each station and sequence, of held-out and of other participants
    "/info/": 8,
    "/datastore/?output=all": 12,
    "progress": 13,
    "overview": 60,
    "learning curve": 10,
    "effort": 10,
    "/metrics": 24,
    "a round": 9,
    "page, all": 8,
    "page, station": 60,  # one for each sequence and stored state of the station
    "page, no match": 6,
    "page, annotated, one sequence": 32,
    "page, no match in one state": 30,
    "page, a participant": 8,
    "page, in the middle of all": 8,
    "page, in the middle of one state": 8,
}
# Indices of few rows: what is excluded, annotated, drafted, has a priority of its own, has no image, counts towards the next
# round, is assigned or active now. Participants are counted by an index of them.
SMALL = {
    "ix_acquisitions_annotated",
    "ix_acquisitions_drafted",
    "ix_acquisitions_excluded",
    "ix_acquisitions_new",
    "ix_acquisitions_prioritised",
    "ix_acquisitions_priority",
    "ix_acquisitions_without_image",
    "ix_assignments_open",
    "ix_examinations_labelled",
    "ix_participants_cohort",
    "ix_participants_excluded",
    "uq_assignments_open",
    "uq_jobs_active",
}


@pytest.fixture
def filled(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    """A study. SQLite plans alike whatever the size; PostgreSQL reads what is small from end to end."""
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\nWORKERS = 0\n{database_settings}')
    workspace = open_workspace(tmp_path / "ws")
    fill(workspace.catalog, 60_000 if database_settings else 2_400, at_work=20)
    yield workspace
    workspace.close()


def test_no_question_reads_a_large_table_or_sends_more_statements_than_it_may(filled: OpenedWorkspace) -> None:
    found = {}
    for name, question in Questions(filled).all():
        if name in ALLOWED:
            question()  # what is done once only, such as to enqueue drafts
            statements = Statements(filled.catalog)
            with statements.recorded():
                question()
            found[name] = len(statements.sent), statements.scans() - SMALL
    assert found.keys() == ALLOWED.keys()
    wrong = {name: one for name, one in found.items() if one[0] > ALLOWED[name] or one[1]}
    assert not wrong
