"""Rounds and their snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Annotation, ModelVersion, Round, RoundCase, RoundDraft
from mrseg_label.catalog.types import ENDED_ROUNDS, CaseRole, RoundState


def get(session: Session, number: int, *, lock: bool = False) -> Round | None:
    """A round by number; ``lock`` reads it again and keeps other transactions from changing it."""
    if not lock:
        return session.get(Round, number)
    session.flush()
    return session.get(Round, number, populate_existing=True, with_for_update=True)


def newest(session: Session) -> Round | None:
    """The round that was started last, if there is one."""
    return session.scalars(select(Round).order_by(Round.number.desc()).limit(1)).one_or_none()


def newest_done(session: Session) -> Round | None:
    """The newest round that led to a model version, if there is one."""
    query = select(Round).where(Round.state == RoundState.DONE).order_by(Round.number.desc()).limit(1)
    return session.scalars(query).one_or_none()


def of_job(session: Session, job_id: str) -> Round | None:
    """The round that a job runs, if it runs one."""
    return session.scalars(select(Round).where(Round.job_id == job_id)).one_or_none()


def active(session: Session) -> Round | None:
    """The round that is queued or running, if there is one."""
    query = select(Round).where(Round.state.not_in(ENDED_ROUNDS)).order_by(Round.number).limit(1)
    return session.scalars(query).one_or_none()


def all_locked(session: Session) -> Sequence[Round]:
    """Every round; until the end of the transaction none of them is changed by another one."""
    return session.scalars(select(Round).order_by(Round.number).with_for_update()).all()


def next_number(session: Session) -> int:
    """The number of the next round."""
    return (session.scalars(select(func.max(Round.number))).one() or 0) + 1


def page(session: Session, limit: int, below: int | None = None) -> Sequence[Round]:
    """Rounds, newest first; only those with a number below the given one."""
    query = select(Round).order_by(Round.number.desc())
    if below is not None:
        query = query.where(Round.number < below)
    return session.scalars(query.limit(limit)).all()


def cases(session: Session, number: int) -> Sequence[RoundCase]:
    """The cases of a round's snapshot, in a fixed order."""
    query = select(RoundCase).where(RoundCase.round_number == number).order_by(RoundCase.acquisition_id)
    return session.scalars(query).unique().all()


class SnapshotCase(NamedTuple):
    """A case of a snapshot with the annotation that stands for it there."""

    acquisition_id: str
    examination_id: str
    annotation_id: str
    number: int
    role: CaseRole


def snapshot_page(session: Session, number: int, limit: int, after: str | None = None) -> list[SnapshotCase]:
    """Cases of a round's snapshot by the id of their annotation, from behind one on; none of their structures is read."""
    query = (
        select(
            RoundCase.acquisition_id,
            Annotation.examination_id,
            RoundCase.annotation_id,
            Annotation.number,
            RoundCase.role,
        )
        .join(Annotation, Annotation.id == RoundCase.annotation_id)
        .where(RoundCase.round_number == number)
    )
    if after is not None:
        query = query.where(RoundCase.annotation_id > after)
    ordered = query.order_by(RoundCase.annotation_id).limit(limit)
    return [SnapshotCase(*row) for row in session.execute(ordered)]


def participants_of(session: Session, number: int) -> set[str]:
    """Ids of the participants in the snapshot of a round."""
    query = select(Acquisition.participant_id).join(RoundCase, RoundCase.acquisition_id == Acquisition.id)
    return set(session.scalars(query.where(RoundCase.round_number == number).distinct()))


def roles_of(session: Session, acquisition_id: str) -> set[CaseRole]:
    """The roles that an acquisition has had in the snapshots of rounds, without those that train on everything."""
    query = select(RoundCase.role).join(Round, Round.number == RoundCase.round_number)
    return set(session.scalars(query.where(RoundCase.acquisition_id == acquisition_id, ~Round.include_held_out)))


def case_counts(session: Session, numbers: Sequence[int]) -> dict[int, dict[CaseRole, int]]:
    """How many cases of each role are in the snapshots of these rounds."""
    query = (
        select(RoundCase.round_number, RoundCase.role, func.count())
        .where(RoundCase.round_number.in_(numbers))
        .group_by(RoundCase.round_number, RoundCase.role)
    )
    counts: dict[int, dict[CaseRole, int]] = {}
    for number, role, count in session.execute(query):
        counts.setdefault(number, {})[role] = count
    drafts = (
        select(RoundDraft.round_number, func.count())
        .where(RoundDraft.round_number.in_(numbers))
        .group_by(RoundDraft.round_number)
    )
    for number, count in session.execute(drafts):
        counts.setdefault(number, {})[CaseRole.TRAINING] = count
    return counts


def including_held_out(session: Session) -> set[int]:
    """Numbers of the rounds that train on held-out participants too."""
    return set(session.scalars(select(Round.number).where(Round.include_held_out)))


def versions_of(session: Session, numbers: Sequence[int]) -> dict[int, str]:
    """The model version that each of these rounds registered."""
    # The newest, if a round was retried for a fold that had failed and registered another one.
    query = (
        select(ModelVersion.round_number, ModelVersion.version)
        .where(ModelVersion.round_number.in_(numbers))
        .order_by(ModelVersion.created_at)
    )
    return {number: version for number, version in session.execute(query) if number is not None}


def counts_by_state(session: Session) -> dict[RoundState, int]:
    """How many rounds are in each state that any has."""
    rows = session.execute(select(Round.state, func.count()).group_by(Round.state))
    return {row[0]: row[1] for row in rows}
