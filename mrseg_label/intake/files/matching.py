"""Match the rows of a table of participants with the participants of an import."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.files.participants import ParticipantRow
from mrseg_label.intake.names import clean_code, strip_suffix
from mrseg_label.intake.options import MatchedRow, UnmatchedRow

_PREFIXES = ("sub", "subj", "subject", "participant", "patient", "pat")
_PARTS = re.compile(r"\d+|[^\W\d_]+|[^\w\s-]")

LooseKey = tuple[str, ...]


def loose_key(code: str) -> LooseKey:
    """Reduce a code to what is left without leading zeros, case, blanks, hyphens, underscores and a ``sub-`` before it.

    Numbers stay apart: ``1-12`` and ``11-2`` differ. ``1.0`` is 1, as programs write a column of numbers with gaps.
    """
    plain = unicodedata.normalize("NFKC", code).casefold().strip()
    plain = re.sub(r"^(\d+)\.0+$", r"\1", plain)
    parts = [part.lstrip("0") or "0" if part.isdecimal() else part for part in _PARTS.findall(plain)]
    if len(parts) > 1 and parts[0] in _PREFIXES:
        parts = parts[1:]
    return tuple(parts)


@dataclass
class ParticipantTable:
    """The rows of a table of participants, and which of them an import has found.

    Attributes
    ----------
    rows : by participant code.
    loose : whether codes that differ only in what :func:`loose_key` leaves out are the same where they are unique.
    spellings : names in paths that are like the code of a row, found in an import that does not match loosely.
    """

    rows: Mapping[str, ParticipantRow] = field(default_factory=dict)
    loose: bool = False
    spellings: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rows_by_key: dict[LooseKey, list[str]] = defaultdict(list)
        for code in self.rows:
            self._rows_by_key[loose_key(code)].append(code)

    def listed_code(self, found: FoundFile) -> str | None:
        """Find the code of the participant in the path of a file: as the name of a folder, else as a beginning of its name.

        Where the path has no code of the table as it stands and ``loose`` is set, a name that is like that of
        one row counts, and is the code.
        """
        folders, name = _names_in(found)
        exact = next((part for part in folders if part in self.rows), None)
        if exact is not None:
            return exact
        beginnings = [code for code in self.rows if re.match(re.escape(code) + r"(?:$|[\s._-])", name)]
        if beginnings:
            return max(beginnings, key=len)
        like = next((part for part in (*folders, *_beginnings(name)) if len(self.rows_like(part)) == 1), None)
        if like is not None and not self.loose:
            self.spellings.add(like)
            return None
        return like

    def rows_like(self, code: str) -> list[str]:
        """Return the codes of the rows that differ from a code only in what :func:`loose_key` leaves out."""
        return self._rows_by_key.get(loose_key(code), [])

    def match(
        self, participants: Collection[str], stored: Collection[str]
    ) -> tuple[dict[str, ParticipantRow], list[MatchedRow], list[UnmatchedRow]]:
        """Match the rows that are left with the participants that are left.

        Parameters
        ----------
        participants : codes of the participants of the import.
        stored : codes of rows that are participants of the catalogue.

        Returns
        -------
        rows : by code of the participant that they are taken for; empty unless ``loose``.
        matched : the same, for the report.
        unmatched : rows of no participant, with the codes that they may stand for.
        """
        codes_by_key: dict[LooseKey, list[str]] = defaultdict(list)
        for code in sorted({*participants, *self.spellings}):
            codes_by_key[loose_key(code)].append(code)
        taken: dict[str, ParticipantRow] = {}
        matched: list[MatchedRow] = []
        unmatched: list[UnmatchedRow] = []
        for code, row in self.rows.items():
            if code in participants or code in stored:
                continue
            key = loose_key(code)
            candidates = [other for other in codes_by_key.get(key, ()) if other not in self.rows]
            is_unique = len(self._rows_by_key[key]) == len(codes_by_key.get(key, ())) == 1 and bool(candidates)
            if self.loose and is_unique:
                taken[candidates[0]] = row
                matched.append(MatchedRow(row.where, code, candidates[0]))
            else:
                unmatched.append(UnmatchedRow(row.where, code, tuple(candidates), is_unique))
        return taken, matched, unmatched

    def count_without_row(self, participants: Iterable[str], taken: Collection[str]) -> int:
        """Count the participants that have no row."""
        return sum(code not in self.rows and code not in taken for code in participants) if self.rows else 0


def _names_in(found: FoundFile) -> tuple[list[str], str]:
    """Return the folders of a file, innermost first, and its name without suffix.

    Only the imported folder and those below it: what lies above does not tell participants apart.
    """
    depth = len(found.relative.parts)
    folders = [clean_code(part) for part in found.path.parts[1:][-depth - 1 : -1]]
    return folders[::-1], clean_code(strip_suffix(PurePosixPath(found.path.name).name))


def _beginnings(name: str) -> list[str]:
    """Return the beginnings of a name that end before a separator, longest first."""
    ends = [match.start() for match in re.finditer(r"[\s._-]", name)]
    return [name, *(name[:end] for end in reversed(ends) if end)]
