"""What is looked for when somebody is deleted: their ids, digests, codes and file names, in texts, JSON and logs.

A text is split into words of letters and digits, and only where one of them begins or is within something that is
looked for is it compared; so a list of a thousand people costs no more than one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

MIN_LENGTH = 4  # shorter codes ("7") are in every text; they are removed only where they stand for a participant
REMOVED = "[removed: it named a deleted participant]"
_SHORT = "[removed]"
_WORD = re.compile(rb"[A-Za-z0-9\x80-\xff]+")
_NAMING = re.compile(r"participant|patient|code|person|subject", re.IGNORECASE)
_GONE = object()


@dataclass(frozen=True)
class Traces:
    """What stands for the deleted participants.

    Attributes
    ----------
    ids : identifiers, tickets and digests, which are distinct from everything else.
    names : codes and names of files.
    files : paths, relative to the workspace, of their files and folders.
    cases : names of their cases in nnU-Net's folders.
    rounds : numbers of the rounds whose snapshots they were in.
    kept : codes of others in which one of the names is a word: ``site-2/1001`` is not ``1001``.
    """

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    cases: frozenset[str] = frozenset()
    rounds: tuple[int, ...] = ()
    kept: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Write down what is looked for, until it is gone."""
        return {
            "ids": sorted(self.ids),
            "names": sorted(self.names),
            "files": list(self.files),
            "cases": sorted(self.cases),
            "rounds": list(self.rounds),
            "kept": sorted(self.kept),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Traces:
        """Read what :meth:`to_json` wrote."""
        return cls(
            ids=frozenset(data["ids"]),
            names=frozenset(data["names"]),
            files=tuple(data["files"]),
            cases=frozenset(data["cases"]),
            rounds=tuple(data["rounds"]),
            kept=frozenset(data["kept"]),
        )

    def has_id(self, text: str) -> bool:
        """Whether a whole text is one of the ids."""
        return text in self.ids

    @cached_property
    def _literals(self) -> dict[bytes, tuple[bytes, ...]]:
        """What is looked for, by the longest word in it."""
        found: dict[bytes, set[bytes]] = {}
        for text in (*self.ids, *self.names):
            for literal in _spellings(text):
                words = _WORD.findall(literal)
                if words and len(text) >= MIN_LENGTH:
                    found.setdefault(max(words, key=len), set()).add(literal)
        for name in (name for name in self.names if len(name) < MIN_LENGTH):
            for literal in _spellings(f"participant {name}"):
                found.setdefault(max(_WORD.findall(literal), key=len), set()).add(literal)
        return {word: tuple(sorted(literals, key=len, reverse=True)) for word, literals in found.items()}

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where in a text, by beginning and end, something is that is looked for."""
        literals = self._literals
        if literals.keys().isdisjoint(_WORD.findall(data)):  # nearly always, and much faster
            return
        for word in _WORD.finditer(data):
            for literal in literals.get(word[0], ()):
                start = _find(data, literal, word.start())
                if start is not None and not self._is_of_others(data, start, start + len(literal)):
                    yield start, start + len(literal)
                    break

    def _is_of_others(self, data: bytes, start: int, end: int) -> bool:
        """Whether what was found is a part of somebody else's code."""
        for code in self._kept:
            first = data.find(code, max(0, end - len(code)), start + len(code))
            if first >= 0 and first <= start and end <= first + len(code):
                return True
        return False

    @cached_property
    def _kept(self) -> tuple[bytes, ...]:
        return tuple(spelling for code in self.kept for spelling in _spellings(code))

    def in_text(self, text: str) -> bool:
        """Whether a text mentions one of them."""
        return next(self.spans(text.encode(errors="surrogateescape")), None) is not None

    def may_mention(self, text: str) -> bool:
        """Whether the text of a JSON value may mention one of them: False is certain."""
        return any(len(name) < MIN_LENGTH for name in self.names) or self.in_text(text)

    def clean_text(self, text: str) -> str:
        """Remove the lines of a text that mention one of them."""
        if not self.in_text(text):
            return text
        return "".join(self._clean_line(line) for line in text.splitlines(keepends=True))

    def _clean_line(self, line: str) -> str:
        if not self.in_text(line):
            return line
        return REMOVED + line[len(line.rstrip("\r\n")) :]

    def blank_lines(self, data: bytes) -> bytes:
        """Overwrite the lines of a log that mention one of them; everything else stays where it is."""
        result = bytearray(data)
        for start, end in self.spans(data):
            first = data.rfind(b"\n", 0, start) + 1
            last = data.find(b"\n", end)
            last = len(data) if last < 0 else last
            result[first:last] = _SHORT.encode()[: last - first].ljust(last - first, b" ")
        return bytes(result)

    def blank_words(self, data: bytes) -> bytes:
        """Overwrite what mentions one of them by as many asterisks, for files that have no lines."""
        result = bytearray(data)
        for start, end in self.spans(data):
            result[start:end] = b"*" * (end - start)
        return bytes(result)

    def clean_json(self, value: Any) -> Any:
        """Remove from a JSON value what mentions one of them: entries of objects and lists, lines of texts."""
        cleaned = self._clean(value, named=False)
        return type(value)() if cleaned is _GONE else cleaned

    def _clean(self, value: Any, *, named: bool) -> Any:
        if isinstance(value, str):
            if value in self.kept:
                return value
            if value in self.ids or (value in self.names and (named or len(value) >= MIN_LENGTH)):
                return _GONE
            return self.clean_text(value)
        if isinstance(value, dict):
            entries = {
                key: self._clean(entry, named=_NAMING.search(str(key)) is not None)
                for key, entry in value.items()
                if not self.in_text(str(key))
            }
            return {key: entry for key, entry in entries.items() if entry is not _GONE}
        if isinstance(value, list | tuple):
            return [entry for one in value if (entry := self._clean(one, named=named)) is not _GONE]
        return value


def _spellings(text: str) -> set[bytes]:
    """How a text may be spelt in files: composed or not, in JSON, in Python's own form, in a URL."""
    forms = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    return {
        spelling.encode(errors="surrogateescape")
        for form in forms
        for spelling in (form, json.dumps(form)[1:-1], repr(form)[1:-1], quote(form, safe=""), quote(form))
        if spelling
    }


def _find(data: bytes, literal: bytes, word_start: int) -> int | None:
    """Find a literal around one of its words, where nothing but it stands between other letters and digits."""
    longest = max(_WORD.finditer(literal), key=lambda word: len(word[0]))
    start = word_start - longest.start()
    end = start + len(literal)
    if start < 0 or data[start:end] != literal:
        return None
    before, after = data[start - 1 : start], data[end : end + 1]
    return None if _WORD.fullmatch(before) or _WORD.fullmatch(after) else start
