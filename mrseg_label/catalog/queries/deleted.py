"""Participants who were deleted on request: recognised by salted hashes, in an older backup and in an import."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import DeletedParticipant, Participant, UnfinishedDeletion

_COST = 2**12  # of scrypt: about 10 ms, so that a list of all codes of a study cannot be tried in a moment


def salt_of(session: Session) -> str:
    """The salt of this workspace's hashes: the one in use, or a new one."""
    present = session.scalars(select(DeletedParticipant.salt).limit(1)).one_or_none()
    return present or secrets.token_hex(16)


def participant_hash(salt: str, participant_id: str) -> str:
    """SHA-256 of the random id of a participant, which nobody can guess and which is nowhere else any more."""
    return hashlib.sha256(f"{salt}:{participant_id}".encode()).hexdigest()


def code_hash(salt: str, code: str) -> str:
    """Hash of a participant's code by scrypt, since codes of a study can be guessed."""
    normal = unicodedata.normalize("NFC", code.strip()).casefold().encode()
    return hashlib.scrypt(normal, salt=salt.encode(), n=_COST, r=8, p=1, dklen=32).hex()


def all_rows(session: Session) -> Sequence[DeletedParticipant]:
    """All who were deleted, in the order of their deletion."""
    query = select(DeletedParticipant).order_by(DeletedParticipant.deleted_at, DeletedParticipant.id)
    return session.scalars(query).all()


def with_code(session: Session, code: str) -> DeletedParticipant | None:
    """Who was deleted and had this code, if anybody."""
    for salt in session.scalars(select(DeletedParticipant.salt).distinct()).all():
        query = select(DeletedParticipant).where(
            DeletedParticipant.salt == salt, DeletedParticipant.code_hash == code_hash(salt, code)
        )
        if (found := session.scalars(query.limit(1)).one_or_none()) is not None:
            return found
    return None


def still_here(session: Session, hashes: Collection[tuple[str, str]]) -> list[Participant]:
    """Participants that are here although they were deleted elsewhere, such as in a workspace that this was a backup of.

    Parameters
    ----------
    hashes : salt and hash of the participant's id, of each who was deleted.
    """
    by_salt: dict[str, set[str]] = {}
    for salt, digest in hashes:
        if digest:
            by_salt.setdefault(salt, set()).add(digest)
    found = [
        identifier
        for identifier in session.scalars(select(Participant.id)).all()
        if any(participant_hash(salt, identifier) in known for salt, known in by_salt.items())
    ]
    return [row for identifier in found if (row := session.get(Participant, identifier)) is not None]


def add(session: Session, row: DeletedParticipant) -> None:
    """Remember that somebody was deleted, unless that is known already."""
    query = select(DeletedParticipant).where(
        DeletedParticipant.salt == row.salt, DeletedParticipant.code_hash == row.code_hash
    )
    present = session.scalars(query.limit(1)).one_or_none()
    if present is None or (row.participant_hash and present.participant_hash not in ("", row.participant_hash)):
        session.add(row)
    elif row.participant_hash:
        present.participant_hash, present.models = row.participant_hash, row.models
    session.flush()


def forget_code(session: Session, code: str) -> int:
    """Let somebody be imported again; returns how many rows said that they were deleted.

    The hash of the id they had stays: the data that they withdrew must not come back from a backup.
    """
    found = 0
    while (row := with_code(session, code)) is not None:
        row.code_hash = ""
        session.flush()
        found += 1
    return found


def unfinished(session: Session) -> Sequence[UnfinishedDeletion]:
    """Deletions that were interrupted, or are in progress, oldest first."""
    return session.scalars(select(UnfinishedDeletion).order_by(UnfinishedDeletion.started_at)).all()


def finish(session: Session, identifier: str) -> None:
    """Forget what a deletion was looking for."""
    session.execute(delete(UnfinishedDeletion).where(UnfinishedDeletion.id == identifier))
