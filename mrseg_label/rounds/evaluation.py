"""What a model reaches on the held-out cases of a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, examinations, models, presegmentations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Evaluation, ModelVersion
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.metrics.overlap import dice
from mrseg_label.presegmentation.engines import Engines
from mrseg_label.rounds.snapshot import vouched_for
from mrseg_label.segments.label_maps import read_label_map


@dataclass(frozen=True)
class Scores:
    """DSC of one model on the held-out cases, in the order of the cases."""

    model_version: str
    annotations: tuple[str, ...]
    dsc: NDArray[np.float64]  # (cases, structures); NaN where a structure is in neither mask or not vouched for

    @property
    def mean(self) -> float | None:
        """Mean over cases of each case's mean over structures; None where there is nothing to judge by."""
        with np.errstate(invalid="ignore"):
            judged = [float(np.nanmean(case)) for case in self.dsc if np.isfinite(case).any()]
        return float(np.mean(judged)) if judged else None

    def per_structure(self, names: Sequence[str]) -> dict[str, float | None]:
        """Mean DSC of each structure over the cases that have it."""
        result: dict[str, float | None] = {}
        for index, name in enumerate(names):
            column = self.dsc[:, index] if len(self.dsc) else np.empty(0)
            column = column[np.isfinite(column)]
            result[name] = float(column.mean()) if column.size else None
        return result


def held_out_annotations(catalog: Catalog, number: int) -> list[Annotation]:
    """The held-out revisions of a round's snapshot."""
    with catalog.read() as session:
        return [case.annotation for case in rows.cases(session, number) if case.role is CaseRole.HELD_OUT]


def evaluate(
    workspace: OpenedWorkspace,
    engines: Engines,
    model: ModelVersion,
    annotations: Sequence[Annotation],
    check: Callable[[], None],
    *,
    fresh: bool = False,
) -> Scores:
    """DSC of a model on revisions; what was evaluated before, or drafted by this model, is not predicted again.

    ``fresh`` says that the model is new, and that what is kept under its name comes from an attempt that died.
    ``check`` is called before each case and may raise to end the work.
    """
    scheme = workspace.scheme
    values = []
    for annotation in annotations:
        check()
        with workspace.catalog.read() as session:
            known = None if fresh else models.evaluation(session, model.version, annotation.id)
            presegmentation = (
                None if fresh else presegmentations.by_model(session, annotation.acquisition_id, model.version)
            )
            examination = acquisitions.primary_of(session, annotation.acquisition_id) or examinations.get(
                session, annotation.examination_id
            )
        if known is not None:
            values.append([np.nan if known.dsc.get(name) is None else known.dsc[name] for name in scheme.names])
            continue
        if presegmentation is not None:
            prediction, _ = read_label_map(workspace.path(presegmentation.path))
        else:
            if examination is None:
                raise InvalidInput(f"revision {annotation.id} belongs to no examination of the catalogue")
            prediction, _ = engines.segment(model, examination)
        reference, _ = read_label_map(workspace.path(annotation.path))
        values.append(list(case_dsc(reference, prediction, vouched_for(annotation, scheme))))
    array = np.array(values, dtype=np.float64).reshape(len(annotations), len(scheme))
    return Scores(model.version, tuple(annotation.id for annotation in annotations), array)


def case_dsc(
    reference: NDArray[np.uint8], prediction: NDArray[np.uint8], vouched: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """DSC by structure (id - 1) of one case; NaN where a structure is in neither mask or not vouched for."""
    return np.where(vouched, dice(reference, prediction, len(vouched)), np.nan)


def evaluations(scores: Scores, names: Sequence[str]) -> list[Evaluation]:
    """Rows that keep the scores."""
    result = []
    for annotation_id, case in zip(scores.annotations, scores.dsc, strict=True):
        dsc = {name: (float(value) if np.isfinite(value) else None) for name, value in zip(names, case, strict=True)}
        mean = float(np.nanmean(case)) if np.isfinite(case).any() else None
        result.append(
            Evaluation(model_version=scores.model_version, annotation_id=annotation_id, mean_dsc=mean, dsc=dsc)
        )
    return result
