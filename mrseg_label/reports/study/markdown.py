"""Write a report as Markdown, and tables as Markdown and LaTeX."""

from __future__ import annotations

import re

import pandas as pd

from mrseg_label.evaluation.tables import Table
from mrseg_label.reports.study.document import Study

_LONG = 30  # rows from which a LaTeX table may break over pages
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "–": "--", "∞": r"$\infty$", "ρ": r"$\rho$",
    "<": r"$<$", ">": r"$>$", "×": r"$\times$",
}  # fmt: skip
_SPECIAL = re.compile("|".join(map(re.escape, _LATEX)))


def markdown_of(study: Study) -> str:
    """Write a report as Markdown; figures are links to files in ``figures/``."""
    lines = [f"# {study.title}", "", f"{study.created:%Y-%m-%d}", ""]
    lines += [f"- {sentence}" for sentence in study.summary] + [""]
    for section in study.sections:
        lines += [f"## {section.title}", ""]
        for part in section.parts:
            if isinstance(part, Table):
                lines += [f"**{part.number}. {part.title}**", "", markdown_table(part), ""]
                lines += [f"{' '.join(part.notes)}", ""] if part.notes else []
            else:
                lines += [f"![{part.number}](figures/{part.key}.svg)", "", f"**{part.number}.** {part.caption}", ""]
    return "\n".join([*lines, "## Methods", "", " ".join(study.methods), ""])


def markdown_table(table: Table) -> str:
    """Write a table as Markdown."""
    rows = [[column.heading for column in table.columns], *table.cells]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    marks = ["---:" if column.numeric else "---" for column in table.columns]
    return "\n".join([lines[0], "| " + " | ".join(marks) + " |", *lines[1:]])


def latex_table(table: Table) -> str:
    r"""Write a table as LaTeX, for the packages booktabs and longtable; ``\label{tab:KEY}``."""
    headings = [_escape(column.heading) for column in table.columns]
    # Named by their places, since two headings may be alike.
    frame = pd.DataFrame([[_escape(cell) for cell in row] for row in table.cells], columns=range(len(headings)))
    text = frame.to_latex(
        index=False,
        header=headings,
        escape=False,
        column_format="".join("r" if column.numeric else "l" for column in table.columns),
        caption=f"{_escape(table.title)}. {_escape(' '.join(table.notes))}".strip(),
        label=f"tab:{table.key}",
        longtable=len(frame) > _LONG,
    )
    return f"% {table.number}; needs \\usepackage{{booktabs,longtable}}\n{text}"


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: _LATEX[match[0]], text)
