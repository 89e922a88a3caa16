"""The snapshot of a round: which revisions it learns from and is judged by, fixed once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation, Round, RoundCase
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.rounds.filling import LABELS, not_judged, presegmentation_of
from mrseg_label.rounds.label_maps import complete

FILL_FROM = "fill_from"  # in Round.result: drafts by revision, for cases that had none when they were submitted


def take(session: Session, row: Round, scheme: LabelScheme) -> None:
    """Write the round's cases into the catalogue, unless an earlier attempt did.

    Every examination annotated so far is in, with its newest accepted revision: those of held-out
    participants are evaluated on, the others are learned from. So is the draft from which a mask will be filled
    that was drawn without one: a later one would make other label maps of the same snapshot.

    Raises
    ------
    InvalidInput
        There is nothing to learn from.
    """
    if row.snapshot_digest is not None:
        return
    participants.decide_held_out(session)
    lines = [scheme.digest]
    fill_from: dict[str, str] = {}
    for annotation, participant in annotation_rows.snapshot_candidates(session):
        role = CaseRole.HELD_OUT if participant.held_out else CaseRole.TRAINING
        session.add(
            RoundCase(
                round_number=row.number,
                annotation_id=annotation.id,
                acquisition_id=annotation.acquisition_id,
                role=role,
            )
        )
        line = f"{role}\t{participant.code}\t{annotation.acquisition_id}\t{annotation.digest}"
        missing = not_judged(annotation, scheme)
        if missing:
            presegmentation = presegmentation_of(session, annotation)
            line += f"\t{presegmentation.digest if presegmentation else ''}\t{','.join(missing)}"
            if presegmentation is not None and annotation.presegmentation_id is None and role is CaseRole.TRAINING:
                fill_from[annotation.id] = presegmentation.id
        lines.append(line)
    if not any(line.startswith(CaseRole.TRAINING) for line in lines):
        raise InvalidInput(
            "no examination of a participant who is not held out is annotated; annotate one and start the round again"
        )
    if fill_from:
        row.result = {FILL_FROM: fill_from}
    row.snapshot_digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()


def training_cases(workspace: OpenedWorkspace, number: int, folder: Path) -> tuple[list[TrainingCase], dict[str, Any]]:
    """The cases to learn from, and what the round keeps of how their label maps were made.

    Every channel of every corrected acquisition is a case, sharing its label map
    (:mod:`mrseg_label.rounds.label_maps`). Those in which something was filled are written to ``folder``.

    Raises
    ------
    InvalidInput
        In no case is it known what is background.
    """
    result = []
    with workspace.catalog.read() as session:
        row = rows.get(session, number)
        fill_from = row.result.get(FILL_FROM) if row is not None else None
        annotations = [case.annotation for case in rows.cases(session, number) if case.role is CaseRole.TRAINING]
        labels = complete(workspace, session, annotations, folder, fill_from=fill_from)
        labels.require_background()
        for label in labels.maps:
            if not label.teaches:
                continue
            acquisition_id = label.annotation.acquisition_id
            acquisition = acquisitions.get(session, acquisition_id)
            if acquisition is None:
                raise InvalidInput(f"acquisition {acquisition_id} of round {number} is not in the catalogue")
            result += [
                TrainingCase(
                    case_id=channel.id,
                    image=workspace.path(channel.path),
                    label=label.mask.path,
                    participant=acquisition.participant.code,
                    image_digest=channel.digest,
                    label_digest=label.mask.digest,
                    background_known=not label.hidden,
                )
                for channel in acquisitions.channels(session, acquisition_id)
            ]
    return result, {LABELS: labels.record()}


def vouched_for(annotation: Annotation, scheme: LabelScheme) -> NDArray[np.bool_]:
    """Which structures, by id - 1, the reader of a revision vouches for, present or absent."""
    missing = set(not_judged(annotation, scheme))
    return np.array([name not in missing for name in scheme.names])
