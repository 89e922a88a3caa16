"""The snapshot of a round: the annotations that it trains on and is evaluated on, fixed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import SWAPPED, is_swapped, without_mask
from mrseg_label.catalog.queries import acquisitions, participants, presegmentations, snapshots
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Participant, Round, RoundCase
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.nnunet.left_out import describe_left_out
from mrseg_label.nnunet.modality import CT
from mrseg_label.presegmentation.known_structures import LABELS_KEY
from mrseg_label.rounds.doubts import DOUBTS_KEY, audit_masks
from mrseg_label.rounds.filling import not_annotated
from mrseg_label.rounds.filling_choice import FillingPlan, choose_drafts, filling_models
from mrseg_label.rounds.left_out import by_examination, record_left_out
from mrseg_label.rounds.stations import Stations
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


@dataclass
class Snapshot:
    """What a round trains on and is evaluated on, as one reading of the catalogue found it.

    Attributes
    ----------
    cases : id of the annotation, id of the acquisition, and role of each.
    lines : what the digest of the snapshot is made of.
    trained_on : ids of the participants.
    filling, scores : the drafts that masks are filled from, and what is known of the models that made them.
    not_labelled, swapped, propagated : the images that do not carry the mask of their acquisition, and how many carry one that
        was drawn on another.
    """

    lines: list[str]
    cases: list[tuple[str, str, CaseRole]] = field(default_factory=list)
    trained_on: set[str] = field(default_factory=set)
    filling: dict[str, dict[str, str]] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    not_labelled: dict[str, str] = field(default_factory=dict)
    swapped: set[str] = field(default_factory=set)
    propagated: int = 0


def take_snapshot(catalog: Catalog, number: int, workspace: Workspace) -> None:
    """Add the cases of a round to the catalogue, unless an earlier attempt did.

    Every annotated acquisition is included with its newest accepted annotation: those of held-out participants for
    evaluation, the others for training. The pre-segmentations that masks will be filled from are chosen anew
    (:mod:`mrseg_label.rounds.filling_choice`) and fixed too, since later ones would give other label maps for the same
    snapshot. Images that do not carry their acquisition's mask (:mod:`mrseg_label.catalog.propagation`) are left out. Held-out
    annotations are never filled: structures that they do not annotate do not count.

    It is read before anything is locked, since readers would wait: of twenty thousand cases it takes half a minute. What is
    annotated in between is in the next round.

    Raises
    ------
    InvalidInput
        There is nothing to train on.
    """
    with catalog.begin() as session:
        row = _get(session, number)
        if row.snapshot_digest is not None:
            return
        participants.decide_held_out(session)
    with catalog.read() as session:
        found = _read(session, _get(session, number), workspace)
    with catalog.begin() as session:
        row = _get(session, number, lock=True)
        if row.snapshot_digest is None:  # else another worker took the job over, and was first
            _store(session, row, found)


def _get(session: Session, number: int, *, lock: bool = False) -> Round:
    row = rows.get(session, number, lock=lock)
    if row is None:
        raise InvalidInput(f"round {number} does not exist")
    return row


def _read(session: Session, row: Round, workspace: Workspace) -> Snapshot:
    known = filling_models(workspace, session)
    found = Snapshot([workspace.scheme.digest])
    not_drawn: set[str] = set()
    cases = [
        (one, participant, _role(row, participant))
        for one, participant in snapshots.candidates(session)
        if participant.held_out is not None  # else they came since the sides were decided
    ]
    of_cases = snapshots.acquisitions(session, [one.acquisition_id for one, _, _ in cases])
    stations = Stations(session, [one for one, _, role in cases if role is CaseRole.TRAINING])
    for annotation, participant, role in cases:
        acquisition = of_cases[annotation.acquisition_id]
        found.cases.append((annotation.id, acquisition.id, role))
        channels = acquisition.examinations
        without = without_mask(acquisition, channels, annotation.examination_id)
        carriers = [channel for channel in channels if channel.id not in without]
        if role is CaseRole.TRAINING:
            found.trained_on.add(participant.id)
            found.not_labelled |= without
            found.swapped |= {channel.id for channel in channels if is_swapped(channel)}
            found.propagated += sum(channel.id != annotation.examination_id for channel in carriers)
        used = ",".join(channel.digest for channel in carriers)
        line = f"{role}\t{participant.code}\t{annotation.acquisition_id}\t{annotation.digest}\t{used}"
        missing = not_annotated(annotation, workspace.scheme)
        if missing:
            drafts = {}
            if role is CaseRole.TRAINING:
                drafts = choose_drafts(workspace, session, annotation, known, stations)
                not_drawn.update(missing)
            if drafts:
                found.filling[annotation.id] = drafts
            rows_of = {name: presegmentations.get(session, key) for name, key in drafts.items()}
            digests = {name: draft.digest for name, draft in rows_of.items() if draft is not None}
            line += "\t" + ",".join(f"{name}:{digests.get(name, '')}" for name in missing)
        found.lines.append(line)
    if not found.trained_on:
        raise InvalidInput(
            "there is nothing to train on: every annotated case belongs to a held-out participant; "
            "annotate a case of another participant and start the round again"
        )
    found.scores = known.record(frozenset(not_drawn))
    return found


def _store(session: Session, row: Round, found: Snapshot) -> None:
    for annotation_id, acquisition_id, role in found.cases:
        session.add(
            RoundCase(round_number=row.number, annotation_id=annotation_id, acquisition_id=acquisition_id, role=role)
        )
    session.flush()
    participants.decide_fold_positions(session, participants.without_fold(session, found.trained_on))
    row.result = {
        **row.result,
        FILLING_KEY: found.filling,
        SCORES_KEY: found.scores,
        PROPAGATED_KEY: found.propagated,
    }
    if found.not_labelled:
        row.result = {**row.result, NOT_LABELLED_KEY: found.not_labelled}
        record_left_out(session, row.number, CaseRole.TRAINING, found.not_labelled)
    if found.swapped:
        row.result = {**row.result, SWAPPED_KEY: sorted(found.swapped)}
    row.snapshot_digest = hashlib.sha256("\n".join(found.lines).encode()).hexdigest()


def _role(row: Round, participant: Participant) -> CaseRole:
    return CaseRole.HELD_OUT if participant.held_out and not row.include_held_out else CaseRole.TRAINING


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
