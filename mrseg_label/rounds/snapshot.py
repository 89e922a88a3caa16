"""The snapshot of a round: which revisions it learns from and is judged by, fixed once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.annotation.filling import fill
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Revision, Round, RoundCase
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase
from mrseg_label.workspace import Workspace


def take(session: Session, row: Round, scheme: LabelScheme) -> None:
    """Write the round's cases into the catalogue, unless an earlier attempt did.

    Every examination annotated so far is in, with its newest accepted revision: those of held-out
    participants are evaluated on, the others are learned from.

    Raises
    ------
    InvalidInput
        There is nothing to learn from.
    """
    if row.snapshot_digest is not None:
        return
    participants.decide_held_out(session)
    lines = [scheme.digest]
    for revision, participant in rows.snapshot_candidates(session):
        role = CaseRole.HELD_OUT if participant.held_out else CaseRole.TRAINING
        session.add(
            RoundCase(
                round_number=row.number, revision_id=revision.id, acquisition_id=revision.acquisition_id, role=role
            )
        )
        lines.append(f"{role}\t{participant.code}\t{revision.acquisition_id}\t{revision.digest}")
    if not any(line.startswith(CaseRole.TRAINING) for line in lines):
        raise InvalidInput(
            "no examination of a participant who is not held out is annotated; annotate one and start the round again"
        )
    row.snapshot_digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()


def training_cases(workspace: Workspace, catalog: Catalog, number: int, folder: Path) -> list[TrainingCase]:
    """The cases to learn from: every channel of every corrected acquisition, sharing its label map.

    Label maps in which something had to be filled from a draft are written to ``folder``.
    """
    result = []
    with catalog.read() as session:
        for case in rows.cases(session, number):
            if case.role is not CaseRole.TRAINING:
                continue
            label = fill(workspace, session, case.revision, folder)
            acquisition = rows.acquisition(session, case.acquisition_id)
            if acquisition is None:
                raise InvalidInput(f"acquisition {case.acquisition_id} of round {number} is not in the catalogue")
            result += [
                TrainingCase(
                    case_id=channel.id,
                    image=workspace.path(channel.path),
                    label=label.path,
                    participant=acquisition.participant.code,
                    image_digest=channel.digest,
                    label_digest=label.digest,
                )
                for channel in rows.channels(session, case.acquisition_id)
            ]
    return result


def vouched_for(revision: Revision, scheme: LabelScheme) -> NDArray[np.bool_]:
    """Which structures, by id - 1, the reader of a revision vouches for, present or absent."""
    vouched = np.ones(len(scheme), dtype=bool)
    for item in revision.structures:
        if not item.state.judged:
            vouched[scheme[item.structure].id - 1] = False
    return vouched
