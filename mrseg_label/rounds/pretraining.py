"""Pretrain on drafts that nobody corrected: the first of two stages, before a round or the final model on corrections.

The cases are those of participants of whom nothing is annotated and who are not held out, so that whatever is tested or
cross-validated later was not seen. Their labels are the drafts of the current model; missing ones are made. Where the
model missed organs the segmented volume is low, so cases are left out whose draft has less than half the median volume
of its station, or less than the lower fence of Tukey's box plot on the logarithm of the volume.

References
----------
Häntze H et al. MRSegmentator: multi-modality segmentation of 40 classes in MRI and CT. arXiv:2405.06463.
https://doi.org/10.48550/arXiv.2405.06463
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import acquisitions, models, participants, presegmentations
from mrseg_label.catalog.queries import pretraining as rows
from mrseg_label.catalog.tables import Acquisition, Presegmentation, Round, RoundDraft
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.nnunet.left_out import describe_left_out
from mrseg_label.nnunet.modality import CT
from mrseg_label.presegmentation.known_structures import LABELS_KEY, TRAINED_STRUCTURES_KEY
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.left_out import record_left_out
from mrseg_label.rounds.missing_presegmentations import make_draft
from mrseg_label.segments.files import read_label_map

log = logging.getLogger("mrseg_label.rounds")
MEDIAN_SHARE = 0.5  # of the median volume of a station; less is too little, however the volumes spread
FENCE = 1.5  # interquartile ranges below the lower quartile (Tukey 1977)
DRAFTS_KEY = "drafts"  # of Round.result
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Draft:
    """A draft that may be learned from: its station, the volume of all its structures in ml, and their label ids."""

    presegmentation: Presegmentation
    acquisition: Acquisition
    ml: float
    labels: frozenset[int]


def make_drafts(
    workspace: OpenedWorkspace, loaded_models: LoadedModels, check: Callable[[], None], progress: Progress
) -> list[Draft]:
    """Collect the current model's drafts of all cases that nobody corrected; missing ones are made.

    A case of which no draft can be made is passed over.

    Parameters
    ----------
    check : called before each case; may raise to end the work. Drafts made so far are kept.
    progress : called with the number of cases done and their total.
    """
    with workspace.catalog.begin() as session:
        participants.decide_held_out(session)
        cases = rows.uncorrected(session)
        version = models.current(session).version
    drafts = []
    for done, case in enumerate(cases):
        check()
        progress(done, len(cases))
        draft = _draft_of(workspace, case.id, version)
        if draft is None:
            make_draft(workspace, loaded_models, version, case.id, check)
            draft = _draft_of(workspace, case.id, version)
        if draft is not None:
            label_map, geometry = read_label_map(workspace.path(draft.path))
            counts = np.bincount(label_map.ravel(order="K"))
            labels = frozenset(int(label) for label in np.flatnonzero(counts) if label)
            drafts.append(Draft(draft, case, float(counts[1:].sum()) * geometry.voxel_ml, labels))
    return drafts


def _draft_of(workspace: OpenedWorkspace, acquisition_id: str, version: str) -> Presegmentation | None:
    with workspace.catalog.read() as session:
        draft = presegmentations.by_model(session, acquisition_id, version)
    return draft if draft is not None and is_whole(workspace, draft) else None


def too_small(volumes: Sequence[float]) -> float:
    """Volume in ml below which a draft is left out, from the volumes of all drafts of its station."""
    segmented = [volume for volume in volumes if volume > 0]
    if not segmented:
        return 0.0
    low, middle, high = np.quantile(np.log(segmented), [0.25, 0.5, 0.75])
    return float(max(MEDIAN_SHARE * np.exp(middle), np.exp(low - FENCE * (high - low))))


def split_by_volume(drafts: Sequence[Draft]) -> tuple[list[Draft], dict[str, str]]:
    """Split drafts into those to learn from and those left out; the latter as reasons by examination."""
    stations = {draft.acquisition.station for draft in drafts}
    least = {one: too_small([d.ml for d in drafts if d.acquisition.station == one]) for one in stations}
    kept, left_out = [], {}
    for draft in drafts:
        bound = least[draft.acquisition.station]
        if draft.ml > 0 and draft.ml >= bound:
            kept.append(draft)
        else:
            left_out[draft.presegmentation.examination_id] = (
                f"its draft has {draft.ml:.0f} ml of structures; at least {bound:.0f} ml are expected at station "
                f"{draft.acquisition.station or 'unknown'}"
            )
    return kept, left_out


def take_snapshot(session: Session, row: Round, workspace: OpenedWorkspace, drafts: Sequence[Draft]) -> None:
    """Fix the drafts that a pretraining learns from, unless an earlier attempt did.

    Raises
    ------
    InvalidInput
        No draft is left.
    """
    if row.snapshot_digest is not None:
        return
    # Somebody may have begun to annotate a participant while the drafts were made.
    still = {case.id for case in rows.uncorrected(session)}
    not_labelled: dict[str, str] = {}
    usable = []
    for draft in drafts:
        channels = acquisitions.channels(session, draft.acquisition.id)
        without = without_mask(draft.acquisition, channels, draft.presegmentation.examination_id)
        not_labelled |= without
        if draft.acquisition.id in still and len(without) < len(channels):
            usable.append(draft)
    kept, left_out = split_by_volume(usable)
    left_out |= not_labelled
    if not kept:
        raise InvalidInput(
            "there is nothing to pretrain on: no case that nobody corrected has a draft with enough segmented volume; "
            "import more images, or check the weights for drafts (mrseg-label doctor)"
            + (f". Left out: {describe_left_out(left_out)}" if left_out else "")
        )
    lines = [workspace.scheme.digest]
    for draft in kept:
        key = draft.presegmentation.id
        session.add(RoundDraft(round_number=row.number, presegmentation_id=key, acquisition_id=draft.acquisition.id))
        lines.append(f"draft\t{draft.acquisition.participant.code}\t{draft.presegmentation.digest}")
    found = frozenset[int]().union(*(draft.labels for draft in kept))
    names = [name for name in workspace.scheme.names if workspace.scheme[name].id in found]
    summary = {
        "version": kept[0].presegmentation.model_version,
        "cases": len(kept),
        "left_out": len(drafts) - len(kept),
    }
    row.result = {**row.result, LABELS_KEY: {TRAINED_STRUCTURES_KEY: names}, DRAFTS_KEY: summary}
    record_left_out(session, row.number, CaseRole.TRAINING, left_out)
    row.snapshot_digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()


def training_cases(
    workspace: OpenedWorkspace, number: int
) -> tuple[list[TrainingCase], Mapping[str, Any], dict[str, str]]:
    """Collect the cases of a pretraining: every channel that the draft of its acquisition is used for.

    Returns
    -------
    The cases, nothing to add to the result, and reasons by examination of those left out.
    """
    cases: list[TrainingCase] = []
    left_out: dict[str, str] = {}
    with workspace.catalog.read() as session:
        for draft, acquisition in rows.drafts(session, number):
            channels = acquisitions.channels(session, acquisition.id)
            without = without_mask(acquisition, channels, draft.examination_id)
            left_out |= without
            for channel in channels:
                if channel.id in without:
                    continue
                cases.append(
                    TrainingCase(
                        case_id=channel.id,
                        image=workspace.path(channel.path),
                        label=workspace.path(draft.path),
                        participant=acquisition.participant.code,
                        image_digest=channel.digest,
                        label_digest=draft.digest,
                        is_ct=channel.sequence == CT,
                    )
                )
    return cases, {}, left_out
