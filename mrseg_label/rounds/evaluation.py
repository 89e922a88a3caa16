"""Evaluate a model on the held-out cases of a round."""

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
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.snapshot import annotated_structures
from mrseg_label.segments.files import read_label_map


@dataclass(frozen=True)
class Scores:
    """DSC of one model on the held-out cases.

    Attributes
    ----------
    annotations : ids of the reference annotations, one a case.
    dsc : (cases, structures); NaN where a structure is in neither mask or was not annotated.
    """

    model_version: str
    annotations: tuple[str, ...]
    dsc: NDArray[np.float64]

    @property
    def mean(self) -> float | None:
        """Mean over the cases of each case's mean over its structures; None without any value."""
        with np.errstate(invalid="ignore"):
            scored = [float(np.nanmean(case)) for case in self.dsc if np.isfinite(case).any()]
        return float(np.mean(scored)) if scored else None

    def per_structure(self, names: Sequence[str]) -> dict[str, float | None]:
        """Mean DSC of each structure over the cases that have a value for it."""
        result: dict[str, float | None] = {}
        for index, name in enumerate(names):
            column = self.dsc[:, index] if len(self.dsc) else np.empty(0)
            column = column[np.isfinite(column)]
            result[name] = float(column.mean()) if column.size else None
        return result


def held_out_annotations(catalog: Catalog, number: int) -> list[Annotation]:
    """List the annotations of held-out participants in a round's snapshot."""
    with catalog.read() as session:
        return [case.annotation for case in rows.cases(session, number) if case.role is CaseRole.HELD_OUT]


def evaluate(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    model: ModelVersion,
    annotations: Sequence[Annotation],
    check: Callable[[], None],
    *,
    ignore_stored: bool = False,
) -> Scores:
    """Compare a model with annotations; cases that it was evaluated on or pre-segmented before are not run again.

    Parameters
    ----------
    check : called before each case; may raise to end the work.
    ignore_stored : the model is new, so that anything stored under its name is left over from a failed attempt.
    """
    scheme = workspace.scheme
    values = []
    for annotation in annotations:
        check()
        with workspace.catalog.read() as session:
            known = None if ignore_stored else models.evaluation(session, model.version, annotation.id)
            presegmentation = (
                None if ignore_stored else presegmentations.by_model(session, annotation.acquisition_id, model.version)
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
                raise InvalidInput(f"the examination of annotation {annotation.id} is not in the catalogue")
            prediction, _ = loaded_models.segment(model, examination)
        reference, _ = read_label_map(workspace.path(annotation.path))
        values.append(list(case_dsc(reference, prediction, annotated_structures(annotation, scheme))))
    array = np.array(values, dtype=np.float64).reshape(len(annotations), len(scheme))
    return Scores(model.version, tuple(annotation.id for annotation in annotations), array)


def case_dsc(
    reference: NDArray[np.uint8], prediction: NDArray[np.uint8], annotated: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the DSC of one case.

    Parameters
    ----------
    reference, prediction : (X, Y, Z) uint8 label maps on one grid.
    annotated : (structures,) whether each structure was annotated.

    Returns
    -------
    (structures,), by label id - 1; NaN where a structure is in neither mask or was not annotated.
    """
    return np.where(annotated, dice(reference, prediction, len(annotated)), np.nan)


def evaluation_rows(scores: Scores, names: Sequence[str]) -> list[Evaluation]:
    """Make the catalogue rows of scores, one a case."""
    result = []
    for annotation_id, case in zip(scores.annotations, scores.dsc, strict=True):
        dsc = {name: (float(value) if np.isfinite(value) else None) for name, value in zip(names, case, strict=True)}
        mean = float(np.nanmean(case)) if np.isfinite(case).any() else None
        result.append(
            Evaluation(model_version=scores.model_version, annotation_id=annotation_id, mean_dsc=mean, dsc=dsc)
        )
    return result
