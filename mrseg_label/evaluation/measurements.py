"""The table that every figure of a study is made of: one row for each structure of each judged image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import pandas as pd

from mrseg_label.errors import InvalidInput
from mrseg_label.evaluation.values import COUNTED, CaseOf, Found, Measured

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
    if "cut_by_edge" in frame.columns:
        frame["cut_by_edge"] = frame["cut_by_edge"].str.strip().str.casefold().isin(("true", "yes", "1"))
    else:
        frame["cut_by_edge"] = False
    return _typed(frame.reindex(columns=list(COLUMNS), fill_value=""))


def read_tables(paths: Sequence[Path]) -> pd.DataFrame:
    """Read several tables as one; tables without the name of a model get that of their file where there are several.

    Raises
    ------
    InvalidInput
        There is none, or one cannot be used.
    """
    if not paths:
        raise InvalidInput(
            "there is no table of cases; make one with: mrseg-label evaluate PREDICTIONS --reference REFERENCES --output cases.csv"
        )
    frames = [read_table(path) for path in paths]
    if len(frames) > 1:
        for path, frame in zip(paths, frames, strict=True):
            frame.loc[frame["model"] == "", "model"] = path.stem
    return pd.concat(frames, ignore_index=True)


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


@dataclass(frozen=True)
class References:
    """How many references some images have.

    Attributes
    ----------
    images : that were judged.
    propagated : of these, the ones whose reference was drawn on another image.
    masks : references that somebody drew: an image and those that its mask was propagated to have one together.
    """

    images: int
    propagated: int
    masks: int

    @property
    def note(self) -> tuple[str, ...]:
        """Say it in a sentence, where any was propagated."""
        if not self.propagated:
            return ()
        return (
            f"The references of {self.propagated:,} of {self.images:,} images were propagated: they were drawn on another image of the same "
            f"acquisition. The images have {self.masks:,} different references.",
        )


def references_of(frame: pd.DataFrame) -> References:
    """Count the images of a table, and their references."""
    images = frame.drop_duplicates(["data_set", "case"])
    drawn_on = images["propagated_from"].where(images["propagated_from"] != "", images["case"])
    masks = images.assign(drawn_on=drawn_on).drop_duplicates(["data_set", "drawn_on"])
    return References(len(images), int((images["propagated_from"] != "").sum()), len(masks))


def counted(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that enter means: structures of which the reference has enough voxels to be judged."""
    return frame[frame["found"].isin(COUNTED)]


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
    kinds = {name: (float if name in _NUMBERS else bool if name == "cut_by_edge" else object) for name in COLUMNS}
    return frame.astype(kinds)
