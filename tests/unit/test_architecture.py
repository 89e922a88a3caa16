"""What the import contract cannot say: what a process loads, and where SQL stands."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mrseg_label"
# With torch come gigabytes and seconds; workers load it, never the server's own code.
HEAVY = (
    "torch",
    "nnunetv2",
    "totalsegmentator",
    "monai",
    "monailabel",
    "batchgenerators",
    "dynamic_network_architectures",
)
SERVED = (
    "mrseg_label.annotation.service",
    "mrseg_label.api",
    "mrseg_label.catalog.opening",
    "mrseg_label.cli",
    "mrseg_label.http.middleware",
    "mrseg_label.intake.service",
    "mrseg_label.maintenance.backup",
    "mrseg_label.maintenance.checks",
    "mrseg_label.presegmentation.service",
    "mrseg_label.presegmentation.weights",
    "mrseg_label.registry.service",
    "mrseg_label.rounds.export",
    "mrseg_label.rounds.service",
    "mrseg_label.worker.supervise",
    "mrseg_label.worklist.service",
)
# What the command line may not load before a command needs it.
SLOW = (
    *HEAVY,
    "numpy",
    "scipy",
    "skimage",
    "SimpleITK",
    "nibabel",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "pydantic",
    "matplotlib",
    "httpx",
)


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_nothing_that_is_served_pulls_in_a_network() -> None:
    loaded = loaded_by("\n".join(f"import {name}" for name in SERVED))
    assert not loaded & set(HEAVY)
    assert "sqlalchemy" in loaded, "the test looks at the wrong interpreter"


def test_the_command_line_starts_light() -> None:
    assert not loaded_by("import mrseg_label.cli") & set(SLOW)


def test_workers_do_not_load_the_server_side() -> None:
    loaded = loaded_by(
        "import mrseg_label.worker.__main__, mrseg_label.presegmentation.presegment, mrseg_label.rounds.run"
    )
    assert not loaded & {"monailabel", "fastapi", "uvicorn", "mrseg_monailabel"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)


def imported(path: Path) -> list[tuple[str, str]]:
    """Every (module, name) that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return found


def test_sql_is_written_in_the_catalogue_alone() -> None:
    # A session is handed through the rooms, an address is taken apart, an error is caught; statements are made in one place.
    allowed = {("sqlalchemy.orm", "Session"), ("sqlalchemy.engine", "make_url"), ("sqlalchemy.engine", "URL")}
    offenders = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in modules()
        if path.relative_to(PACKAGE).parts[0] != "catalog"
        for module, name in imported(path)
        if module.partition(".")[0] == "sqlalchemy" and module != "sqlalchemy.exc" and (module, name) not in allowed
    ]
    assert offenders == []


def test_temporary_names_are_not_made_by_hand() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for path in modules()
        if {("tempfile", "mktemp"), ("tempfile", "NamedTemporaryFile")} & set(imported(path))
    ]
    assert offenders == []


def test_modules_stay_short() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: count for name, count in long.items() if count > 350} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_the_stock_launcher_gets_a_short_app() -> None:
    main = ROOT / "apps" / "mrseg" / "main.py"
    assert len(main.read_text(encoding="utf-8").splitlines()) < 20
