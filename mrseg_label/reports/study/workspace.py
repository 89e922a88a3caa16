"""The report of a workspace: its model versions on the cases that they may be judged on, with examples and the readers' agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.evaluation.measurements import counted
from mrseg_label.evaluation.versions import Judged, evaluate_versions
from mrseg_label.files import replacing
from mrseg_label.imaging.volume import load_image
from mrseg_label.intake.options import Refused
from mrseg_label.reports.stored_report import STUDY_REPORT
from mrseg_label.reports.study.agreement import agreement_tables
from mrseg_label.reports.study.document import Study, build_study
from mrseg_label.reports.study.figures import StudyFigure
from mrseg_label.reports.study.overlays import Example, overlays
from mrseg_label.reports.study.page import page_of
from mrseg_label.segments.files import read_label_map

MAX_EXAMPLES = 4
MAX_ROWS = 3  # models in one figure


def report_versions(
    workspace: OpenedWorkspace,
    versions: Sequence[str],
    *,
    title: str,
    cohort: str | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Study, Sequence[Refused]]:
    """Evaluate versions as :func:`mrseg_label.evaluation.versions.evaluate_versions` and make their report.

    The newest report is kept in the workspace, for the dashboard.

    Returns
    -------
    study, refused : the report, and the images that could not be measured.
    """
    evaluated, judged = evaluate_versions(workspace, versions, cohort=cohort, spacing_mm=spacing_mm, progress=progress)
    methods = list(evaluated.notes)
    if spacing_mm is not None:
        methods.append(
            f"Masks were resampled to {' x '.join(f'{value:g}' for value in spacing_mm)} mm before they were measured."
        )
    study = build_study(
        evaluated.table,
        title=title,
        examples=list(_examples(workspace, evaluated.table, judged)),
        agreement=agreement_tables(workspace),
        methods=methods,
    )
    with replacing(workspace.path(STUDY_REPORT), durable=True) as temporary:
        temporary.write_text(page_of(study), encoding="utf-8")
    return study, evaluated.refused


def _examples(workspace: OpenedWorkspace, table: pd.DataFrame, judged: Sequence[Judged]) -> Iterator[StudyFigure]:
    """Draw the image of each sequence that is nearest to the median DSC of the last model: neither the best nor the worst."""
    versions = list(dict.fromkeys(one.version for one in judged))
    rows = counted(table[table["model"] == versions[-1]])
    images = rows.groupby(["sequence", "case"])["dsc"].mean()
    for number, sequence in enumerate(images.index.unique("sequence")[:MAX_EXAMPLES], start=1):
        of_sequence = images[sequence].sort_index()
        median = float(of_sequence.median())
        chosen = str(of_sequence.index[int(np.abs(of_sequence - median).argmin())])
        shown = {one.version: one for one in judged if one.examination.id == chosen}
        last = shown[versions[-1]]
        image, geometry, _ = load_image(workspace.path(last.examination.path))
        masks = [("Reference", read_label_map(workspace.path(last.annotation.path))[0])]
        masks += [(name, read_label_map(one.prediction)[0]) for name, one in list(shown.items())[-MAX_ROWS:]]
        station = f", station {last.case.station}" if last.case.station else ""
        caption = f"Sequence {sequence or 'unnamed'}{station}: the image nearest to the median DSC of {versions[-1]} ({median:.2f}) of this sequence"
        yield overlays(Example(caption, image, geometry, masks), workspace.scheme, number)
