"""Evaluate a model on the held-out cases of a round."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.draft_details import is_of_one_source
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries.held_out import Channel, HeldOutScore, summarise
from mrseg_label.catalog.tables import Annotation, Evaluation, Examination, ModelVersion, Presegmentation, SourceScore
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.overlap import LabelMap, per_structure
from mrseg_label.metrics.scoring import CaseScore, score_case
from mrseg_label.metrics.surface import compare_surfaces
from mrseg_label.nnunet.left_out import OUT_OF_MEMORY
from mrseg_label.presegmentation.candidates import name_of
from mrseg_label.presegmentation.loaded_models import NNUNET_SOURCE, LoadedModels, best_fold
from mrseg_label.presegmentation.measuring import score_of
from mrseg_label.rounds.left_out import NOT_OF_THE_CASE
from mrseg_label.rounds.snapshot import annotated_structures
from mrseg_label.segments.files import read_label_map

log = logging.getLogger("mrseg_label.rounds")


@dataclass(frozen=True)
class Scores:
    """DSC of one model on the held-out cases.

    Attributes
    ----------
    cases : the evaluation of each channel of each case, as it is stored.
    work : how much correction the masks of the channels that readers open would have needed, of those that were segmented now.
    """

    model_version: str
    cases: tuple[Evaluation, ...]
    work: tuple[SourceScore, ...] = ()

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
    left_out: dict[str, str] | None = None,
    *,
    ignore_stored: bool = False,
) -> Scores:
    """Compare a model with annotations on every channel; those that it was evaluated on before are not run again.

    Parameters
    ----------
    check : called before each channel; may raise to end the work.
    left_out : if given, annotations whose case cannot be evaluated are left out, and their reasons added here by id.
    ignore_stored : the model is new, so that anything stored under its name is left over from a failed attempt.

    Raises
    ------
    Unavailable, ConfigurationError, DamagedModel
        The model cannot run at all.
    """
    cases: list[Evaluation] = []
    work: list[SourceScore] = []
    for annotation in annotations:
        check()
        try:
            found = _evaluate_case(workspace, loaded_models, model, annotation, check, ignore_stored=ignore_stored)
            cases += found[0]
            work += found[1]
        except NOT_OF_THE_CASE:
            raise
        except Exception as error:
            if left_out is None or any(words in str(error) for words in OUT_OF_MEMORY):
                raise
            log.warning("%s cannot be evaluated on annotation %s", model.version, annotation.id, exc_info=True)
            left_out[annotation.id] = f"{model.version} cannot be evaluated on it: {str(error)[:300] or repr(error)}"
    return Scores(model.version, tuple(cases), tuple(work))


def _evaluate_case(
    workspace: OpenedWorkspace,
    loaded_models: LoadedModels,
    model: ModelVersion,
    annotation: Annotation,
    check: Callable[[], None],
    *,
    ignore_stored: bool,
) -> tuple[list[Evaluation], list[SourceScore]]:
    """Evaluate a model on every channel of a case that carries its annotation."""
    with workspace.catalog.read() as session:
        acquisition = acquisitions.get(session, annotation.acquisition_id)
        every = acquisitions.channels(session, annotation.acquisition_id)
        without = {} if acquisition is None else without_mask(acquisition, every, annotation.examination_id)
        channels = [one for one in every if one.id not in without]
        known = {
            channel.id: None if ignore_stored else models.evaluation(session, model.version, annotation.id, channel.id)
            for channel in channels
        }
        primary = None if acquisition is None else acquisition.primary_examination_id
        drafted = (
            None if ignore_stored else presegmentations.by_model(session, annotation.acquisition_id, model.version)
        )
    if not channels:
        raise InvalidInput(
            f"annotation {annotation.id} has no image that it holds for: {'; '.join(sorted(set(without.values()))) or 'there is none'}"
        )
    workspace.verify(annotation.path, annotation.digest)
    reference, geometry = read_label_map(workspace.path(annotation.path))
    annotated = annotated_structures(annotation, workspace.scheme)
    found = []
    work: list[SourceScore] = []
    for channel in channels:
        row = known[channel.id]
        if row is None:
            check()
            if drafted is not None and _can_be_scored(workspace, model, drafted, channel):
                prediction, _ = read_label_map(workspace.path(drafted.path))
            else:
                workspace.verify(channel.path, channel.digest)
                prediction, _ = loaded_models.segment(model, channel)
            if channel.id == primary:
                source = name_of(workspace, model.version, channel)
                scheme, voxel_ml = workspace.scheme, geometry.voxel_ml
                work.append(score_of(source, annotation, channel.id, prediction, reference, scheme, voxel_ml))
            score = score_case(reference, prediction, len(workspace.scheme))
            key = (annotation.id, channel.id)
            row = evaluation_of(model.version, key, score, workspace.scheme, annotated, geometry.voxel_ml)
            row.surfaces = surfaces_of(reference, prediction, geometry.spacing_mm, workspace.scheme, row.dsc)
        found.append(row)
    return found, work


def _can_be_scored(
    workspace: OpenedWorkspace, model: ModelVersion, drafted: Presegmentation, channel: Examination
) -> bool:
    """Whether a draft is what the whole model makes of a channel, so that it need not be made again."""
    of_all_folds = best_fold(model) is None or drafted.source == NNUNET_SOURCE
    return (
        of_all_folds
        and is_of_one_source(drafted)
        and drafted.examination_id == channel.id
        and is_whole(workspace, drafted)
    )


def surfaces_of(
    reference: LabelMap,
    prediction: LabelMap,
    spacing_mm: Sequence[float],
    scheme: LabelScheme,
    dsc: Mapping[str, float | None],
) -> dict[str, dict[str, float | None]]:
    """Measure HD95 and NSD of the structures that count, which are those with a DSC; an infinite HD95 becomes None."""
    found = compare_surfaces(reference, prediction, spacing_mm, len(scheme), scheme.nsd_tolerances_mm)
    counted = [structure for structure in scheme if dsc.get(structure.name) is not None]
    distances = {one.name: float(found.hd95_mm[one.id - 1]) for one in counted}
    return {
        "hd95_mm": {name: value if np.isfinite(value) else None for name, value in distances.items()},
        "nsd": {one.name: float(found.nsd[one.id - 1]) for one in counted},
    }


def evaluation_of(
    version: str,
    channel: Channel,
    score: CaseScore,
    scheme: LabelScheme,
    annotated: NDArray[np.bool_],
    voxel_ml: float,
) -> Evaluation:
    """Make the catalogue row of the score of one channel of a case.

    Parameters
    ----------
    channel : ids of the annotation and the examination.
    annotated : (structures,) whether each structure was annotated; the others are left out.
    voxel_ml : volume of a voxel, millilitres.
    """
    dsc = per_structure(scheme, np.where(annotated, score.dsc, np.nan))
    remnants = per_structure(scheme, np.where(annotated, score.remnant_dsc, np.nan))
    stray = dict(zip(scheme.names, np.where(annotated, score.false_positive_voxels, 0).tolist(), strict=True))
    counted = [value for value in dsc.values() if value is not None]
    return Evaluation(
        model_version=version,
        annotation_id=channel[0],
        examination_id=channel[1],
        mean_dsc=sum(counted) / len(counted) if counted else None,
        dsc=dsc,
        apart={
            "remnant_dsc": {name: value for name, value in remnants.items() if value is not None},
            "false_positive_ml": {name: count * voxel_ml for name, count in stray.items() if count},
        },
    )
