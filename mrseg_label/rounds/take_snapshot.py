"""Take the snapshot of a round: read what is annotated, and fix it.

It is read before anything is locked, since readers would wait: of twenty thousand cases that takes 40 s. An administrator may act
meanwhile: move an image to another participant, which can change sides, exclude a case, withdraw its annotation, delete a participant,
or prune drafts. So what was read is compared with the catalogue where it is stored, and read again where it does not hold any more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.propagation import is_swapped, without_mask
from mrseg_label.catalog.queries import participants, presegmentations, snapshots
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Round, RoundCase
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import InvalidInput
from mrseg_label.rounds.filling import not_annotated
from mrseg_label.rounds.filling_choice import choose_drafts, filling_models
from mrseg_label.rounds.left_out import record_left_out
from mrseg_label.rounds.snapshot import FILLING_KEY, NOT_LABELLED_KEY, PROPAGATED_KEY, SCORES_KEY, SWAPPED_KEY
from mrseg_label.rounds.stations import Stations
from mrseg_label.workspace import Workspace

_READINGS = 2  # that nobody waits for


@dataclass(frozen=True)
class _Case:
    annotation: str
    acquisition: str
    participant: str
    role: CaseRole


@dataclass
class Snapshot:
    """What a round trains on and is evaluated on, as one state of the catalogue has it.

    Attributes
    ----------
    lines : what the digest of the snapshot is made of.
    filling, scores : the drafts that masks are filled from, and what is known of the models that made them.
    not_labelled, swapped, propagated : the images that do not carry the mask of their acquisition, and how many carry one that
        was drawn on another.
    """

    lines: list[str]
    cases: list[_Case] = field(default_factory=list)
    filling: dict[str, dict[str, str]] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    not_labelled: dict[str, str] = field(default_factory=dict)
    swapped: set[str] = field(default_factory=set)
    propagated: int = 0

    @property
    def trained_on(self) -> set[str]:
        """Ids of the participants."""
        return {case.participant for case in self.cases if case.role is CaseRole.TRAINING}

    @property
    def drafts(self) -> set[str]:
        """Ids of the drafts that masks are filled from."""
        return {draft for of_case in self.filling.values() for draft in of_case.values()}


def take_snapshot(catalog: Catalog, number: int, workspace: Workspace) -> None:
    """Add the cases of a round to the catalogue, unless an earlier attempt did.

    Every annotated acquisition is included with its newest accepted annotation: those of held-out participants for
    evaluation, the others for training. The pre-segmentations that masks will be filled from are chosen anew
    (:mod:`mrseg_label.rounds.filling_choice`) and fixed too, since later ones would give other label maps for the same
    snapshot. Images that do not carry their acquisition's mask (:mod:`mrseg_label.catalog.propagation`) are left out. Held-out
    annotations are never filled: structures that they do not annotate do not count. What is annotated while this goes on is in
    the next round.

    Raises
    ------
    InvalidInput
        There is nothing to train on.
    """
    for attempt in range(_READINGS + 1):
        found = None
        with catalog.begin() as session:
            if _get(session, number).snapshot_digest is not None:
                return
            participants.decide_held_out(session)
        if attempt < _READINGS:
            with catalog.read() as session:
                snapshots.fix_state(session)
                found = _read(session, _get(session, number), workspace)
        with catalog.begin() as session:
            participants.lock_imports(session)  # as whoever edits, deletes or prunes does
            row = _get(session, number, lock=True)
            if row.snapshot_digest is not None:
                return  # another worker took the job over, and was first
            if found is None:
                participants.decide_held_out(session)
                found = _read(session, row, workspace)
            elif not _holds(session, row, found):
                continue
            _store(session, row, found)
            return


def _get(session: Session, number: int, *, lock: bool = False) -> Round:
    row = rows.get(session, number, lock=lock)
    if row is None:
        raise InvalidInput(f"round {number} does not exist")
    return row


def _role(row: Round, held_out: bool | None) -> CaseRole:
    return CaseRole.HELD_OUT if held_out and not row.include_held_out else CaseRole.TRAINING


def _read(session: Session, row: Round, workspace: Workspace) -> Snapshot:
    known = filling_models(workspace, session)
    found = Snapshot([workspace.scheme.digest])
    not_drawn: set[str] = set()
    cases = [
        (one, participant, _role(row, participant.held_out))
        for one, participant in snapshots.candidates(session)
        if participant.held_out is not None  # else they came since the sides were decided
    ]
    of_cases = snapshots.acquisitions(session, [one.acquisition_id for one, _, _ in cases])
    stations = Stations(session, [one for one, _, role in cases if role is CaseRole.TRAINING])
    for annotation, participant, role in cases:
        acquisition = of_cases[annotation.acquisition_id]
        found.cases.append(_Case(annotation.id, acquisition.id, participant.id, role))
        channels = acquisition.examinations
        without = without_mask(acquisition, channels, annotation.examination_id)
        carriers = [channel for channel in channels if channel.id not in without]
        if role is CaseRole.TRAINING:
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


def _holds(session: Session, row: Round, found: Snapshot) -> bool:
    """Whether every case is still annotated, of the same participant on the same side, and every draft still there."""
    sides = snapshots.sides(session, [case.acquisition for case in found.cases])
    return (
        all(
            (side := sides.get(case.acquisition)) is not None
            and side.held_out is not None
            and (side.participant, _role(row, side.held_out)) == (case.participant, case.role)
            for case in found.cases
        )
        and snapshots.are_accepted(session, [case.annotation for case in found.cases])
        and snapshots.are_drafted(session, sorted(found.drafts))
    )


def _store(session: Session, row: Round, found: Snapshot) -> None:
    # Participants first, and cases in the order of their ids: in the order in which others lock them.
    participants.decide_fold_positions(session, participants.without_fold(session, found.trained_on))
    session.add_all(
        RoundCase(
            round_number=row.number, annotation_id=case.annotation, acquisition_id=case.acquisition, role=case.role
        )
        for case in sorted(found.cases, key=lambda case: case.acquisition)
    )
    session.flush()
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
