"""UK Biobank's zips: ``<eid>_<field>_<instance>_<array>.zip``, with a manifest whose commas are not quoted.

References
----------
Field 20201, Dixon technique for internal fat: https://biobank.ndph.ox.ac.uk/ukb/field.cgi?id=20201
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

_NAME = re.compile(r"(\d{5,9})_(\d{4,6})_(\d+)_(\d+)\.zip", re.IGNORECASE)
MANIFESTS = ("manifest.csv", "manifest.cvs")
_FILE = ("filename", "file")
_DESCRIPTION = (
    "series discription",
    "series description",
    "seriesdescription",
    "series_description",
    "series",
)  # as UK Biobank spells it
_DATE = re.compile(r"[A-Z][a-z]{2,8} \d{1,2}, ?\d{4}")
_TIME_AFTER_DATE = re.compile(r"([A-Z][a-z]{2,8} \d{1,2}, ?\d{4}), ?(\d{1,2}:\d{2})")


@dataclass(frozen=True)
class ZipName:
    """Participant, field and visit in the name of a zip (instance 2 is the first imaging visit)."""

    eid: str
    field: str
    visit: str


def parse_zip_name(name: str) -> ZipName | None:
    """Parse the name of a zip; None where it is not a UK Biobank name."""
    match = _NAME.fullmatch(name)
    return None if match is None else ZipName(match[1], match[2], f"{match[3]}_{match[4]}")


def is_manifest(name: str) -> bool:
    """Whether a member of a zip is a manifest, the list of the others."""
    return PurePosixPath(name).name.casefold() in MANIFESTS


def read_manifest(data: bytes) -> dict[str, str]:
    """Read the series description of each file from a manifest.

    Dates such as ``May 1, 2014`` and descriptions contain commas that are not quoted. Where a line has more cells than
    the header, the parts of dates are joined first, then the description takes the remaining cells. A line that
    still does not fit is ignored, and so is a manifest without the columns.
    """
    text = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return {}
    columns = [column.strip().casefold() for column in _cells(lines[0])]
    file = next((columns.index(name) for name in _FILE if name in columns), None)
    description = next((columns.index(name) for name in _DESCRIPTION if name in columns), None)
    if file is None or description is None:
        return {}
    found = {}
    for line in lines[1:]:
        cells = _fitted(line, len(columns), description)
        if cells is not None and cells[file]:
            found[PurePosixPath(cells[file].replace("\\", "/")).name] = cells[description]
    return found


def _fitted(line: str, count: int, description: int) -> list[str] | None:
    cells = _cells(line)
    if len(cells) > count:
        joined = _TIME_AFTER_DATE.sub(lambda match: f"{match[1]} {match[2]}", line)
        joined = _DATE.sub(lambda match: match[0].replace(",", ""), joined)
        cells = _cells(joined)
    extra = len(cells) - count
    if extra > 0:
        whole = ",".join(cells[description : description + extra + 1])
        cells = [*cells[:description], whole, *cells[description + extra + 1 :]]
    return [cell.strip() for cell in cells] if len(cells) == count else None


def _cells(line: str) -> list[str]:
    return next(csv.reader(io.StringIO(line)), [])
