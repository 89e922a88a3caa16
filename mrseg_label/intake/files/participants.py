"""Tables of participants: code, sex and age."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.names import clean_code
from mrseg_label.intake.options import Refused
from mrseg_label.text import decode_text

# Names of columns without case, accents, blanks and marks; the first that a table has is taken.
_COLUMNS = {
    "participant": (
        *("participant", "participantid", "participantcode", "participantno", "participantnumber"),
        *("subject", "subjectid", "subjectcode", "subjectno", "subjectnumber", "subjid", "subid", "sub"),
        *("patient", "patientid", "patientcode", "patientno", "patientnumber", "patid", "patnr", "patientennummer"),
        *("proband", "probandid", "probandennummer", "pseudonym", "code", "eid", "pid", "imageid", "amosid", "id"),
    ),
    "sex": (
        "sex",
        "gender",
        "patientsex",
        "patientssex",
        "sexatbirth",
        "biologicalsex",
        "geschlecht",
        "sexe",
        "sexo",
        "basissex",
    ),
    "age": (
        *("age", "ageyears", "ageinyears", "agey", "ageyr", "ageyrs", "ageatscan", "ageatimaging", "ageatmri"),
        *("ageatscanyears", "ageatexamination", "ageatvisit", "patientage", "patientsage"),
        *("alter", "alterjahre", "alterinjahren", "edad", "eta", "basisage"),
    ),
}
_SEX = {
    **dict.fromkeys(("m", "male", "man", "boy", "männlich", "maennlich", "mann"), "M"),
    **dict.fromkeys(("f", "female", "woman", "girl", "w", "weiblich", "frau"), "F"),
    **dict.fromkeys(("o", "other", "x", "d", "divers", "diverse", "nonbinary", "non-binary"), "O"),
}
_UNKNOWN = ("", "n/a", "na", "nan", "none", "null", "unknown", "?", "u", "-", ".", "k.a.", "unbekannt")
_AGE = re.compile(
    r"0*(\d+(?:[.,]\d+)?)\s*(?:(y|yr|yrs|years?|j|jahre?|\+)|(m|mo|mon|months?|monate?))?\.?", re.IGNORECASE
)


@dataclass(frozen=True)
class ParticipantRow:
    """A row of a table of participants.

    Attributes
    ----------
    sex : M, F, O or None. age : years or None.
    where : file and line, for messages.
    """

    code: str
    sex: str | None
    age: float | None
    where: str


def read_participants(path: Path) -> tuple[dict[str, ParticipantRow], list[Refused]]:
    """Read a table of participants (CSV with commas, semicolons or tabs; UTF-8, UTF-16 or Windows-1252).

    Returns
    -------
    rows : by participant code.
    refused : lines that cannot be used, each with the reason.

    Raises
    ------
    InvalidInput
        The file cannot be read or has no column of participants.
    """
    lines = re.split(r"\r\n|\r|\n", _read_text(path))
    skipped = _skip_empty(lines, 0)
    stated = re.fullmatch(r"sep=(.)", lines[skipped].strip()) if skipped < len(lines) else None  # as Excel writes it
    if stated:
        skipped = _skip_empty(lines, skipped + 1)
    header = lines[skipped] if skipped < len(lines) else ""
    delimiter = stated[1] if stated else max("\t;,", key=header.count)
    reader = csv.DictReader(io.StringIO("\n".join(lines[skipped:])), delimiter=delimiter)
    columns = _find_columns(list(reader.fieldnames or []))
    if "participant" not in columns:
        raise InvalidInput(
            f"{path}: the first line must name the columns, one of them participant; it is {header.strip()!r}"
        )
    rows: dict[str, ParticipantRow] = {}
    refused: list[Refused] = []
    for cells in reader:
        where = f"{path}, line {reader.line_num + skipped}"
        if not any(value.strip() for value in cells.values() if isinstance(value, str)):
            continue
        try:
            row = _parse_row(cells, columns, where)
            if row.code in rows:
                raise InvalidInput(f"participant {row.code} is listed twice; remove one of the lines")
            rows[row.code] = row
        except InvalidInput as error:
            refused.append(Refused(where, str(error)))
    return rows, refused


def _skip_empty(lines: list[str], start: int) -> int:
    """Return the number of the first line from ``start`` on that has more than separators."""
    return next((number for number in range(start, len(lines)) if lines[number].strip(" ,;\t")), len(lines))


def _read_text(path: Path) -> str:
    """Read a table as text."""
    try:
        text = decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{path}: cannot read the table of participants: {reason}") from error
    if "\0" in text:
        raise InvalidInput(
            f"{path}: not a table of participants as text; save it as CSV with commas, semicolons or tabs"
        )
    return text


def _find_columns(names: list[str]) -> dict[str, str]:
    simple = {_simplify(name): name for name in reversed(names) if name is not None}
    columns = {}
    for column, spellings in _COLUMNS.items():
        found = next((simple[spelling] for spelling in spellings if spelling in simple), None)
        if found is not None:
            columns[column] = found
    return columns


def _simplify(name: str) -> str:
    """Reduce the name of a column to letters and digits: ``Age (years)``, ``age_years`` and ``AgeYears`` are one."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = re.sub(r"\((m/f|m/w|m/f/o|m/w/d|f/m|w/m)\)", "", plain)
    return re.sub(r"[^a-z0-9]+", "", plain)


def _parse_row(cells: dict[str, str | None], columns: dict[str, str], where: str) -> ParticipantRow:
    def cell(column: str) -> str:
        return (cells.get(columns.get(column, "")) or "").strip()

    sex = cell("sex")
    if _simplify(columns.get("sex", "")) == "basissex":  # NAKO codes it
        sex = {"1": "M", "2": "F"}.get(sex, sex)
    return ParticipantRow(clean_code(cell("participant")), parse_sex(sex), parse_age(cell("age")), where)


def parse_sex(text: str) -> str | None:
    """Return M, F or O, or None where a text says that the sex is unknown.

    Raises
    ------
    InvalidInput
        The text is something else.
    """
    plain = text.strip().casefold()
    if plain not in _UNKNOWN and plain not in _SEX:
        raise InvalidInput(f"sex must be M, F or O (male, female, other), not {text.strip()!r}")
    return _SEX.get(plain)


def parse_age(text: str) -> float | None:
    """Return an age in years, or None where a text says that it is unknown; ``7M`` and ``7 months`` are months.

    Raises
    ------
    InvalidInput
        The text is no age from 0 to 130 years.
    """
    if text.strip().casefold() in _UNKNOWN:
        return None
    match = _AGE.fullmatch(text.strip())
    years = float(match[1].replace(",", ".")) if match else -1.0
    if match and match[3]:
        years = round(years / 12, 1)
    if not 0 <= years <= 130:
        raise InvalidInput(f"age must be a number of years from 0 to 130, not {text.strip()!r}")
    return years
