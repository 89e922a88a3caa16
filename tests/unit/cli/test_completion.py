"""Completion at the shell: ids and names of the workspace, quickly, and nothing where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import Role, RoundState
from mrseg_label.cli import app
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_participant, add_round
from tests.unit.cli.test_commands import opened

__all__ = ["opened"]


def completed(words: str) -> list[str]:
    """What bash is told to offer for the last word of a command line."""
    environment = {"_MRSEG_LABEL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = CliRunner().invoke(app, [], prog_name="mrseg-label", env=environment)
    assert done.exit_code == 0 and done.stderr == "", (done.output, done.stderr)
    return done.stdout.split()


@pytest.fixture
def filled(opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the examinations of a workspace, which is the current folder."""
    with opened.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p1"))
        found = [examination.id for examination in case.examinations]
        add_round(session, 1, [])
        add_round(session, 2, [], RoundState.FAILED)
    for name in ("ada", "adam", "bob"):
        accounts.add(opened.catalog, name, Role.SERVICE, password=None, actor="test")
    monkeypatch.chdir(opened.root)
    return sorted(found)


def test_ids_and_names_are_completed(filled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("mrseg-label examinations show ") == filled == completed("mrseg-label exclude ex-")
    assert completed(f"mrseg-label cases return {filled[0]}") == filled[:1]
    assert completed("mrseg-label rounds show ") == ["2", "1"]
    assert completed("mrseg-label models show boot") == ["bootstrap"]
    assert (
        completed("mrseg-label users disable ad") == ["ada", "adam"] == completed("mrseg-label cases assign --reader a")
    )
    assert completed("mrseg-label examinations list --participant p") == []
    workspace = Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert completed(f"mrseg-label rounds show --workspace {workspace} ") == ["2", "1"]


def test_without_a_workspace_nothing_is_offered_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed("mrseg-label users disable a") == [] == list(tmp_path.iterdir())
    Workspace.init(tmp_path / "ws")
    before = sorted((tmp_path / "ws").iterdir())
    assert completed(f"mrseg-label users disable --workspace {tmp_path / 'ws'} a") == []
    assert sorted((tmp_path / "ws").iterdir()) == before, "a database was made"
    (tmp_path / "mrseg.toml").write_text('DATABASE_URL = "postgresql://nobody@127.0.0.1:1/none"\n')
    assert completed("mrseg-label models show ") == []
    (tmp_path / "mrseg.toml").write_text("= wrong")
    assert completed("mrseg-label models show ") == []


def test_completion_loads_nothing_heavy(filled: list[str]) -> None:
    script = (
        "import sys, contextlib\nfrom mrseg_label.cli import app\n"
        "with contextlib.suppress(SystemExit): app(prog_name='mrseg-label')\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'numpy', 'alembic', 'fastapi', 'torch'}), file=sys.stderr)"
    )
    environment = {
        "_MRSEG_LABEL_COMPLETE": "complete_bash",
        "COMP_WORDS": "mrseg-label examinations show ",
        "COMP_CWORD": "3",
    }
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.split() == filled and done.stderr == "[]\n"
