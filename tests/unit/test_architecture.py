"""What the import contract cannot express: circles, what a process loads, where SQL is written, the size of modules."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support.paths import ROOT

PRODUCT = ROOT / "mrseg_label"
PACKAGES = (PRODUCT, ROOT / "lib" / "mrseg_monailabel")
# With torch come gigabytes and seconds. Workers load these; the server's own code never does.
HEAVY = frozenset(
    {"torch", "nnunetv2", "totalsegmentator", "monai", "monailabel", "batchgenerators", "dynamic_network_architectures"}
)
MAX_LINES = 300
# Longer modules, each with the reason why it is one module.
LONGER: dict[str, str] = {}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import of both packages, also those inside functions, without those for type checkers only."""
    return grimp.build_graph("mrseg_label", "mrseg_monailabel", exclude_type_checking_imports=True, cache_dir=None)


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def sources() -> list[Path]:
    """Return the modules of both packages, without the migrations, which are as Alembic writes them."""
    return sorted(path for package in PACKAGES for path in package.rglob("*.py") if "versions" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def circles(imports: dict[str, set[str]]) -> Iterator[list[str]]:
    """Yield circles of imports, one after another, each cut at one of its imports when it has been found."""
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            imports[circle[1]] -= {circle[0]}  # in a circle each module is imported by the next one
            yield circle
        else:
            return


def test_circles_are_found() -> None:
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": set()})) == []
    found = circles({"a": {"b"}, "b": {"a", "c"}, "c": {"b"}})
    assert {frozenset(circle) for circle in found} == {frozenset("ab"), frozenset("bc")}


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    assert list(circles(imports)) == []


def test_no_packages_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    # Siblings only: the package `a` uses `b` in one module, and `b` uses `a` in another.
    found = {
        package: sorted(breakers)
        for package in graph.modules
        if graph.find_children(package) and (breakers := graph.nominate_cycle_breakers(package))
    }
    assert found == {}


def test_what_the_server_imports_of_the_product_loads_no_network(graph: grimp.ImportGraph) -> None:
    of_the_product = {
        imported
        for module in graph.modules
        if module.startswith("mrseg_monailabel")
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith("mrseg_label")
    }
    started = {"mrseg_label.cli", "mrseg_label.http.server", "mrseg_label.maintenance.checks"}
    loaded = loaded_by("\n".join(f"import {name}" for name in sorted(of_the_product | started)))
    assert not loaded & HEAVY
    assert {"sqlalchemy", "fastapi"} <= loaded, "the test looks at the wrong interpreter"


def test_the_command_line_loads_nothing_but_typer() -> None:
    loaded = loaded_by("import mrseg_label.cli") - loaded_by("import typer") - sys.stdlib_module_names
    assert loaded == {"mrseg_label"}


def test_workers_do_not_load_the_server() -> None:
    loaded = loaded_by(
        "import mrseg_label.worker.__main__, mrseg_label.presegmentation.presegment, mrseg_label.rounds.run"
    )
    assert not loaded & {"monailabel", "fastapi", "uvicorn", "mrseg_monailabel"}


def imported(path: Path) -> list[tuple[str, str]]:
    """Return every (module, name) that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return found


def test_only_the_catalogue_contains_sql() -> None:
    # Other rooms pass a session on, read the parts of a URL, and catch errors; they make no statements.
    allowed = {("sqlalchemy.orm", "Session"), ("sqlalchemy.engine", "make_url"), ("sqlalchemy.engine", "URL")}
    offenders = [
        f"{name_of(path)}: {module}.{name}"
        for path in sources()
        if not path.is_relative_to(PRODUCT / "catalog")
        for module, name in imported(path)
        if module.partition(".")[0] == "sqlalchemy" and module != "sqlalchemy.exc" and (module, name) not in allowed
    ]
    assert offenders == []


def test_temporary_names_are_not_made_by_hand() -> None:
    offenders = [
        name_of(path)
        for path in sources()
        if {("tempfile", "mktemp"), ("tempfile", "NamedTemporaryFile")} & set(imported(path))
    ]
    assert offenders == []


def test_modules_are_short() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES and name not in LONGER} == {}
    assert [name for name in LONGER if lengths.get(name, 0) <= MAX_LINES] == [], "these are short again"


def test_every_module_has_a_docstring() -> None:
    helpers = (path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
    without = [
        name_of(path)
        for path in (*sources(), *helpers)
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert without == []


def test_the_stock_launcher_gets_a_short_app() -> None:
    main = ROOT / "apps" / "mrseg" / "main.py"
    assert len(main.read_text(encoding="utf-8").splitlines()) < 20
