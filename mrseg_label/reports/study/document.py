"""Put the tables and figures of a study together, in the order of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import numpy as np
import pandas as pd

import mrseg_label
from mrseg_label.clock import now
from mrseg_label.evaluation.comparisons import between_sexes, side_by_side, with_age
from mrseg_label.evaluation.descriptions import by_outcome, by_sequence, by_structure, composition, tolerance_note
from mrseg_label.evaluation.measurements import check_table, references_of
from mrseg_label.evaluation.tables import Table
from mrseg_label.evaluation.values import RULE
from mrseg_label.reports.study.figures import StudyFigure, against_age, boxes_per_sequence, boxes_per_structure, forest

PACKAGES = ("numpy", "pandas", "scipy", "statsmodels", "matplotlib")


@dataclass(frozen=True)
class Section:
    """A part of a report: its heading, and its tables and figures in order."""

    title: str
    parts: tuple[Table | StudyFigure, ...]


@dataclass(frozen=True)
class Study:
    """A report.

    Attributes
    ----------
    summary : the first sentences, in words.
    methods : how the numbers came about, whole sentences.
    table : the measurements that everything was made of.
    """

    title: str
    created: datetime
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    methods: tuple[str, ...]
    table: pd.DataFrame

    @property
    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Table)]

    @property
    def figures(self) -> list[StudyFigure]:
        """All figures, in order."""
        return [part for section in self.sections for part in section.parts if isinstance(part, StudyFigure)]


def build_study(
    table: pd.DataFrame,
    *,
    title: str = "Evaluation",
    examples: Sequence[StudyFigure] = (),
    agreement: Sequence[Table] = (),
    methods: Sequence[str] = (),
) -> Study:
    """Make every table and figure that the measurements allow; what they do not is left out.

    Parameters
    ----------
    table : checked here; see :func:`mrseg_label.evaluation.measurements.check_table`.
    examples : overlays of cases.
    agreement : tables of how far readers agree.
    methods : sentences to add about where cases and masks come from.

    Raises
    ------
    InvalidInput
        There is nothing to report, or the table is not usable.
    """
    check_table(table)
    models = [str(name) for name in table["model"].unique()]
    metrics = [name for name in ("dsc", "hd95_mm", "nsd") if np.isfinite(table[name]).any()]
    pairs = [(metric, one) for metric in metrics for one in side_by_side(table, metric)]
    sections = [
        Section("Participants and images", (composition(table),)),
        Section("Examples", tuple(examples)),
        Section("Quality by sequence", (by_sequence(table), boxes_per_sequence(table))),
        Section(
            "Quality by structure",
            (
                boxes_per_structure(table, metrics[:2]),
                *(by_structure(table, model) for model in models),
                by_outcome(table),
            ),
        ),
        Section("Models side by side", tuple(part for metric, one in pairs for part in (one, forest(one, metric)))),
        Section(
            "Age", tuple(part for part in (against_age(table), *(with_age(table, model) for model in models)) if part)
        ),
        Section("Sex", tuple(part for part in (between_sexes(table, model) for model in models) if part)),
        Section("Agreement between readers", tuple(agreement)),
    ]
    programs = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return Study(
        title=title,
        created=now(),
        summary=tuple(_summary(table, model) for model in models),
        sections=tuple(section for section in sections if section.parts),
        methods=(
            *methods,
            RULE,
            "DSC is the Dice similarity coefficient. HD95 is the 95th percentile of the Hausdorff distance between surfaces, the larger of both directions, as MONAI computes it.",
            *tolerance_note(table),
            *references_of(table).note,
            f"Computed with mrseg-label {mrseg_label.__version__} ({programs}).",
        ),
        table=table,
    )  # fmt: skip


def _summary(table: pd.DataFrame, model: str) -> str:
    part = by_sequence(table[table["model"] == model].assign(sequence="", data_set=""))
    column = {one.heading: text for one, text in zip(part.columns, part.cells[0], strict=True)}
    row = part.frame.iloc[0]
    name = f"{model}: " if model else ""
    people = f"{int(row['participants']):,} participants" if row["participants"] != 1 else "one participant"
    images = f"{int(row['images']):,} images" if row["images"] != 1 else "one image"
    if row["propagated"]:
        images += f" ({int(row['propagated']):,} with a propagated reference)"
    return (
        f"{name}mean DSC {column['DSC, between samples']} and HD95 {column['HD95, mm, between samples']} mm between samples, over {images} of {people}; "
        f"{int(row['infinite']):,} of {int(row['counted']):,} structures were missed, and {int(row['false_positives']):,} are false positives."
    )
