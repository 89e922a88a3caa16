"""What trainings report: the folds of rounds, and their logs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, defer

from mrseg_label.catalog.tables import RoundFold, RoundLog
from mrseg_label.catalog.types import FoldState
from mrseg_label.clock import now


def get(session: Session, number: int, fold: int) -> RoundFold | None:
    """A fold of a round."""
    return session.get(RoundFold, (number, fold))


def get_or_add(session: Session, number: int, fold: int) -> RoundFold:
    """A fold of a round; a queued one is added if there is none."""
    row = get(session, number, fold)
    if row is None:
        row = RoundFold(round_number=number, fold=fold, state=FoldState.QUEUED, progress={}, curve=[], result={})
        session.add(row)
        session.flush()
    return row


def folds(session: Session, number: int) -> Sequence[RoundFold]:
    """The folds of a round by number; their curves are read when they are asked for."""
    query = select(RoundFold).where(RoundFold.round_number == number).order_by(RoundFold.fold)
    return session.scalars(query.options(defer(RoundFold.curve))).all()


def folds_of_rounds(session: Session, numbers: Sequence[int]) -> dict[int, list[RoundFold]]:
    """The folds of these rounds, without their curves and results, by round and in the order of their numbers."""
    query = (
        select(RoundFold).where(RoundFold.round_number.in_(numbers)).order_by(RoundFold.round_number, RoundFold.fold)
    )
    found: dict[int, list[RoundFold]] = {}
    for row in session.scalars(query.options(defer(RoundFold.curve), defer(RoundFold.result))):
        found.setdefault(row.round_number, []).append(row)
    return found


def folds_now(session: Session, number: int) -> Sequence[RoundFold]:
    """The folds of a round by number, read again: other transactions may have changed them since they were loaded."""
    session.flush()
    query = select(RoundFold).where(RoundFold.round_number == number).order_by(RoundFold.fold)
    return session.scalars(query.options(defer(RoundFold.curve)).execution_options(populate_existing=True)).all()


def fold_of_job(session: Session, job_id: str) -> RoundFold | None:
    """The fold that a job trains, if it trains one."""
    return session.scalars(select(RoundFold).where(RoundFold.job_id == job_id)).one_or_none()


def end_folds(session: Session, number: int, state: FoldState, error: str | None = None) -> None:
    """End the folds of a round that are queued or running; with ``QUEUED`` they wait for another attempt."""
    for row in folds(session, number):
        if row.state in (FoldState.QUEUED, FoldState.RUNNING):
            end_fold(row, state, error)


def end_fold(row: RoundFold, state: FoldState, error: str | None = None) -> None:
    """Note how the attempt to train a fold ended."""
    row.state, row.error = state, error
    row.finished_at = None if state in (FoldState.QUEUED, FoldState.RUNNING) else now()


def newest_piece(session: Session, number: int, fold: int | None) -> RoundLog | None:
    """The last piece of a log."""
    query = select(RoundLog).where(*_of(number, fold)).order_by(RoundLog.id.desc()).limit(1)
    return session.scalars(query).one_or_none()


def pieces(session: Session, number: int, fold: int | None) -> Sequence[RoundLog]:
    """The pieces of a log, in their order."""
    return session.scalars(select(RoundLog).where(*_of(number, fold)).order_by(RoundLog.id)).all()


def pieces_with_lengths(session: Session, number: int, fold: int | None) -> Sequence[tuple[int, int]]:
    """Id and number of characters of each piece of a log, in their order."""
    query = select(RoundLog.id, func.length(RoundLog.text)).where(*_of(number, fold)).order_by(RoundLog.id)
    return [(piece, length) for piece, length in session.execute(query)]


def _of(number: int, fold: int | None) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    same = RoundLog.fold.is_(None) if fold is None else RoundLog.fold == fold
    return RoundLog.round_number == number, same
