"""Tables of a study: numbers for programs and, beside them, the text of each cell for people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

Row = Mapping[str, Any]
EMPTY = "–"


@dataclass(frozen=True)
class Column:
    """A column as people read it: its heading, and the text of a row's cell."""

    heading: str
    text: Callable[[Row], str]
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    key : name of its file, such as ``table-3-sequences``.
    title : what it shows, without a number.
    number : as in the paper, such as ``Table 3``; may be empty.
    frame : one row a line, numbers unrounded.
    columns : what people see of it.
    notes : whole sentences that belong under it.
    """

    key: str
    number: str
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def cells(self) -> list[list[str]]:
        """The text of every cell, row by row."""
        rows: list[Row] = self.frame.to_dict("records")
        return [[column.text(row) for column in self.columns] for row in rows]


def word(heading: str, name: str) -> Column:
    """Make a column of words."""
    return Column(heading, lambda row: str(row[name]) or EMPTY, numeric=False)


def structure_name(heading: str = "Structure") -> Column:
    """Make the column of the names of structures, without underscores."""
    return Column(heading, lambda row: str(row["structure"]).replace("_", " "), numeric=False)


def count(heading: str, name: str) -> Column:
    """Make a column of whole numbers."""
    return Column(heading, lambda row: whole(row[name]))


def value(heading: str, name: str, digits: int) -> Column:
    """Make a column of numbers."""
    return Column(heading, lambda row: number(row[name], digits))


def mean_sd(heading: str, mean: str, sd: str, digits: int) -> Column:
    """Make a column of means and standard deviations."""
    return Column(heading, lambda row: plus_minus(row[mean], row[sd], digits))


def interval(heading: str, low: str, high: str, digits: int) -> Column:
    """Make a column of intervals."""
    return Column(
        heading,
        lambda row: EMPTY if _missing(row[low]) else f"{number(row[low], digits)} to {number(row[high], digits)}",
    )


def p_value(heading: str, name: str) -> Column:
    """Make a column of p-values."""
    return Column(heading, lambda row: probability(row[name]))


def whole(number: Any) -> str:
    """Write a whole number."""
    return EMPTY if _missing(number) else f"{int(number):,}"


def number(number: Any, digits: int) -> str:
    """Write a number with a true minus sign; an infinite one as such."""
    if _missing(number):
        return EMPTY
    if math.isinf(number):
        return "∞"
    text = f"{number:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.replace("-", "")


def plus_minus(mean: Any, sd: Any, digits: int) -> str:
    """Write a mean and its standard deviation, if there is one."""
    if _missing(mean):
        return EMPTY
    return number(mean, digits) if _missing(sd) else f"{number(mean, digits)} ± {number(sd, digits)}"


def probability(p: Any) -> str:
    """Write a p-value as journals do."""
    if _missing(p):
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def equals(p: Any) -> str:
    """Write a p-value behind the letter p: ``= 0.02`` or ``< 0.001``."""
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def key_part(name: str) -> str:
    """Make a part of a file name from the name of a model or a data set."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-.") or "unnamed"


def frame_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Make a frame with these columns, also of no rows."""
    return pd.DataFrame(list(rows), columns=list(columns))


def _missing(number: Any) -> bool:
    return number is None or bool(pd.isna(number))
