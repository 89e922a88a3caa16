"""The command line: output, exit codes, and that every command is alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.cli import app, main
from mrseg_label.rounds.service import log_path
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_evaluation, add_participant
from tests.unit.registry.test_registry import add_version

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns exit code, standard output and standard error."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run_command


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def document(result: tuple[int, str, str], code: int = 0) -> Any:
    assert result[0] == code, result
    return json.loads(result[1])


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the application with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


WITHOUT_REPORT = {("serve",), ("worker",), ("slurm",), ("health",)}  # they run on, or print one sentence


def test_every_command_takes_a_workspace_and_speaks_json() -> None:
    found = dict(commands(typer.main.get_command(app)))
    promised = {
        "demo", "init", "serve", "worker", "import", "status", "rounds list", "rounds show", "rounds start", "rounds cancel",
        "rounds retry", "rounds log", "models list", "models show", "models compare", "models promote", "models rollback",
        "models export", "models import", "models try", "cases assign", "cases return", "users add", "users list", "users disable", "users password", "users key", "export", "doctor", "backup", "restore", "upgrade",
    }  # fmt: skip
    assert promised <= {" ".join(words) for words in found}
    for words, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--workspace" in options, words
        assert "--json" in options or words in WITHOUT_REPORT, words
        assert command.help, words


def test_init_makes_a_workspace_once(run: Run, tmp_path: Path) -> None:
    made = document(run("init", tmp_path / "ws", "--json"))
    assert made["structures"] == 40
    assert Workspace.open(Path(made["workspace"])).scheme.digest == made["labels_digest"]
    code, out, err = run("init", tmp_path / "ws")
    assert (code, out) == (2, "")
    assert "not an empty folder" in err


def test_init_with_other_labels(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.tsv").write_text("id\tname\n1\thip\n2\tknee\n")
    assert document(run("init", tmp_path / "ws", "--labels", tmp_path / "two.tsv", "--json"))["structures"] == 2
    (tmp_path / "wrong.tsv").write_text("id\tname\n2\thip\n")
    code, _, err = run("init", tmp_path / "other", "--labels", tmp_path / "wrong.tsv")
    assert code == 1
    assert "wrong.tsv" in err


def test_the_current_folder_is_the_workspace(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", ".")[0] == 0
    assert document(run("status", "--json"))["workspace"] == str(tmp_path)


def test_what_is_wrong_with_the_call_ends_with_2(run: Run, tmp_path: Path) -> None:
    for arguments in (
        ("status", "--workspace", tmp_path),
        ("nonsense",),
        ("rounds", "show", "first"),
        ("rounds", "show", "0"),
        ("serve", "--port", "70000"),
        ("worker", "--workspace", tmp_path, "--queues", "cooking"),
        ("export", tmp_path / "out", "--format", "dicom"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.strip(), arguments


def test_version(run: Run) -> None:
    import mrseg_label

    assert run("--version") == (0, f"{mrseg_label.__version__}\n", "")


def test_status_counts(run: Run, opened: OpenedWorkspace) -> None:
    workspace = opened
    with workspace.catalog.begin() as session:
        add_annotation(session, add_acquisition(session, add_participant(session, "p1")))
        add_acquisition(session, add_participant(session, "p2"))
    found = document(run("status", "--workspace", workspace.root, "--json"))
    assert found["current_model"]["version"] == "bootstrap"
    stored = {"participants": 2, "acquisitions": 2, "examinations": 8, "annotations": 1}
    assert found["counts"] == stored | {"revisions": 1}  # deprecated: the same as annotations
    assert (found["progress"]["annotated_total"], found["progress"]["waiting"]) == (1, 1)
    code, text, _ = run("status", "--workspace", workspace.root)
    assert code == 0
    assert "1 of 50 to the next round" in text
    assert "1 waiting, 0 assigned, 0 awaiting review, 0 excluded" in text


def test_old_names_work_and_name_the_new_ones(run: Run, opened: OpenedWorkspace) -> None:
    workspace = opened
    (workspace.root / "mrseg.toml").write_text('AUTH = "off"\n')
    with workspace.catalog.begin() as session:
        examination = add_acquisition(session, add_participant(session, "p1")).primary_examination_id
    here = ("--reader", "ada", "--workspace", workspace.root)
    for old, new in (("take", "assign"), ("release", "return")):
        code, _, err = run("cases", old, examination, *here)
        assert code == 0
        assert f"deprecated. Use: mrseg-label cases {new}" in err
        assert old not in run("cases", "--help")[1].split()


def test_rounds(run: Run, opened: OpenedWorkspace) -> None:
    workspace = opened
    here = ("--workspace", workspace.root)
    assert document(run("rounds", "list", *here, "--json")) == {"items": [], "next": None}
    code, out, err = run("rounds", "start", *here)
    assert (code, out) == (1, "")
    assert "nothing is annotated" in err
    with workspace.catalog.begin() as session:
        for number in range(4):
            add_annotation(
                session, add_acquisition(session, add_participant(session, f"p{number}", held_out=number == 0))
            )
    code, _, err = run("rounds", "start", "--final", *here)
    assert code == 1 and "5 folds need at least 5 participants" in err and "3 are annotated" in err
    code, _, err = run("rounds", "start", "--include-held-out", *here)
    assert code == 1 and "add --final" in err
    code, _, err = run("rounds", "start", "--final", "--include-held-out", *here)
    assert code == 1 and "4 are annotated. Annotate cases of 1 more" in err
    with workspace.catalog.begin() as session:
        for number in range(4, 6):
            add_annotation(session, add_acquisition(session, add_participant(session, f"p{number}", held_out=False)))
    started = document(run("rounds", "start", "--final", *here, "--json"))
    assert started["final"] is True and started["include_held_out"] is False
    assert [(fold["fold"], fold["state"]) for fold in started["folds"]] == [(k, "queued") for k in range(5)]
    assert [item["number"] for item in document(run("rounds", "list", *here, "--json"))["items"]] == [1]
    assert run("rounds", "log", 1, *here) == (0, "", "")
    log_path(workspace, 1).parent.mkdir(parents=True)
    log_path(workspace, 1).write_text("epoch 1\n")
    assert run("rounds", "log", 1, *here) == (0, "epoch 1\n", "")
    assert document(run("rounds", "log", 1, *here, "--json"))["log"] == "epoch 1\n"
    assert document(run("rounds", "cancel", 1, *here, "--json"))["state"] == "cancelled"
    assert run("rounds", "cancel", 1, *here)[0] == 1
    assert document(run("rounds", "retry", 1, *here, "--json"))["attempt"] == 2
    assert "queued" in run("rounds", "show", 1, *here)[1]
    assert run("rounds", "show", 2, *here)[0] == 1


def test_models(run: Run, opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    here = ("--workspace", workspace.root)
    add_version(workspace, "r1")
    assert [m["version"] for m in document(run("models", "list", *here, "--json"))["items"]] == ["r1", "bootstrap"]
    assert document(run("models", "promote", "r1", *here, "--json"))["status"] == "current"
    assert "current" in run("models", "show", "r1", *here)[1]
    assert document(run("models", "rollback", *here, "--json"))["version"] == "bootstrap"
    assert run("models", "rollback", *here)[0] == 1
    assert run("models", "export", "bootstrap", tmp_path / "b.zip", *here)[0] == 1
    assert run("models", "export", "r1", tmp_path / "r1.zip", *here)[0] == 0
    Workspace.init(tmp_path / "other")
    other = ("--workspace", tmp_path / "other")
    code, out, err = run("models", "import", tmp_path / "r1.zip", *other, "--json")  # its weights are no weights
    assert code == 1 and "does not work here: its files cannot be loaded" in err
    version = json.loads(out)["version"]
    assert json.loads(out)["status"] == "failed"
    code, _, err = run("models", "import", tmp_path / "r1.zip", *other)
    assert code == 1
    assert version in err
    assert run("models", "promote", version, *other)[0] == 1
    assert run("models", "try", "bootstrap", *other)[0] == 1


def test_models_compare(run: Run, opened: OpenedWorkspace) -> None:
    workspace = opened
    add_version(workspace, "r1")
    with workspace.catalog.begin() as session:
        case = add_annotation(session, add_acquisition(session, add_participant(session, "p1", held_out=True)))
        add_evaluation(session, "bootstrap", case, 0.25, {"liver": 0.25})
        add_evaluation(session, "r1", case, 0.75, {"liver": 0.75})
    found = document(run("models", "compare", "bootstrap", "r1", "--workspace", workspace.root, "--json"))
    assert found["mean_dsc"] == [0.25, 0.75]
    text = run("models", "compare", "bootstrap", "r1", "--workspace", workspace.root)[1]
    assert "0.500" in text and "1 held-out cases" in text and "at least 10 voxels" in text
    text = run("models", "list", "--workspace", workspace.root)[1]
    assert "0.750" in text and "at least 10 voxels" in text
    text = run("models", "show", "r1", "--workspace", workspace.root)[1]
    assert "0.750 (1 cases)" in text and "at least 10 voxels" in text
    assert "mean DSC 0.250 on 1 held-out cases" in run("status", "--workspace", workspace.root)[1]


def test_errors_are_a_line_and_not_a_traceback(run: Run, opened: OpenedWorkspace) -> None:
    workspace = opened
    (workspace.root / "mrseg.toml").write_text("ROUND_SIZE = 'many'\n")
    code, out, err = run("status", "--workspace", workspace.root)
    assert (code, out) == (2, "")
    assert err.startswith("mrseg-label: ") and "ROUND_SIZE" in err and "Traceback" not in err


LONG = {"upgrade": (), "backup": ("backup.tar",), "doctor": (), "agreement": (), "export": ("out", "--format", "nifti")}


@pytest.mark.parametrize("command", LONG)
def test_what_takes_long_shows_a_bar_on_a_terminal_alone(
    run: Run, opened: OpenedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = (command, *LONG[command], "--workspace", opened.root)
    quiet = run(*arguments, "--json")[2]
    assert "\r" not in quiet and "\x1b" not in quiet
    (tmp_path / "backup.tar").unlink(missing_ok=True)
    piped = run(*arguments)[2]
    assert "\r" not in piped and "\x1b" not in piped
    (tmp_path / "backup.tar").unlink(missing_ok=True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    shown = run(*arguments)[2]
    assert "\x1b[" in shown and "0:00:0" in shown, shown
    (tmp_path / "backup.tar").unlink(missing_ok=True)
    assert "\x1b" not in run(*arguments, "--json")[2]
