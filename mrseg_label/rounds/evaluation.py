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
from mrseg_label.catalog.queries.held_out import HeldOutScore, summarise
from mrseg_label.catalog.tables import Annotation, Evaluation, ModelVersion
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.overlap import per_structure
from mrseg_label.metrics.scoring import CaseScore, score_case
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.snapshot import annotated_structures
from mrseg_label.segments.files import read_label_map


@dataclass(frozen=True)
class Scores:
    """DSC of one model on the held-out cases.

    Attributes
    ----------
    cases : the evaluation of each case, as it is stored.
    """

    model_version: str
    cases: tuple[Evaluation, ...]

    @property
    def measured(self) -> HeldOutScore:
        """Means over the cases."""
        return summarise(self.cases)


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
    cases = []
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
            cases.append(known)
            continue
        if presegmentation is not None:
            prediction, _ = read_label_map(workspace.path(presegmentation.path))
        else:
            if examination is None:
                raise InvalidInput(f"the examination of annotation {annotation.id} is not in the catalogue")
            prediction, _ = loaded_models.segment(model, examination)
        reference, geometry = read_label_map(workspace.path(annotation.path))
        score = score_case(reference, prediction, len(scheme))
        cases.append(
            evaluation_of(
                model.version, annotation.id, score, scheme, annotated_structures(annotation, scheme), geometry.voxel_ml
            )
        )
    return Scores(model.version, tuple(cases))


def evaluation_of(
    version: str,
    annotation_id: str,
    score: CaseScore,
    scheme: LabelScheme,
    annotated: NDArray[np.bool_],
    voxel_ml: float,
) -> Evaluation:
    """Make the catalogue row of a case's score.

    Parameters
    ----------
    annotated : (structures,) whether each structure was annotated; the others are left out.
    voxel_ml : volume of a voxel, millilitres.
    """
    dsc = per_structure(scheme, np.where(annotated, score.dsc, np.nan))
    remnants = per_structure(scheme, np.where(annotated, score.remnant_dsc, np.nan))
    stray = dict(zip(scheme.names, np.where(annotated, score.false_positive_voxels, 0).tolist(), strict=True))
    counted = [value for value in dsc.values() if value is not None]
    return Evaluation(
        model_version=version,
        annotation_id=annotation_id,
        mean_dsc=sum(counted) / len(counted) if counted else None,
        dsc=dsc,
        apart={
            "remnant_dsc": {name: value for name, value in remnants.items() if value is not None},
            "false_positive_ml": {name: count * voxel_ml for name, count in stray.items() if count},
        },
    )
