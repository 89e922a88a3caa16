"""Whatever is wrong with the machine or the workspace: a sentence and an exit code, from every command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.cli import main
from mrseg_label.workspace import Workspace
from tests.support.intake_files import picture, save
from tests.support.process_trees import wait_until
from tests.support.stored_cases import store_case
from tests.unit.cli.test_start import HEAVY, LIGHT

# These work without a workspace, say more than one sentence about it, or ask for their settings before they open its database.
WITHOUT = {"demo", "doctor", "health", "init", "notifications test", "restore"}
ARGUMENTS = LIGHT | {
    "annotations compare": ("none", "none"),
    "annotations restore": ("none",),
    "annotations send": ("--dicomweb", "http://127.0.0.1:1/rs"),
    "bias": (),
    "effort": (),
    "evaluate": ("--model", "bootstrap"),
    "examinations compare": (),
    "examinations edit": ("none", "--station", "pelvis"),
    "export": ("out", "--format", "nifti"),
    "import": (".",),
    "learning-curve": (),
    "models compare": ("bootstrap", "bootstrap"),
    "models import": ("none.zip",),
    "models show": ("bootstrap",),
    "models try": ("none",),
    "participants delete": ("P1",),
    "participants readmit": ("P1",),
    "prune": (),
    "report": ("out",),
    "serve": (),
    "slurm": (),
    "status": (),
    "worker": (),
}

SOME = ("backup", "export", "import", "rounds start", "serve", "status", "users list", "worker")


def not_a_workspace(root: Path) -> None:
    (root / "mrseg.toml").unlink()


def broken_settings(root: Path) -> None:
    (root / "mrseg.toml").write_text("ROUND_SIZE = [")


def database_down(root: Path) -> None:
    (root / "mrseg.toml").write_text('DATABASE_URL = "postgresql://anna:secret@127.0.0.1:1/none?connect_timeout=1"\n')


def damaged_database(root: Path) -> None:
    (root / "mrseg.db").write_bytes(b"this is no database, it is a text that is long enough to be read as one\n" * 20)


def database_that_cannot_be_opened(root: Path) -> None:
    (root / "mrseg.db").unlink()
    (root / "mrseg.db").mkdir()


SITUATIONS: dict[Callable[[Path], None], tuple[int, str]] = {
    not_a_workspace: (2, "is not a workspace"),
    broken_settings: (2, "is not valid TOML"),
    database_down: (1, "the database did not answer"),
    damaged_database: (1, "the database is damaged"),
    database_that_cannot_be_opened: (1, "the file of the database cannot be opened"),
}


def test_every_command_is_tried() -> None:
    assert ARGUMENTS.keys() | WITHOUT == HEAVY | LIGHT.keys()


@pytest.mark.parametrize("spoil", SITUATIONS, ids=lambda spoil: spoil.__name__)
def test_every_command_says_what_is_wrong(
    spoil: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Workspace.init(tmp_path / "ws").root
    open_workspace(root).close()
    spoil(root)
    code, text = SITUATIONS[spoil]
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123 - ends with the test
    every = sorted(ARGUMENTS.keys() - WITHOUT)
    for command in every if spoil in (broken_settings, database_down) else SOME:
        arguments = () if command == "worker" else ARGUMENTS[command]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), *arguments])
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line and not line.startswith("DeprecationWarning")]
        assert (ended.value.code, out, len(lines)) == (code, "", 1), (command, out, err)
        assert lines[0].startswith("mrseg-label: ") and text in lines[0], (command, err)
        assert "secret" not in err


def test_half_a_backup_and_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Workspace.init(tmp_path / "ws").root
    opened = open_workspace(root)
    store_case(opened, "p1")
    opened.close()
    (tmp_path / "file").write_text("x")

    def run(*arguments: object) -> tuple[int | str | None, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, capsys.readouterr().err

    assert run("backup", tmp_path / "all.tar", "--workspace", root)[0] == 0
    whole = (tmp_path / "all.tar").read_bytes()
    for name, data in {"half": whole[: len(whole) // 2], "empty": b"", "no archive": b"x" * 2000}.items():
        (tmp_path / f"{name}.tar").write_bytes(data)
        code, err = run("restore", tmp_path / f"{name}.tar", "--workspace", tmp_path / "again")
        assert (code, "mrseg-label: " in err, "as a backup" in err, "Traceback" in err) == (1, True, True, False), err
    assert not (tmp_path / "again").exists()
    code, err = run("restore", tmp_path / "none.tar", "--workspace", tmp_path / "again")
    assert (code, "No such file" in err, "Traceback" in err) == (1, True, False), err
    code, err = run("init", tmp_path / "file" / "ws")
    assert (code, err) == (1, f"mrseg-label: File exists: {tmp_path / 'file'}\n")


def test_a_port_in_use_is_named_before_anything_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\n').root
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--workspace", str(root), "--port", str(port)])
        err = capsys.readouterr().err
        assert (ended.value.code, err.count("\n")) == (1, 1)
        assert err.startswith(f"mrseg-label: port {port} of 127.0.0.1 is in use by another program")
    for host in ("no.such.host.invalid", "192.0.2.1"):
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--workspace", str(root), "--host", host])
        assert (ended.value.code, "Serving" in capsys.readouterr().err) == (2, False)


def test_health_asks_as_the_server_is_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, scheme in (
        ("", "http"),
        (f'TLS_CERTIFICATE = "{tmp_path}/c.pem"\nTLS_KEY = "{tmp_path}/k.pem"\n', "https"),
    ):
        (tmp_path / "mrseg.toml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["health", "--workspace", str(tmp_path), "--port", "1"])
        assert ended.value.code == 1
        assert f"no server answers at {scheme}://127.0.0.1:1/healthz" in capsys.readouterr().err


def test_ctrl_c_says_what_was_kept_and_the_same_command_goes_on(tmp_path: Path) -> None:
    root = Workspace.init(tmp_path / "ws").root
    for seed in range(60):
        save(tmp_path / f"images/p{seed:03d}.nii.gz", picture(seed))
    command = [sys.executable, "-m", "mrseg_label.cli", "import", str(tmp_path / "images"), "--workspace", str(root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_until(lambda: any((root / "tmp").iterdir()))  # it has begun
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped by Ctrl-C. The images that were imported by then are kept" in err
    assert "Run the same command again" in err and "Traceback" not in err
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    report = json.loads(again.stdout)
    assert report["unchanged"] + len(report["accepted"]) == 60
