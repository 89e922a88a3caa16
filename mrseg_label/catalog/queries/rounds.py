"""Rounds, their snapshots and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import (
    Acquisition,
    Evaluation,
    Examination,
    Lease,
    Participant,
    Revision,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import ENDED_ROUNDS, IMPORT_AUTHOR, RevisionState


@dataclass(frozen=True)
class ProgressCounts:
    """How far the workspace is, counted in acquisitions (channels that share a correction count once)."""

    annotated_total: int
    annotated_since_round: int
    waiting: int
    handed_out: int
    excluded: int


def get(session: Session, number: int) -> Round | None:
    """A round by number."""
    return session.get(Round, number)


def listing(session: Session) -> Sequence[Round]:
    """All rounds, newest first."""
    return session.scalars(select(Round).order_by(Round.number.desc())).all()


def active(session: Session) -> Round | None:
    """The round that waits or runs, if there is one."""
    return session.scalars(
        select(Round).where(Round.state.not_in(ENDED_ROUNDS)).order_by(Round.number).limit(1)
    ).one_or_none()


def next_number(session: Session) -> int:
    """The number of the next round."""
    return (session.scalars(select(func.max(Round.number))).one() or 0) + 1


def _annotated() -> Select[Any]:
    return select(Acquisition).where(Acquisition.annotated_at.is_not(None), Acquisition.excluded_at.is_(None))


def _in_snapshot() -> ColumnElement[bool]:
    return exists().where(RoundCase.acquisition_id == Acquisition.id)


def by_a_reader() -> ColumnElement[bool]:
    """Whether a reader submitted a mask that stands, and not an import alone."""
    return exists().where(
        Revision.acquisition_id == Acquisition.id,
        Revision.state == RevisionState.ACCEPTED,
        or_(Revision.author != IMPORT_AUTHOR, Revision.client != IMPORT_AUTHOR),
    )


def annotated_since(session: Session) -> int:
    """Acquisitions that a reader annotated and that are not yet in any snapshot.

    Submitting one again does not count it twice. Masks that came with an import are taught with the rest and
    start no round.
    """
    query = _annotated().where(~_in_snapshot(), by_a_reader())
    return session.scalars(select(func.count()).select_from(query.subquery())).one()


def counts(session: Session) -> ProgressCounts:
    """How far the workspace is."""

    def count(*conditions: object) -> int:
        return session.scalars(select(func.count()).select_from(Acquisition).where(*conditions)).one()  # type: ignore[arg-type]

    open_lease = exists().where(Lease.acquisition_id == Acquisition.id, Lease.ended_at.is_(None))
    included = Acquisition.excluded_at.is_(None)
    waiting = Acquisition.annotated_at.is_(None)
    return ProgressCounts(
        annotated_total=count(included, ~waiting),
        annotated_since_round=annotated_since(session),
        waiting=count(included, waiting, ~open_lease),
        handed_out=count(included, open_lease),
        excluded=count(~included),
    )


def snapshot_candidates(session: Session) -> Sequence[tuple[Revision, Participant]]:
    """The newest final accepted revision of every annotated acquisition, with its participant, in a fixed order."""
    newest = (
        select(Revision.acquisition_id, func.max(Revision.number).label("number"))
        .where(Revision.state == RevisionState.ACCEPTED, Revision.is_final)
        .group_by(Revision.acquisition_id)
        .subquery()
    )
    query = (
        select(Revision, Participant)
        .join(newest, (newest.c.acquisition_id == Revision.acquisition_id) & (newest.c.number == Revision.number))
        .join(Acquisition, Acquisition.id == Revision.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(Acquisition.excluded_at.is_(None), Acquisition.annotated_at.is_not(None))
        .order_by(Participant.code, Acquisition.id)
    )
    return [(revision, participant) for revision, participant in session.execute(query).unique()]


def cases(session: Session, number: int) -> Sequence[RoundCase]:
    """The cases of a round's snapshot, in a fixed order."""
    return (
        session.scalars(select(RoundCase).where(RoundCase.round_number == number).order_by(RoundCase.acquisition_id))
        .unique()
        .all()
    )


def channels(session: Session, acquisition_id: str) -> Sequence[Examination]:
    """All examinations of an acquisition."""
    return (
        session.scalars(
            select(Examination).where(Examination.acquisition_id == acquisition_id).order_by(Examination.id)
        )
        .unique()
        .all()
    )


def acquisition(session: Session, acquisition_id: str) -> Acquisition | None:
    """An acquisition by id."""
    return session.get(Acquisition, acquisition_id)


def evaluation(session: Session, model_version: str, revision_id: str) -> Evaluation | None:
    """What a model version reached on a held-out revision, if it was evaluated."""
    return session.get(Evaluation, (model_version, revision_id))
