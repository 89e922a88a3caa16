"""Acquisitions of several images, for what compares the images of one with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Examination, Participant


@dataclass(frozen=True)
class ChannelFilter:
    """Which acquisitions are wanted; None does not restrict.

    Attributes
    ----------
    participant : code.
    after : only those whose id comes behind this one.
    """

    participant: str | None = None
    station: str | None = None
    after: str = ""


def with_several(session: Session, wanted: ChannelFilter, limit: int) -> Sequence[str]:
    """Ids of the first acquisitions of several images, by id; excluded ones too, since they may be included again."""
    return session.scalars(_query(wanted).order_by(Acquisition.id).limit(limit)).all()


def count_with_several(session: Session, wanted: ChannelFilter) -> int:
    """Number of acquisitions of several images."""
    return session.scalars(select(func.count()).select_from(_query(wanted).subquery())).one()


def _query(wanted: ChannelFilter) -> Select[str]:
    query = (
        select(Acquisition.id)
        .join(Examination, Examination.acquisition_id == Acquisition.id)
        .where(Acquisition.id > wanted.after)
        .group_by(Acquisition.id)
        .having(func.count() > 1)
    )
    if wanted.station is not None:
        query = query.where(Acquisition.station == wanted.station)
    if wanted.participant is not None:
        person = select(Participant.id).where(Participant.code == wanted.participant)
        query = query.where(Acquisition.participant_id.in_(person))
    return query
