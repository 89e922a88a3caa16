"""A table of participants: participant, sex, age."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.options import Refused

_COLUMNS = {
    "participant": (
        "participant",
        "participantid",
        "participantcode",
        "subject",
        "subjectid",
        "patient",
        "patientid",
        "eid",
        "id",
    ),
    "sex": ("sex", "gender"),
    "age": ("age", "ageyears"),
}
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O", "x": "O", "d": "O"}
_UNKNOWN = ("", "n/a", "na", "nan", "none", "unknown", "?", "u")
_AGE = re.compile(r"0*(\d+(?:[.,]\d+)?)\s*(?:y|years?|\+)?", re.IGNORECASE)
MAX_CODE_LENGTH = 255


@dataclass(frozen=True)
class Person:
    """A row of the table; None where it says nothing. ``sex`` is M, F or O, ``age`` in years."""

    code: str
    sex: str | None
    age: float | None
    where: str


def clean_code(text: str) -> str:
    """A participant's code as it is stored: composed Unicode (macOS writes names decomposed), no outer blanks.

    Raises
    ------
    InvalidInput
        Empty, too long, or with control characters.
    """
    code = unicodedata.normalize("NFC", text).strip()
    if not code or len(code) > MAX_CODE_LENGTH or not code.isprintable():
        raise InvalidInput(
            f"a participant's code has 1 to {MAX_CODE_LENGTH} printable characters; {text[:80]!r} cannot be used"
        )
    return code


def read_participants(path: Path) -> tuple[dict[str, Person], list[Refused]]:
    """Read a CSV (comma, semicolon or tab) of participants.

    Returns
    -------
    The rows by participant code, and the lines that cannot be used, each with the reason.

    Raises
    ------
    InvalidInput
        The file cannot be read or names no column of participants.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: the table of participants cannot be read as UTF-8 text: {error}") from error
    header = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = _columns(list(reader.fieldnames or []))
    if "participant" not in columns:
        raise InvalidInput(
            f"{path}: the first line must name the columns, participant among them; found {header.strip()!r}"
        )
    people: dict[str, Person] = {}
    refused: list[Refused] = []
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if not any(value for value in row.values()):
            continue
        try:
            person = _person(row, columns, where)
            if person.code in people:
                raise InvalidInput(f"participant {person.code} is there twice")
            people[person.code] = person
        except InvalidInput as error:
            refused.append(Refused(where, str(error)))
    return people, refused


def _columns(names: list[str]) -> dict[str, str]:
    columns = {}
    for column, spellings in _COLUMNS.items():
        simple = {re.sub(r"[\s._-]+", "", name).casefold(): name for name in names}
        for spelling in spellings:
            if spelling in simple:
                columns[column] = simple[spelling]
                break
    return columns


def _person(row: dict[str, str | None], columns: dict[str, str], where: str) -> Person:
    def cell(column: str) -> str:
        return (row.get(columns.get(column, "")) or "").strip()

    sex, age = cell("sex").casefold(), cell("age")
    if sex not in _UNKNOWN and sex not in _SEX:
        raise InvalidInput(f"sex is M, F or O (male, female, other), not {cell('sex')!r}")
    years: float | None = None
    if age.casefold() not in _UNKNOWN:
        match = _AGE.fullmatch(age)
        years = float(match[1].replace(",", ".")) if match else -1.0
        if not 0 <= years <= 130:
            raise InvalidInput(f"age is a number of years, not {age!r}")
    return Person(clean_code(cell("participant")), _SEX.get(sex), years, where)
