"""Find the structure of the scheme that the name of a segment means."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from mrseg_label.errors import ConfigurationError, LabelError
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
        It is longer than 200 characters, or has control characters or lone surrogates.
    """
    if len(name) > MAX_NAME_LENGTH or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise LabelError(
            f"the segment {name[:60]!r} has a name of {len(name)} characters; rename it: a name has at most "
            f"{MAX_NAME_LENGTH} characters and no control characters"
        )
    return name


def is_ignored(name: str) -> bool:
    """Whether a segment is one that tools add (background, scribbles), and not a structure."""
    return _IGNORED.fullmatch(name.strip()) is not None


class NameTable:
    """The names by which the structures of a scheme are known.

    A structure is known by its key and by its name for people, in any case, with any spaces and punctuation, with the side first or last,
    and in British or American spelling; and by TotalSegmentator's name of a class that is this structure.
    """

    def __init__(self, scheme: LabelScheme) -> None:
        self._scheme = scheme
        self._structures: dict[_Key, str | None] = {}  # None: the name could mean several
        self._classes: dict[str, str] = {}
        self._parts: dict[tuple[str, str], set[str]] = {}  # names of the classes of a structure in a label set
        self._shown = {structure.shown_name: structure.name for structure in scheme}
        for structure in scheme:
            for key in {_key(structure.name), _key(structure.shown_name)}:
                self._structures[key] = None if key in self._structures else structure.name
        owners = {
            (label_set, number): (s.name, len(ids))
            for s in scheme
            for label_set, ids in s.foreign_ids.items()
            for number in ids
        }
        for label_set, number, foreign in _rows("foreign_names.tsv"):
            owner, classes = owners.get((label_set, int(number)), (None, 0))
            if owner is None:
                continue
            self._classes.setdefault(foreign.casefold(), owner)
            self._parts.setdefault((owner, label_set), set()).add(foreign)
            if classes == 1:
                key = _key(foreign)
                self._structures[key] = owner if self._structures.get(key, owner) == owner else None

    def match(self, name: str) -> str | None:
        """The structure that a name means; None if it means none, or could mean several."""
        if name in self._scheme:
            return name
        return self._shown.get(unicodedata.normalize("NFC", name)) or self._structures.get(_key(name))

    def structure_around(self, name: str) -> str | None:
        """The structure that a class of TotalSegmentator is, or is a part of, by the name of the class in any case."""
        return self._classes.get(name.casefold())

    def missing_classes(self, structure: str, present: Sequence[str]) -> list[str]:
        """The classes that a structure lacks, in the label set of which the fewest are missing."""
        known = {name.casefold() for name in present}
        absent = [
            sorted(name for name in classes if name.casefold() not in known)
            for (owner, _), classes in self._parts.items()
            if owner == structure and not known.isdisjoint(map(str.casefold, classes))
        ]
        return min(absent, key=len, default=[])


def nearest_structure(name: str, scheme: LabelScheme) -> str | None:
    """The structure whose name is nearest to one that means none, wherever either has its side; None if none is near."""
    spelled = {" ".join((*sides, rest)): structure for structure in scheme.names for sides, rest in [_key(structure)]}
    sides, rest = _key(name)
    return next((spelled[near] for near in get_close_matches(" ".join((*sides, rest)), spelled, 1)), None)


def side_of(name: str) -> str | None:
    """The side of the body in a name, ``left`` or ``right``; None if it names neither, or both."""
    sides = _key(name)[0]
    return sides[0] if len(sides) == 1 else None


def required_structures(scheme: LabelScheme, setting: str) -> tuple[str, ...]:
    """Parse REQUIRED_STRUCTURES: names separated by commas, or ``all``; returned in the order of the ids.

    Raises
    ------
    ConfigurationError
        A name in the setting is not in the label scheme.
    """
    if setting.strip().casefold() == "all":
        return scheme.names
    table = NameTable(scheme)
    named = {part: table.match(part) for part in map(str.strip, setting.split(",")) if part}
    unknown = sorted(part for part, structure in named.items() if structure is None)
    if unknown:
        nearest = [near for part in unknown if (near := nearest_structure(part, scheme)) is not None]
        advice = f"did you mean {', '.join(nearest)}?" if nearest else f"it has: {', '.join(scheme.names)}"
        raise ConfigurationError(
            f"REQUIRED_STRUCTURES names structures that are not in the label scheme: {', '.join(unknown)}; {advice}"
        )
    wanted = set(named.values())
    return tuple(name for name in scheme.names if name in wanted)


def _key(name: str) -> _Key:
    """Split a name into its sides and the rest: ``Kidney, left``, ``left_kidney`` and ``LEFT KIDNEY`` have one key."""
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
