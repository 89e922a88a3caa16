"""The training cases of a round: what its snapshot (:mod:`mrseg_label.rounds.take_snapshot`) fixed, as files to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import SWAPPED
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Round
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.nnunet.left_out import describe_left_out
from mrseg_label.nnunet.modality import CT
from mrseg_label.presegmentation.known_structures import LABELS_KEY
from mrseg_label.rounds.doubts import DOUBTS_KEY, audit_masks
from mrseg_label.rounds.filling import not_annotated
from mrseg_label.rounds.filling_choice import FillingPlan
from mrseg_label.rounds.left_out import by_examination
from mrseg_label.rounds.training_labels import UNUSABLE, make_training_labels
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.workspace import Workspace

# Keys of Round.result: the pre-segmentation id for each structure that is filled from one, by annotation id; and the
# scores of the models for these structures. Rounds of earlier versions have one pre-segmentation by annotation id.
FILLING_KEY, SCORES_KEY = "filling", "filling_scores"
FILL_FROM_KEY = "fill_from"
SWAPPED_KEY = "swapped"  # ids of the examinations that the snapshot left out, since fat and water may be exchanged
# Reasons, by id, of all examinations that carry no mask in the snapshot; and how many carry one that was drawn on another.
NOT_LABELLED_KEY, PROPAGATED_KEY = "not_labelled", "propagated"


def training_cases(
    workspace: OpenedWorkspace, number: int, folder: Path
) -> tuple[list[TrainingCase], dict[str, Any], dict[str, str]]:
    """Collect the training cases of a round, a record of how their label maps were made and what is doubted, and who was left out.

    The last are reasons by examination.

    Every channel of an annotated acquisition that carries its mask in the snapshot is a case; the channels share its label
    map (:mod:`mrseg_label.rounds.training_labels`). Label maps that had to be filled are written to ``folder``.

    Raises
    ------
    InvalidInput
        The background is unknown in every case, or no case can be used.
    """
    result = []
    with workspace.catalog.read() as session:
        row = rows.get(session, number)
        snapshot = rows.cases(session, number)
        annotations = [case.annotation for case in snapshot if case.role is CaseRole.TRAINING]
        reasons: dict[str, str] = {}
        plan = _plan_of(workspace, row, annotations)
        not_labelled = reasons_without_mask(row)
        labels = make_training_labels(workspace, session, annotations, folder, plan=plan, left_out=reasons)
        labels.require_background()
        for label_map in labels.maps:
            if not label_map.usable:
                reasons[label_map.annotation.id] = UNUSABLE
                continue
            acquisition_id = label_map.annotation.acquisition_id
            acquisition = acquisitions.get(session, acquisition_id)
            if acquisition is None:
                raise InvalidInput(f"acquisition {acquisition_id} of round {number} is not in the catalogue")
            result += [
                TrainingCase(
                    case_id=channel.id,
                    image=workspace.path(channel.path),
                    label=label_map.mask.path,
                    participant=acquisition.participant.code,
                    image_digest=channel.digest,
                    label_digest=label_map.mask.digest,
                    background_known=label_map.background_known,
                    is_ct=channel.sequence == CT,
                    fold_position=acquisition.participant.fold_position,
                    partly_ignored=label_map.partly_ignored,
                )
                for channel in acquisitions.channels(session, acquisition_id)
                if channel.id not in not_labelled
            ]
        doubtful = audit_masks(
            [
                *((one.annotation, one.mask.path) for one in labels.maps if one.usable),
                *(
                    (one.annotation, workspace.path(one.annotation.path))
                    for one in snapshot
                    if one.role is CaseRole.HELD_OUT
                ),
            ],
            anatomy_of(workspace.scheme),
        )
    left_out = by_examination(annotations, reasons)
    if not result:
        every = left_out | not_labelled
        raise InvalidInput(f"no case is left to train on: {describe_left_out(every)}")
    return result, {LABELS_KEY: labels.record(), DOUBTS_KEY: doubtful}, left_out


def reasons_without_mask(row: Round | None) -> dict[str, str]:
    """Reasons, by id, of the examinations that carry no mask in the snapshot of a round."""
    result = row.result if row is not None else {}
    # A snapshot of an earlier version knows those alone in which fat and water may be exchanged.
    reasons: dict[str, str] = dict.fromkeys(result.get(SWAPPED_KEY, ()), SWAPPED) | result.get(NOT_LABELLED_KEY, {})
    return reasons


def _plan_of(workspace: Workspace, row: Round | None, annotations: Sequence[Annotation]) -> FillingPlan:
    """What a round fills its annotations from; a snapshot of an earlier version fixed one draft for each annotation."""
    result = row.result if row is not None else {}
    if FILLING_KEY in result:
        return FillingPlan(result[FILLING_KEY])
    fill_from = result.get(FILL_FROM_KEY, {})
    drafts = {one.id: fill_from.get(one.id, one.presegmentation_id) for one in annotations}
    return FillingPlan(
        {
            one.id: dict.fromkeys(not_annotated(one, workspace.scheme), drafts[one.id])
            for one in annotations
            if drafts[one.id]
        }
    )


def annotated_structures(annotation: Annotation, scheme: LabelScheme) -> NDArray[np.bool_]:
    """Mark the structures that were annotated, as present or absent; shape (structures,), by label id - 1."""
    missing = set(not_annotated(annotation, scheme))
    return np.array([name not in missing for name in scheme.names])
