"""Delete participants with everything that belongs to them, in whatever table it is.

What belongs to a row follows from the foreign keys of all tables, so a table that is added later is covered as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select, tuple_, update
from sqlalchemy.orm import Session

from mrseg_label.catalog.changes import tell
from mrseg_label.catalog.tables import (
    Account,
    Alias,
    Annotation,
    Assignment,
    AuditEvent,
    Base,
    DeletedParticipant,
    Event,
    Examination,
    Job,
    ModelVersion,
    Participant,
    Presegmentation,
    RoundCase,
    RoundDraft,
    Secret,
    UnfinishedDeletion,
)
from mrseg_label.catalog.types import CaseRole, Topic

Key = tuple[Any, ...]
_PER_QUERY = 400  # databases limit the number of values in a query
_PER_PAGE = 2000
# Nothing there is about a participant, or it is what a deletion itself writes down.
LEFT_ALONE = {table.__tablename__ for table in (Account, Secret, DeletedParticipant, UnfinishedDeletion)}
LEFT_ALONE |= {"credentials", "access_tokens", "sign_in_attempts", "leases", "heartbeats", "workers"}
GONE = "deleted participant"
_OF_PARTICIPANTS = ("exclude", "include", "admit")  # actions whose subject is a code


@dataclass
class Belongings:
    """The rows that belong to some participants: primary keys by table; those of participants are their own."""

    rows: dict[str, set[Key]] = field(default_factory=dict)

    def ids(self, table: type[Base]) -> list[str]:
        """Ids of the rows of a table."""
        return sorted(str(key[0]) for key in self.rows.get(table.__tablename__, ()))

    def count(self, table: type[Base]) -> int:
        """Number of rows of a table."""
        return len(self.rows.get(table.__tablename__, ()))


def find_belongings(session: Session, participants: Collection[str]) -> Belongings:
    """Find every row that refers to these participants, directly or through other rows."""
    found = Belongings({Participant.__tablename__: {(identifier,) for identifier in participants}})
    for table in Base.metadata.sorted_tables:
        if table.name in LEFT_ALONE:
            continue
        keys = list(table.primary_key.columns)
        mine = found.rows.setdefault(table.name, set())
        for reference in table.foreign_keys:
            for part in _parts([key[0] for key in found.rows.get(reference.column.table.name, ())]):
                if reference.column.table.primary_key.contains_column(reference.column):
                    mine |= {tuple(row) for row in session.execute(select(*keys).where(reference.parent.in_(part)))}
    return found


def delete_belongings(session: Session, found: Belongings) -> None:
    """Delete these rows, those that refer to others first."""
    for table in reversed(Base.metadata.sorted_tables):
        for part in _parts(sorted(found.rows.get(table.name, ()))):
            session.execute(delete(table).where(_is_one_of(table, part)))
    session.expire_all()
    tell(
        session, Topic.MODEL, session.scalars(select(ModelVersion.version))
    )  # what was measured of any may have changed


def stored_files(session: Session, found: Belongings) -> list[tuple[str, str]]:
    """Path and SHA-256 of the files of these rows."""
    files: list[tuple[str, str]] = []
    for table, path, digest in (
        (Examination, Examination.path, Examination.digest),
        (Presegmentation, Presegmentation.path, Presegmentation.digest),
        (Annotation, Annotation.path, Annotation.digest),
        (Annotation, Annotation.upload_path, Annotation.upload_digest),
    ):
        for part in _parts(found.ids(table)):
            files.extend(session.execute(select(path, digest).where(_table(table).c.id.in_(part))))
    return list(dict.fromkeys(files))


def sources(session: Session, found: Belongings) -> list[tuple[str, str, str | None]]:
    """Source file, its digest and the fingerprint of each of their images."""
    query = select(Examination.source, Examination.source_digest, Examination.fingerprint)
    return [
        row for part in _parts(found.ids(Examination)) for row in session.execute(query.where(Examination.id.in_(part)))
    ]


def digests_of_others(session: Session, found: Belongings, digests: Collection[str]) -> set[str]:
    """Those of some digests that files of other participants have, too, such as of a mask in which nothing is drawn."""
    others: set[str] = set()
    for table, columns in (
        (Examination, (Examination.digest, Examination.source_digest, Examination.fingerprint)),
        (Presegmentation, (Presegmentation.digest,)),
        (Annotation, (Annotation.digest, Annotation.upload_digest)),
    ):
        mine, key = set(found.ids(table)), _table(table).c.id
        for column in columns:
            for part in _parts(sorted(digests)):
                rows = session.execute(select(key, column).where(column.in_(part)))
                others |= {digest for identifier, digest in rows if identifier not in mine and digest is not None}
    return others


def aliases(session: Session, found: Belongings) -> list[str]:
    """Names under which clients sent their images, unless others sent an image under the same name."""
    mine = found.rows.get(Alias.__tablename__, set())
    names = {str(name) for _, name in mine}
    others = {
        name
        for part in _parts(sorted(names))
        for client, name in session.execute(select(Alias.client, Alias.name).where(Alias.name.in_(part)))
        if (client, name) not in mine
    }
    return sorted(names - others)


def tickets(session: Session, found: Belongings) -> list[str]:
    """Tickets under which readers got their cases."""
    query = select(Assignment.ticket)
    return [
        ticket
        for part in _parts(found.ids(Assignment))
        for ticket in session.scalars(query.where(Assignment.id.in_(part)))
    ]


@dataclass(frozen=True)
class Training:
    """Which rounds and model versions have to do with some participants.

    Attributes
    ----------
    rounds : numbers of the rounds in whose snapshots they are, for training or for evaluation.
    trained_on : names of the versions that were trained on them.
    descended : names of versions whose training began with the weights of one of these.
    """

    rounds: tuple[int, ...] = ()
    trained_on: tuple[str, ...] = ()
    descended: tuple[str, ...] = ()


def training_with(session: Session, found: Belongings) -> Training:
    """Find the rounds and the model versions that learned from these participants."""
    numbers = {key[0] for table in (RoundCase, RoundDraft) for key in found.rows.get(table.__tablename__, ())}
    drafted = {key[0] for key in found.rows.get(RoundDraft.__tablename__, ())}
    mine = set(found.ids(Annotation))
    trained = drafted | {
        number
        for part in _parts(sorted(mine))
        for number in session.scalars(
            select(RoundCase.round_number).where(RoundCase.annotation_id.in_(part), RoundCase.role == CaseRole.TRAINING)
        )
    }
    versions = session.execute(select(ModelVersion.version, ModelVersion.round_number, ModelVersion.parent)).all()
    direct = {version for version, number, _ in versions if number in trained}
    heirs: set[str] = set()
    while new := {version for version, _, parent in versions if parent in direct | heirs} - direct - heirs:
        heirs |= new
    return Training(tuple(sorted(numbers)), tuple(sorted(direct)), tuple(sorted(heirs)))


def texts_about(session: Session, subjects: Collection[str]) -> Iterator[dict[str, Any]]:
    """Details of the audit trail about these subjects."""
    for part in _parts(sorted(subjects)):
        yield from session.scalars(select(AuditEvent.detail).where(AuditEvent.subject.in_(part)))


def downloads_of(session: Session, subjects: Collection[str]) -> int:
    """How often files with these names were downloaded, as the audit trail says."""
    return sum(
        len(session.scalars(select(AuditEvent.id).where(AuditEvent.action == "downloaded", AuditEvent.subject.in_(part))).all())
        for part in _parts(sorted(subjects))
    )  # fmt: skip


def all_codes(session: Session) -> Sequence[str]:
    """The codes of all participants."""
    return session.scalars(select(Participant.code)).all()


def file_names_of_others(session: Session, found: Belongings, names: Collection[str]) -> set[str]:
    """Those of some names of files that images of other participants were imported from, too."""
    mine = set(found.ids(Examination))
    query = select(Examination.id, Examination.source).execution_options(yield_per=_PER_PAGE)
    return {
        name
        for identifier, source in session.execute(query)
        if (name := source.replace("\\", "/").rpartition("/")[2]) in names and identifier not in mine
    }


def jobs_about(session: Session, mentions: Callable[[Any], bool], since: datetime | None = None) -> list[Job]:
    """Jobs in whose key or parameters one of the participants is mentioned.

    Parameters
    ----------
    since : only those that were enqueued since then.
    """
    query = select(Job.id, Job.key, Job.payload).execution_options(yield_per=_PER_PAGE)
    if since is not None:
        query = query.where(Job.created_at >= since)
    found = [identifier for identifier, key, payload in session.execute(query) if mentions(key) or mentions(payload)]
    return [job for part in _parts(found) for job in session.scalars(select(Job).where(Job.id.in_(part)))]


def delete_jobs(session: Session, identifiers: Collection[str]) -> None:
    """Delete jobs, none of which runs."""
    for part in _parts(sorted(identifiers)):
        session.execute(delete(_table(Job)).where(Job.id.in_(part)))


def clean_audit(session: Session, subjects: Collection[str], codes: Collection[str]) -> None:
    """Make the entries of the audit trail about these subjects name nobody; who did what kind of thing, and when, stays.

    Parameters
    ----------
    codes : of the participants; an account or a model may have the same name, so only entries about participants count.
    """
    blank = update(_table(AuditEvent)).values(subject=GONE, detail={})
    for part in _parts(sorted(subjects)):
        session.execute(blank.where(AuditEvent.subject.in_(part)))
        session.execute(update(_table(Event)).where(Event.subject.in_(part)).values(subject=GONE))
    for part in _parts(sorted(codes)):
        session.execute(blank.where(AuditEvent.subject.in_(part), AuditEvent.action.in_(_OF_PARTICIPANTS)))


def _is_one_of(table: Table, keys: Collection[Key]) -> ColumnElement[bool]:
    columns = list(table.primary_key.columns)
    return columns[0].in_([key[0] for key in keys]) if len(columns) == 1 else tuple_(*columns).in_(list(keys))


def _table(mapped: type[Base]) -> Table:
    return Base.metadata.tables[mapped.__tablename__]


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    listed = list(values)
    for start in range(0, len(listed), _PER_QUERY):
        yield listed[start : start + _PER_QUERY]
