"""Whose image a file is, from which station and of which sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label.errors import InvalidInput
from mrseg_label.intake import bids
from mrseg_label.intake.discover import Found, strip_suffix
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.participants import clean_code
from mrseg_label.intake.pattern import Pattern
from mrseg_label.intake.sequences import canonical_sequence, sequence_in_name

if TYPE_CHECKING:
    from mrseg_label.intake.exports import Volume


@dataclass(frozen=True)
class Source:
    """A file with what is known of it before it is opened.

    Attributes
    ----------
    participant : code; if ``stated`` is false it was made of the file's name, and the file is a participant
        of its own.
    mask : a mask of the image that lies beside it.
    volume : the frames of a DICOM image; ``path`` is then the folder or zip. sex, age : of DICOM.
    """

    path: Path
    shown: str
    participant: str
    stated: bool
    session: str = ""
    station: str = ""
    sequence: str = ""
    warnings: tuple[str, ...] = ()
    volume: Volume | None = None
    mask: Path | None = None
    sex: str | None = None
    age: float | None = None

    @property
    def origin(self) -> str:
        """What the catalogue keeps of where an image came from: the file, or a DICOM series without a name in it."""
        return str(self.path) if self.volume is None else self.shown

    @property
    def group(self) -> tuple[str, ...]:
        """What co-registered images have in common before their grids are known."""
        if not self.stated:
            return ("", str(self.path))
        return (self.participant, self.session, self.station)


def assign(
    images: Sequence[Found], options: ImportOptions, codes: Collection[str], report: ImportReport
) -> list[list[Source]]:
    """Sort images into groups; those whose names do not fit are refused in the report.

    Parameters
    ----------
    codes : participants that the table names.

    Raises
    ------
    InvalidInput
        The pattern or the participant cannot be used.
    """
    pattern = Pattern(options.pattern) if options.pattern else None
    participant = clean_code(options.participant) if options.participant else None
    automatic = _automatic_codes(images)
    groups: dict[tuple[str, ...], list[Source]] = {}
    described: dict[Path, bool] = {}
    for found in images:
        in_bids = pattern is None and bids.in_data_set(found.path.parent, described)
        if in_bids and bids.passed_over(found):
            continue
        try:
            if in_bids:
                source = _from_fields(found, bids.fields_of(found), participant)
            elif pattern is not None:
                fields = pattern.match(found)
                if fields is None:
                    raise InvalidInput(f"the path does not fit the pattern {pattern.text}")
                source = _from_fields(found, fields, participant)
            else:
                source = _from_table(found, participant, codes, automatic[found.path])
        except InvalidInput as error:
            report.refuse(found.shown, str(error))
            continue
        groups.setdefault(source.group, []).append(source)
    return list(groups.values())


def _from_fields(found: Found, fields: Mapping[str, str], participant: str | None) -> Source:
    named = fields.get("sequence")
    return Source(
        found.path,
        found.shown,
        participant or clean_code(fields["participant"]),
        True,
        _short(fields.get("session", "")),
        _short(fields.get("station", "")),
        _short(canonical_sequence(named) if named else sequence_in_name(strip_suffix(found.path.name))),
    )


def _from_table(found: Found, participant: str | None, codes: Collection[str], automatic: str) -> Source:
    warnings: tuple[str, ...] = ()
    code = participant
    if code is None and codes:
        code = _listed_code(found, codes)
        if code is None:
            warnings = ("no participant of the table is named in the path; the file is a participant of its own",)
    return Source(
        found.path,
        found.shown,
        code or clean_code(automatic),
        code is not None,
        sequence=sequence_in_name(strip_suffix(found.path.name)),
        warnings=warnings,
    )


def automatic_codes(path: Path, first: str) -> Iterator[str]:
    """Codes for a file that is a participant of its own: ``first``, then with more and more folders before it."""
    yield first
    parts = [*path.parts[1:-1], strip_suffix(path.name)]
    for count in range(1, len(parts) + 1):
        code = clean_code("/".join(parts[-count:]))
        if len(code) > len(first):
            yield code
    yield clean_code("/".join(path.parts[1:]))


def _automatic_codes(images: Sequence[Found]) -> dict[Path, str]:
    """The shortest code of each file, path below the imported folder or longer, that no other file has."""
    choices = {found.path: automatic_codes(found.path, strip_suffix(found.relative.as_posix())) for found in images}
    codes = {path: next(choice) for path, choice in choices.items()}
    while True:
        counts = Counter(codes.values())
        doubled = [path for path, code in codes.items() if counts[code] > 1]
        if not doubled:
            return codes
        for path in doubled:
            codes[path] = next(choices[path])


def _listed_code(found: Found, codes: Collection[str]) -> str | None:
    """The participant of the table whose code a folder bears or the file's name begins with."""
    # Folders below and with the imported one; what lies above it says nothing of the participant.
    depth = len(found.relative.parts)
    folders = [clean_code(part) for part in found.path.parts[1:][-depth - 1 : -1]]
    name = clean_code(strip_suffix(found.path.name))
    folders = [part for part in reversed(folders) if part in codes]
    if folders:
        return folders[0]
    heads = [code for code in codes if re.match(re.escape(code) + r"(?:$|[\s._-])", name)]
    return max(heads, key=len) if heads else None


def _short(text: str) -> str:
    if len(text) > 255 or not text.isprintable():
        raise InvalidInput(f"a station or sequence has at most 255 printable characters; {text[:80]!r} cannot be used")
    return text
