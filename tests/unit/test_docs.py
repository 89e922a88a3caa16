"""The guides name every setting, command, option and route, and nothing that is not there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from fastapi import FastAPI

from mrseg_label import api
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.cli import app
from mrseg_label.config import Settings
from mrseg_label.nnunet.profiles import PROFILES
from mrseg_label.workspace import Workspace
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
# What stands at the root, and the name under which docs/site_hooks.py takes it into the site.
ROOT_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
PAGES = [ROOT / "README.md", *(ROOT / name for name in ROOT_PAGES), *DOCS.rglob("*.md")]


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def rows_of(text: str) -> dict[str, tuple[str, ...]]:
    """Tables of a page: the code in the first cell to the other cells."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("|` "): tuple(row[1:]) for row in cells}


def test_every_setting_is_explained() -> None:
    rows = rows_of(text_of("configuration.md"))
    settings = {name.upper(): field for name, field in Settings.model_fields.items()}
    assert settings.keys() == {key for key in rows if key.isupper()}
    for name, field in settings.items():
        default = field.default
        if isinstance(default, bool):
            assert rows[name][0] == str(default).lower(), name
        elif isinstance(default, int | float):
            assert rows[name][0] == f"{default:g}", name
        elif default:
            assert rows[name][0] == f"`{default}`", name
    assert PROFILES.keys() <= rows.keys()


def test_every_command_and_option_is_explained() -> None:
    text = text_of("command-line.md")
    for words, command in commands(typer.main.get_command(app)):
        assert f"`{words}" in text, words
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert option in text, f"{words} {option}"


def test_every_command_that_is_named_is_there() -> None:
    known = {words for words, _ in commands(typer.main.get_command(app))}
    groups = {words.partition(" ")[0] for words in known if " " in words}
    for page in PAGES:
        for first, second in re.findall(
            r"mrseg-label ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?", page.read_text(encoding="utf-8")
        ):
            assert first in known or f"{first} {second}" in known or first in groups, (
                f"{page.name}: mrseg-label {first} {second}"
            )


def test_every_route_is_explained(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    application = FastAPI()
    application.include_router(api.router(workspace))
    application.include_router(api.root_router(workspace))
    workspace.catalog.close()
    routes = {
        f"{method.upper()} {path}"
        for path, operations in application.openapi()["paths"].items()
        for method in operations
    }
    assert routes == rows_of(text_of("rest.md")).keys()
    assert len(routes) > 15


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                yield page, target


def test_links_lead_somewhere() -> None:
    dead = [f"{page.relative_to(ROOT)}: {target}" for page, target in links() if not (page.parent / target).exists()]
    assert dead == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_to_a_heading_lead_to_one() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {target}#{anchor}"
        for page in PAGES
        for target, anchor in re.findall(r"\]\(([^)#\s]*\.md)?#([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if anchor not in anchors(page.parent / target if target else page)
    ]
    assert dead == []


def listed(nav: Any) -> Iterator[str]:
    """The pages of a navigation, depth first."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            (value,) = entry.values()
            yield from [value] if isinstance(value, str) else listed(value)


def test_the_navigation_holds_every_page_once() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    found = list(listed(site["nav"]))
    assert len(found) == len(set(found))
    assert set(found) == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | set(ROOT_PAGES.values())


def test_the_site_builds_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES) - 1
    foreign = r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//|<link[^>]+href=["']?(?:https?:)?//"""
    for page in pages:
        assert not re.search(foreign, page.read_text(encoding="utf-8")), page.name
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )
    assert not list((tmp_path / "site").rglob("*.py"))


def test_the_pictures_of_the_architecture_are_what_the_import_contract_says() -> None:
    command = [sys.executable, str(DOCS / "draw_architecture.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_everywhere() -> None:
    import mrseg_label

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert project["version"] == mrseg_label.__version__
    assert [package["version"] for package in locked if package["name"] == project["name"]] == [project["version"]]
    images = {
        service["image"] for service in compose["services"].values() if service["image"].startswith("mrseg-label")
    }
    assert images == {f"mrseg-label:{project['version']}"}
    assert (citation["version"], str(citation["date-released"])) == released[0]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]


def test_ci_runs_what_the_readme_says() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install uv && uv run pytest" in readme
    assert "pip install uv && uv run mrseg-label demo" in readme
    assert "\nuv run coverage run -m pytest\n" in ci
    assert "\nuv run pytest -m soak\n" in ci
    assert " mkdocs build --strict " in ci


def test_what_is_no_guide_for_readers_is_not_in_the_guides() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\bTODO\b|\bTBD\b|@@", text), page.name
