"""Tables of participants: code, sex and age."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.names import clean_code
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
        "imageid",
        "id",
    ),
    "sex": ("sex", "gender"),
    "age": ("age", "ageyears"),
}
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O", "x": "O", "d": "O"}
_UNKNOWN = ("", "n/a", "na", "nan", "none", "unknown", "?", "u")
_AGE = re.compile(r"0*(\d+(?:[.,]\d+)?)\s*(?:y|years?|\+)?", re.IGNORECASE)


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
    """Read a table of participants (CSV with commas, semicolons or tabs).

    Returns
    -------
    rows : by participant code.
    refused : lines that cannot be used, each with the reason.

    Raises
    ------
    InvalidInput
        The file cannot be read or has no column of participants.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot read the table of participants as UTF-8 text: {error}") from error
    header = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    columns = _find_columns(list(reader.fieldnames or []))
    if "participant" not in columns:
        raise InvalidInput(
            f"{path}: the first line must name the columns, one of them participant; it is {header.strip()!r}"
        )
    rows: dict[str, ParticipantRow] = {}
    refused: list[Refused] = []
    for cells in reader:
        where = f"{path}, line {reader.line_num}"
        if not any(value for value in cells.values()):
            continue
        try:
            row = _parse_row(cells, columns, where)
            if row.code in rows:
                raise InvalidInput(f"participant {row.code} is listed twice; remove one of the lines")
            rows[row.code] = row
        except InvalidInput as error:
            refused.append(Refused(where, str(error)))
    return rows, refused


def _find_columns(names: list[str]) -> dict[str, str]:
    columns = {}
    for column, spellings in _COLUMNS.items():
        simple = {re.sub(r"[\s._-]+", "", name).casefold(): name for name in names}
        for spelling in spellings:
            if spelling in simple:
                columns[column] = simple[spelling]
                break
    return columns


def _parse_row(cells: dict[str, str | None], columns: dict[str, str], where: str) -> ParticipantRow:
    def cell(column: str) -> str:
        return (cells.get(columns.get(column, "")) or "").strip()

    sex, age = cell("sex").casefold(), cell("age")
    if sex not in _UNKNOWN and sex not in _SEX:
        raise InvalidInput(f"sex must be M, F or O (male, female, other), not {cell('sex')!r}")
    years: float | None = None
    if age.casefold() not in _UNKNOWN:
        match = _AGE.fullmatch(age)
        years = float(match[1].replace(",", ".")) if match else -1.0
        if not 0 <= years <= 130:
            raise InvalidInput(f"age must be a number of years from 0 to 130, not {age!r}")
    return ParticipantRow(clean_code(cell("participant")), _SEX.get(sex), years, where)
