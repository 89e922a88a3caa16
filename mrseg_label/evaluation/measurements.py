"""The table that every figure of a study is made of: one row for each structure of each judged image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from enum import StrEnum
from pathlib import Path

import pandas as pd

from mrseg_label.errors import InvalidInput
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


class Found(StrEnum):
    """Where a structure was found, which decides what its numbers mean.

    Metrics Reloaded (https://doi.org/10.1038/s41592-023-02151-z) asks to tell these apart.
    """

    BOTH = "both"  # in reference and prediction
    MISSED = "missed"  # only in the reference: DSC and NSD 0, HD95 infinite
    FALSE_POSITIVE = "false positive"  # only in the prediction
    ABSENT = "absent"  # in neither, and that is right
    REMNANT = "remnant"  # the reference has fewer than MIN_REFERENCE_VOXELS voxels
    NOT_ANNOTATED = "not annotated"  # in the reference


COUNTED = (Found.BOTH, Found.MISSED)  # what enters means and tests (mrseg_label.scoring)


@dataclass(frozen=True)
class CaseOf:
    """What is judged: one image, and whose it is.

    Attributes
    ----------
    model : name of what made the prediction, such as a model version.
    case : unique among the images of a model.
    sex, age : of the participant; empty and NaN where unknown. Age in years.
    """

    model: str
    case: str
    participant: str
    data_set: str = ""
    sequence: str = ""
    station: str = ""
    sex: str = ""
    age: float = math.nan


@dataclass(frozen=True)
class Measured:
    """The numbers of one structure of one image; NaN where there is nothing to measure, never for an infinite distance.

    Attributes
    ----------
    hd95_mm : infinite where the structure was missed.
    reference_ml, prediction_ml : volumes; the reference's is NaN where the structure was not annotated.
    tolerance_mm : of the NSD.
    """

    structure: str
    found: Found
    dsc: float = math.nan
    hd95_mm: float = math.nan
    nsd: float = math.nan
    reference_ml: float = math.nan
    prediction_ml: float = math.nan
    tolerance_mm: float = math.nan


CASE_COLUMNS = tuple(field.name for field in fields(CaseOf))
VALUE_COLUMNS = tuple(field.name for field in fields(Measured))
COLUMNS = (*CASE_COLUMNS, *VALUE_COLUMNS)
_NUMBERS = ("age", "dsc", "hd95_mm", "nsd", "reference_ml", "prediction_ml", "tolerance_mm")


def table_of(cases: Iterable[tuple[CaseOf, Sequence[Measured]]]) -> pd.DataFrame:
    """Make the table of cases that were measured, with the columns COLUMNS, one row for each structure of each case."""
    rows = [(*astuple(case), *astuple(one)) for case, measured in cases for one in measured]
    return _typed(pd.DataFrame(rows, columns=list(COLUMNS)))


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote, or another program with the same columns.

    Only ``case``, ``structure`` and ``dsc`` are needed: without ``found`` a row with a DSC counts, without ``participant``
    each case is a person.

    Raises
    ------
    InvalidInput
        The file is no such table; the message names the column or the line.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InvalidInput(f"{path}: cannot be read as a table of measurements: {error}") from error
    missing = [name for name in ("case", "structure", "dsc") if name not in frame.columns]
    if missing:
        raise InvalidInput(
            f"{path}: the column {missing[0]} is missing; a table of measurements is what mrseg-label evaluate writes, "
            f"with the columns {', '.join(COLUMNS)}"
        )
    for name in _NUMBERS:
        frame[name] = _numbers(frame, name, path)
    if "found" not in frame.columns:
        frame["found"] = [Found.NOT_ANNOTATED if math.isnan(value) else Found.BOTH for value in frame["dsc"]]
    if "participant" not in frame.columns:
        frame["participant"] = frame["case"]
    unknown = sorted(set(frame["found"]) - set(Found))
    if unknown:
        raise InvalidInput(f"{path}: the column found has {unknown[0]!r}; it can be {', '.join(Found)}")
    return _typed(frame.reindex(columns=list(COLUMNS), fill_value=""))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV: an empty cell is not measured, ``inf`` is an infinite distance."""
    frame.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def check_table(frame: pd.DataFrame) -> None:
    """Check that a table can be judged.

    Raises
    ------
    InvalidInput
        It is empty, has a structure of a case twice, a DSC or NSD outside 0 to 1, or a negative distance.
    """
    if frame.empty:
        raise InvalidInput("there is no case to report on")
    twice = frame[frame.duplicated(["model", "case", "structure"])]
    if len(twice):
        row = twice.iloc[0]
        raise InvalidInput(
            f"case {row['case']} has {row['structure']} twice for {row['model'] or 'one model'}; "
            "names of cases must be unique, and tables of several models need a column model"
        )
    for name, low, high in (("dsc", 0, 1), ("nsd", 0, 1), ("hd95_mm", 0, math.inf)):
        wrong = frame[(frame[name] < low) | (frame[name] > high)]
        if len(wrong):
            row = wrong.iloc[0]
            raise InvalidInput(
                f"case {row['case']}, {row['structure']}: {name} is {row[name]:g}, outside {low} to {high}"
            )


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that enter means: structures of which the reference has enough voxels to be judged."""
    return frame[frame["found"].isin(COUNTED)]


RULE = (
    f"A structure of a case counts where the reference has at least {MIN_REFERENCE_VOXELS} voxels of it. One that was missed counts with DSC 0 "
    "and NSD 0; its HD95 is infinite, so it enters no mean of HD95 and is counted beside it. Structures that nobody annotated are left out. "
    "A structure that is in the prediction alone is a false positive and is counted apart."
)


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> pd.Series:
    if name not in frame.columns:
        return pd.Series(math.nan, index=frame.index)
    text = frame[name].str.strip()
    values = pd.to_numeric(text.where(text != ""), errors="coerce")
    wrong = frame.index[values.isna() & (text != "") & (text.str.casefold() != "nan")]
    if len(wrong):
        raise InvalidInput(f"{path}, line {int(wrong[0]) + 2}: {name} is {text[wrong[0]]!r}, which is not a number")
    return values


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = {name: (float if name in _NUMBERS else object) for name in COLUMNS}
    return frame.astype(kinds)
