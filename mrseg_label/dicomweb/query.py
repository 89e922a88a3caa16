"""What is asked for on a DICOMweb server: studies by date, modality and description, or by identifiers from a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.text import decode_text

MODALITIES = ("MR", "CT")
MAX_IDENTIFIERS = 100_000
_UID = re.compile(r"[0-2](?:\.\d{1,63}){3,}")
_MAX_UID = 64
_MAX_ACCESSION = 64
_MODALITY = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_DATE = r"\d{4}-?\d{2}-?\d{2}"
_RANGE = re.compile(rf"(?P<first>{_DATE})?(?:(?P<to>\.\.|:|-)(?P<last>{_DATE})?)?")


@dataclass(frozen=True)
class Query:
    """What is asked for; what is empty does not restrict.

    Attributes
    ----------
    dates : of the study, as DICOM has it: ``20250301``, ``20250101-20250630``, ``20250101-`` or ``-20250630``.
    modalities : of the series.
    description : text in the description of the study or of the series, in any case; with ``*`` a pattern of all of it.
    identifiers : study or series UIDs, or accession numbers.
    """

    dates: str = ""
    modalities: tuple[str, ...] = MODALITIES
    description: str = ""
    identifiers: tuple[str, ...] = ()

    def matches(self, text: str) -> bool:
        """Whether a description is one of those asked for."""
        wanted, folded = self.description.casefold(), text.casefold()
        return fnmatchcase(folded, wanted) if "*" in wanted else wanted in folded

    def covers(self, date: str) -> bool:
        """Whether a study of this date (``20250301``) is asked for; one without a date is not, if dates are."""
        if not self.dates:
            return True
        first, dash, last = self.dates.partition("-")
        return bool(date) and first <= date <= ((last or "99999999") if dash else first)


def parse_query(dates: str = "", modalities: str = "", description: str = "", identifiers: Sequence[str] = ()) -> Query:
    """Parse the parts of a query as people write them.

    Parameters
    ----------
    dates : ``2025-03-01``, or ``2025-01-01..2025-06-30`` with either end left out; also without hyphens.
    modalities : separated by commas; MR and CT by default.
    identifiers : one in each, as :func:`read_identifiers` gives them.

    Raises
    ------
    InvalidInput
        A part cannot be used.
    """
    kinds = tuple(dict.fromkeys(part.upper() for part in re.split(r"[,;\s]+", modalities) if part)) or MODALITIES
    for kind in kinds:
        if not _MODALITY.fullmatch(kind):
            raise InvalidInput(f"{kind[:40]!r} is not a modality such as MR or CT")
    text = description.strip()
    if len(text) > 200 or not text.isprintable():
        raise InvalidInput("a description has at most 200 printable characters")
    for identifier in identifiers:
        check_identifier(identifier)
    if len(identifiers) > MAX_IDENTIFIERS:
        raise InvalidInput(f"the list has {len(identifiers):,} lines; at most {MAX_IDENTIFIERS:,} are allowed")
    return Query(_parse_dates(dates.strip()), kinds, text, tuple(dict.fromkeys(identifiers)))


def read_identifiers(text: str) -> list[str]:
    """Read a list with one UID or accession number a line; empty lines and what follows a ``#`` are left out."""
    lines = (line.partition("#")[0].strip() for line in text.lstrip("\ufeff").splitlines())
    return [line.strip("\"'") for line in lines if line]


def read_list(path: Path) -> list[str]:
    """Read a file as :func:`read_identifiers` does.

    Raises
    ------
    InvalidInput
        There is no such file, or nothing in it.
    """
    if not path.is_file():
        raise InvalidInput(f"{path}: no such list of UIDs or accession numbers")
    found = read_identifiers(decode_text(path.read_bytes()))
    if not found:
        raise InvalidInput(f"{path} has no UID or accession number in it; write one a line")
    return found


def is_uid(text: str) -> bool:
    """Whether a text is a UID and not an accession number."""
    return len(text) <= _MAX_UID and _UID.fullmatch(text) is not None


def check_identifier(text: str) -> None:
    """Raise :class:`InvalidInput` where a text is neither a UID nor an accession number; wildcards ask for too much."""
    if not is_uid(text) and (len(text) > _MAX_ACCESSION or not text.isprintable() or re.search(r"[*?\\\s,;]", text)):
        raise InvalidInput(
            f"{text[:80]!r} is neither a UID nor an accession number; write one a line, without wildcards"
        )


def _parse_dates(text: str) -> str:
    if not text:
        return ""
    match = _RANGE.fullmatch(text)
    if match is None or not (match["first"] or match["last"]):
        raise InvalidInput(f"{text[:60]!r} is not a date such as 2025-03-01, or a range such as 2025-01-01..2025-06-30")
    first, last = (_parse_date(part) if part else "" for part in (match["first"], match["last"]))
    if first and last and last < first:
        raise InvalidInput(f"the range {text!r} ends before it begins; exchange the dates")
    return f"{first}-{last}" if match["to"] else first


def _parse_date(text: str) -> str:
    digits = text.replace("-", "")
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a date of the calendar") from error
    return digits
