"""Commands start fast because they load only what they need; seconds depend on the machine, so modules are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import typer.main

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.cli import app
from mrseg_label.workspace import Workspace
from tests.unit.cli.test_commands import commands

# Each takes a tenth of a second or more to import.
SLOW = (
    "PIL", "SimpleITK", "alembic", "authlib", "fastapi", "httpx", "matplotlib", "monai", "monailabel", "nibabel", "nnunetv2",
    "numpy", "pandas", "pydicom", "scipy", "skimage", "starlette", "statsmodels", "torch", "totalsegmentator", "uvicorn",
)  # fmt: skip
# Commands that work on voxels or grids, train, or serve; they load what that takes.
HEAVY = {
    "bias",  # resamples participants
    "effort",
    "learning-curve",
    "participants delete",  # reads images
    "participants readmit",
    "prune",
    "annotations compare",
    "annotations restore",
    "annotations send",  # sends requests
    "demo",
    "evaluate",
    "examinations compare",
    "examinations edit",
    "export",
    "import",
    "models compare",
    "models import",
    "models try",
    "report",
    "notifications test",  # sends a request
    "serve",
    "slurm",
}
# Every other command, with arguments that lead it to the end or to the row that it does not find.
LIGHT: dict[str, tuple[str, ...]] = {
    "agreement": (),
    "annotations accept": ("none",),
    "annotations list": (),
    "annotations reject": ("none", "--comment", "why"),
    "annotations send-back": ("none", "--comment", "why"),
    "annotations show": ("none",),
    "annotations withdraw": ("none",),
    "assignments list": (),
    "audit": (),
    "backup": ("backup.tar",),
    "cases assign": ("none", "--reader", "ada"),
    "cases mine": ("--reader", "ada"),
    "cases release": ("none", "--reader", "ada"),
    "cases return": ("none", "--reader", "ada"),
    "cases take": ("none", "--reader", "ada"),
    "cases unusable": ("none", "--reason", "why"),
    "dismiss": ("none", "--reason", "why"),
    "doctor": (),
    "downgrade": ("none",),
    "examinations admit": ("none",),
    "examinations assign": ("none", "--reader", "ada"),
    "examinations exclude": ("none", "--reason", "why"),
    "examinations include": ("none",),
    "examinations list": (),
    "examinations priority": ("none", "--priority", "high"),
    "examinations return": ("none",),
    "examinations second-reading": ("none", "--reader", "ada"),
    "examinations show": ("none",),
    "exclude": ("none", "--reason", "why"),
    "health": ("--port", "1"),
    "include": ("none",),
    "init": ("--workspace", "."),
    "doubts": (),
    "gold disqualify": ("ada",),
    "gold list": (),
    "gold mark": ("none",),
    "gold qualify": ("ada",),
    "gold unmark": ("none",),
    "jobs list": (),
    "jobs retry": ("none",),
    "models card": ("none",),
    "models export": ("none", "model.zip"),
    "models licence": ("none", "MIT"),
    "models list": (),
    "models promote": ("none",),
    "models rollback": (),
    "models show": ("none",),
    "notifications list": (),
    "overview": (),
    "participants admit": ("none",),
    "participants list": (),
    "restore": ("none.tar",),
    "rounds cancel": ("1",),
    "rounds follow": (),
    "rounds list": (),
    "rounds log": ("1",),
    "rounds retry": ("1",),
    "rounds show": ("1",),
    "rounds start": (),
    "status": (),
    "suspicious": (),
    "upgrade": (),
    "users add": ("ada", "--role", "service"),
    "users app-password": ("none",),
    "users disable": ("none",),
    "users enable": ("none",),
    "users key": ("ada",),
    "users list": (),
    "users password": ("none",),
    "users review-address": ("none",),
    "users revoke": ("none",),
    "users role": ("ada", "--role", "service"),
    "users sign-out": ("ada",),
    "worker": ("--queues", "none"),
}
SCRIPT = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from mrseg_label.cli import main

found, seen = {}, set()
for words, arguments in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), suppress(SystemExit):
        main([*words.split(), *arguments])
    found[words] = sorted(({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2].split())) - seen)
    seen |= set(found[words])
print(json.dumps({words: names for words, names in found.items() if names}))
"""


def test_commands_that_need_nothing_slow_load_nothing_slow(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    open_workspace(tmp_path / "ws").close()  # a database without tables is filled with Alembic
    calls = [("--help", ()), ("--version", ()), *LIGHT.items()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(calls), " ".join(SLOW)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "ws",
        stdin=subprocess.DEVNULL,
    )
    assert json.loads(done.stdout) == {}


def test_every_command_is_in_the_list() -> None:
    present = {" ".join(words) for words, _ in commands(typer.main.get_command(app))}
    assert present == HEAVY | set(LIGHT), "add the command to LIGHT, with arguments, or to HEAVY if it works on voxels"
