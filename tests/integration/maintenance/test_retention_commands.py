"""The commands of retention say what they would do, do it with --apply, and name what is out of reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mrseg_label.catalog.tables import Participant
from mrseg_label.cli import app
from tests.support.withdrawn import GONE, OTHERS, Study, study


@pytest.fixture
def withdrawn(tmp_path: Path, database_settings: str) -> Iterator[Study]:
    with study(tmp_path, database_settings) as made:
        yield made


def run(made: Study, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--workspace", str(made.root)])


def codes_of(made: Study) -> list[str]:
    with made.workspace.catalog.read() as session:
        return sorted(code for (code,) in session.query(Participant.code).all())


def test_participants_are_deleted_and_readmitted_by_command(withdrawn: Study, tmp_path: Path) -> None:
    everybody = codes_of(withdrawn)
    assert run(withdrawn, "participants", "delete").exit_code == 2
    listed = tmp_path / "withdrawn.csv"
    listed.write_text(f"{GONE}\nnobody-here\n")
    assert run(withdrawn, "participants", "delete", "--from", str(listed), "--again", str(listed)).exit_code == 2

    shown = run(withdrawn, "participants", "delete", "--from", str(listed))
    assert shown.exit_code == 0, shown.output
    assert "Nothing was deleted" in shown.output and "1 on the list are not in this workspace" in shown.output
    assert "Out of reach" in shown.output and "r1" in shown.output
    assert codes_of(withdrawn) == everybody

    done = run(withdrawn, "participants", "delete", "--from", str(listed), "--apply", "--cancel")
    assert done.exit_code == 0, done.output
    assert "Deleted 1 participants. The audit trail names nobody." in done.output
    assert codes_of(withdrawn) == sorted(OTHERS)

    again = run(withdrawn, "participants", "delete", "--again", str(withdrawn.root), "--apply", "--json")
    assert again.exit_code == 0, again.output
    document = json.loads(again.output)
    assert document["finished"] == 0 and document["counts"].get("participants", 0) == 0
    assert "1 of 2 were on the list" in run(withdrawn, "participants", "readmit", GONE, "stranger").output
    assert json.loads(run(withdrawn, "participants", "readmit", GONE, "--json").output) == {"readmitted": 0}


def test_what_can_be_made_again_is_shown_and_removed_by_command(withdrawn: Study) -> None:
    shown = run(withdrawn, "prune", "--older-than", "0")
    assert shown.exit_code == 0 and "Nothing was removed" in shown.output, shown.output
    planned = json.loads(run(withdrawn, "prune", "--older-than", "0", "--json").output)
    assert planned["applied"] is False
    removed = run(withdrawn, "prune", "--older-than", "0", "--apply")
    assert removed.exit_code == 0 and "Removed " in removed.output, removed.output
