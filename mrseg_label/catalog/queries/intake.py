"""Participants, acquisitions, examinations and aliases, as an import needs them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Alias, Examination, Lease, Participant, Presegmentation, Revision

# Any number that no other part of the catalogue takes for a lock.
_IMPORT_LOCK = 0x6D727367


def one_at_a_time(session: Session) -> None:
    """Let imports record one after the other, so that none overlooks what another records at the same moment.

    SQLite has one writer anyway; on PostgreSQL the lock is given back at the end of the transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_IMPORT_LOCK)))


def has_source(session: Session, source_digest: str) -> bool:
    """Whether an examination was made of a file with these bytes."""
    return session.scalar(select(Examination.id).where(Examination.source_digest == source_digest).limit(1)) is not None


def same_image(session: Session, source_digest: str, digest: str = "") -> Sequence[Examination]:
    """Examinations made of a file with these bytes, or stored with this content; oldest first."""
    same = Examination.source_digest == source_digest
    if digest:
        same = or_(same, Examination.digest == digest)
    return session.scalars(select(Examination).where(same).order_by(Examination.created_at, Examination.id)).all()


def examination(session: Session, examination_id: str) -> Examination | None:
    """An examination by id."""
    return session.get(Examination, examination_id)


def acquisition(session: Session, acquisition_id: str) -> Acquisition | None:
    """An acquisition by id."""
    return session.get(Acquisition, acquisition_id)


def participant(session: Session, code: str, lock: bool = False) -> Participant | None:
    """A participant by code; ``lock`` makes other imports of the same participant wait (PostgreSQL)."""
    query = select(Participant).where(Participant.code == code)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def sources_of(session: Session, participant_id: str) -> Sequence[str]:
    """Where the images of a participant came from."""
    query = select(Examination.source).join(Acquisition).where(Acquisition.participant_id == participant_id)
    return session.scalars(query).all()


def acquisitions(session: Session, participant_id: str, station: str | None = None) -> Sequence[Acquisition]:
    """Acquisitions of a participant (at one station), oldest first."""
    query = select(Acquisition).where(Acquisition.participant_id == participant_id)
    if station is not None:
        query = query.where(Acquisition.station == station)
    return session.scalars(query.order_by(Acquisition.created_at, Acquisition.id)).all()


def in_use(session: Session, acquisition_id: str) -> bool:
    """Whether the acquisition has been drafted, handed out or annotated, so that its primary channel must stay."""
    return any(
        session.scalar(select(func.count()).select_from(table).where(table.acquisition_id == acquisition_id))
        for table in (Presegmentation, Lease, Revision)
    )


def alias(session: Session, client: str, name: str) -> Alias | None:
    """A client's own name for an image."""
    return session.get(Alias, (client, name))


def has_alias(session: Session, examination_id: str, client: str) -> bool:
    """Whether a client uploaded that image."""
    query = select(exists().where(Alias.examination_id == examination_id, Alias.client == client))
    return bool(session.scalar(query))


def set_alias(session: Session, client: str, name: str, examination_id: str) -> None:
    """Let a client's own name stand for an examination."""
    session.merge(Alias(client=client, name=name, examination_id=examination_id))
