"""Examinations, and the names that clients gave to images that they uploaded."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Alias, Examination


def get(session: Session, examination_id: str) -> Examination | None:
    """An examination by id, with its acquisition and participant."""
    return session.get(Examination, examination_id)


def has_source(session: Session, source_digest: str) -> bool:
    """Whether an examination was made of a file with these bytes."""
    return session.scalar(select(Examination.id).where(Examination.source_digest == source_digest).limit(1)) is not None


def same_image(session: Session, source_digest: str, digest: str = "") -> Sequence[Examination]:
    """Examinations made of a file with these bytes, or stored with this content; oldest first."""
    same = Examination.source_digest == source_digest
    if digest:
        same = or_(same, Examination.digest == digest)
    return session.scalars(select(Examination).where(same).order_by(Examination.created_at, Examination.id)).all()


def sources_of(session: Session, participant_id: str) -> Sequence[str]:
    """The files from which a participant's examinations were imported."""
    query = select(Examination.source).join(Acquisition).where(Acquisition.participant_id == participant_id)
    return session.scalars(query).all()


def by_alias(session: Session, name: str, client: str | None) -> Examination | None:
    """The image that a client uploaded last under that name; with ``client`` None, that anyone did."""
    query = select(Examination).join(Alias, Alias.examination_id == Examination.id).where(Alias.name == name)
    if client is not None:
        query = query.where(Alias.client == client)
    return session.scalars(query.order_by(Alias.created_at.desc()).limit(1)).unique().one_or_none()


def has_alias(session: Session, examination_id: str, client: str) -> bool:
    """Whether a client uploaded that image."""
    query = select(exists().where(Alias.examination_id == examination_id, Alias.client == client))
    return bool(session.scalar(query))


def set_alias(session: Session, client: str, name: str, examination_id: str) -> None:
    """Store a client's own name for an examination."""
    session.merge(Alias(client=client, name=name, examination_id=examination_id))
