"""Names of cohorts: the data sets whose figures an evaluation tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.options import ImportOptions
from mrseg_label.text import readable

MAX_LENGTH = 100


def check_cohort(name: str) -> None:
    """Raise :class:`InvalidInput` where a name cannot be that of a cohort."""
    if not name.strip() or name != name.strip() or len(name) > MAX_LENGTH or not name.isprintable():
        raise InvalidInput(
            f"{name[:80]!r} cannot be the name of a cohort: it has 1 to {MAX_LENGTH} printable characters, without blanks "
            "around them"
        )


def cohort_of(options: ImportOptions, paths: Sequence[Path]) -> str | None:
    """Return the cohort of an import: the one that is stated, else of an evaluation-only one the name of what is imported."""
    if options.cohort is not None or not options.evaluation_only:
        return options.cohort
    name = readable(paths[0].absolute().name).strip()[:MAX_LENGTH].strip() if paths else ""
    return name if name and name.isprintable() else "evaluation"
