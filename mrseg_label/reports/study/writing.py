"""Write a report into a folder, in the forms that are asked for."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.evaluation.measurements import write_table
from mrseg_label.files import replacing
from mrseg_label.reports.study.document import Study
from mrseg_label.reports.study.markdown import latex_table, markdown_of
from mrseg_label.reports.study.page import page_of

CASES = "cases.csv"


class Form(StrEnum):
    """The form of a report."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"
    LATEX = "latex"


def forms_of(text: str) -> tuple[Form, ...]:
    """Read a list of forms, such as ``html,csv``.

    Raises
    ------
    InvalidInput
        One is not known, or there is none.
    """
    names = [name.strip().casefold() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Form)]
    if unknown or not names:
        raise InvalidInput(
            f"a report can be written as {', '.join(Form)}, not {unknown[0] if unknown else 'nothing'!r}"
        )
    return tuple(Form(name) for name in dict.fromkeys(names))


def write_study(study: Study, folder: Path, forms: Collection[Form] = tuple(Form)) -> list[Path]:
    """Write a report; files of an earlier one are replaced, each at once.

    Returns
    -------
    The files, the first of each form first.
    """
    contents: dict[str, str] = {}
    if Form.HTML in forms:
        contents["report.html"] = page_of(study)
    if Form.MARKDOWN in forms:
        contents["report.md"] = markdown_of(study)
    if Form.MARKDOWN in forms or Form.LATEX in forms:
        contents |= {f"figures/{figure.key}.svg": figure.svg for figure in study.figures}
    if Form.LATEX in forms:
        contents |= {f"tables/{table.key}.tex": latex_table(table) for table in study.tables}
    written = []
    for name, text in contents.items():
        written.append(_replace(folder / name, text))
    if Form.CSV in forms:
        for table in study.tables:
            written.append(
                _replace(folder / "tables" / f"{table.key}.csv", table.frame.to_csv(index=False, float_format="%.6g"))
            )
        with replacing(folder / CASES, durable=False) as temporary:
            write_table(study.table, temporary)
        written.append(folder / CASES)
    return written


def _replace(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path
