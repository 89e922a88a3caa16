"""From the name of a segment on a reader's screen to a structure of the scheme."""

from __future__ import annotations

import csv
import re
import unicodedata
from functools import cache
from pathlib import Path

from mrseg_label.errors import LabelError
from mrseg_label.labels import LabelScheme

_Key = tuple[tuple[str, ...], str]
MAX_NAME_LENGTH = 200
_SIDES = ("left", "right")
# What Slicer and MONAI Label put into the list beside anatomy.
_IGNORED = re.compile(r"background|(fore|back)ground[ _-]*scribbles?|scribbles?", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[^\W_]+")


def check_name(name: str) -> str:
    """Return the name of a segment if it can be stored and shown.

    Raises
    ------
    LabelError
        Longer than 200 characters, or with control characters or halves of characters.
    """
    if len(name) > MAX_NAME_LENGTH or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise LabelError(
            f"the segment {name[:60]!r} has a name of {len(name)} characters; a name has at most {MAX_NAME_LENGTH}, "
            "and no control characters: rename it"
        )
    return name


def is_ignored(name: str) -> bool:
    """Whether a segment is a tool's own (background, scribbles) and no structure."""
    return _IGNORED.fullmatch(name.strip()) is not None


class NameTable:
    """Finds the structure that a segment's name means.

    Taken are the scheme's own name; the same up to case, spaces and punctuation, place of the side, and
    British or American spelling; and TotalSegmentator's name of a class that the scheme maps to one
    structure alone.
    """

    def __init__(self, scheme: LabelScheme) -> None:
        self._scheme = scheme
        self._structures: dict[_Key, str | None] = {}
        for structure in scheme:
            key = _key(structure.name)
            self._structures[key] = None if key in self._structures else structure.name
        alone = {(label_set, s.foreign_ids[label_set]): s.name for s in scheme for label_set in s.foreign_ids}
        for label_set, number, foreign in _rows("foreign_names.tsv"):
            name = alone.get((label_set, (int(number),)))
            if name is not None:
                key = _key(foreign)
                self._structures[key] = name if self._structures.get(key, name) == name else None

    def match(self, name: str) -> str | None:
        """The structure's name; None if the name means none, or could mean several."""
        return name if name in self._scheme else self._structures.get(_key(name))


def _key(name: str) -> _Key:
    """Sides apart, the rest run together: ``Kidney, left``, ``left_kidney`` and ``LEFT KIDNEY`` are one."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", name)).replace("œ", "oe").casefold()
    words = [_spellings().get(word, word) for word in _WORDS.findall(text)]
    sides = tuple(sorted(word for word in words if word in _SIDES))
    return sides, "".join(word for word in words if word not in _SIDES)


@cache
def _spellings() -> dict[str, str]:
    return dict(_rows("spellings.tsv"))


@cache
def _rows(file: str) -> list[list[str]]:
    with Path(__file__).with_name(file).open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, delimiter="\t"))[1:]


def foreign_structures(scheme: LabelScheme) -> dict[str, str]:
    """The structure that each class of TotalSegmentator is, or is a part of, by the class's name in lower case."""
    found: dict[str, str] = {}
    for label_set, number, foreign in _rows("foreign_names.tsv"):
        for structure, ids in scheme.ids_in(label_set).items():
            if int(number) in ids:
                found.setdefault(foreign.casefold(), structure)
    return found
