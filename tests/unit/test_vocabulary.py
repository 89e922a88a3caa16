"""Text for people uses one word for each thing (docs/glossary.md), as far as a program can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@dataclass(frozen=True)
class Rule:
    """A word that we do not use.

    Attributes
    ----------
    pattern : the word, as a regular expression.
    instead : what to write.
    allowed_in : files where the word is right, as patterns of paths from the root.
    """

    pattern: str
    instead: str
    allowed_in: tuple[str, ...] = ()


JOBS = (
    "mrseg_label/jobs/*", "mrseg_label/worker/*", "mrseg_label/catalog/tables/jobs.py", "mrseg_label/catalog/queries/jobs.py",
    "mrseg_label/nnunet/*", "mrseg_label/config.py", "docs/glossary.md", "docs/architecture.md", "docs/decisions/0001-*",
)  # fmt: skip
RULES = (
    # Events of earlier versions keep the names that those gave them.
    Rule(r"hand(?:s|ed|ing)?[ -]outs?", "assign, assignment", ("mrseg_label/reports/audit.py", "CHANGELOG.md")),
    Rule(r"(?:give|gives|gave|given|giving) (?:it |them )?out", "assign; send"),
    Rule(
        r"leases?",
        "assignment (a lease is a worker's hold on a job, or a server's on sending notifications)",
        (*JOBS, "mrseg_label/notifications/*", "mrseg_label/catalog/*/notifications.py"),
    ),
    # An annotation is one revision of an acquisition's annotations, and has a number; Alembic has revisions of its own.
    Rule(
        r"(?<!one )(?<!next )(?<!number of the )revisions?(?! numbers?)",
        "annotation",
        ("mrseg_label/catalog/migrat*", "CONTRIBUTING.md"),
    ),
    Rule(r"(?<!there )(?:is|are) (?-i:none)(?! of)", "X is not a Y"),
    Rule(r"says? which(?=\W*(?:[.,;:)\"]|$))", "state it, with the value"),
    Rule(r"nobody (?:judged|vouches)|unjudged", "not annotated"),
    Rule(r"who(?:ever)? asks|goes to whoever", "the reader, the client, the user"),
    Rule(r"who may what", "permissions"),
    Rule(r"front door|doors?", "middleware, permission"),
    Rule(r"wish(?:es)?", "request"),
    Rule(r"in what dress|in no more", "encrypted or not; disable"),
    Rule(r"proposals?", "pre-segmentation"),
    Rule(r"further readings?", "second reading"),
    Rule(r"mask values?", "label id"),
)


def texts_of_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring and string literal with more than one word; names are not text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, re.sub(r"``[^`]*``", "``", node.value)


def texts_of_page(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text of a page without inline code and the targets of links."""
    yield 1, re.sub(r"`[^`\n]*`|\]\([^)]*\)", "``", path.read_text(encoding="utf-8"))


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def modules() -> list[Path]:
    """Return the modules whose texts people see; a released migration is never edited."""
    folders = (ROOT / "mrseg_label", ROOT / "lib" / "mrseg_monailabel")
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "versions" not in path.parts)


@cache
def texts() -> list[tuple[str, int, str]]:
    """Return file, line and text of everything that people read."""
    return [
        (path.relative_to(ROOT).as_posix(), line, text)
        for path in (*modules(), *pages())
        for line, text in (texts_of_page if path.suffix == ".md" else texts_of_code)(path)
    ]


def offences(rule: Rule) -> Iterator[str]:
    word = re.compile(rf"\b(?:{rule.pattern})\b", re.IGNORECASE)
    for name, line, text in texts():
        if not any(fnmatch(name, pattern) for pattern in rule.allowed_in):
            for found in word.finditer(text):
                at = line + text.count("\n", 0, found.start())
                yield f"{name}:{at}: {found.group()!r}; write: {rule.instead}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_texts_use_the_words_of_the_glossary(rule: Rule) -> None:
    assert list(offences(rule)) == []
