"""Write down what a unit of work changes, in its own transaction: whoever commits a change cannot forget to tell of it.

Several server processes and workers write, so that streams of events must be fed from the database. What is written
is an outbox: the topic and the id of what changed. It is written at the very end of a transaction and, on PostgreSQL,
under a lock that the commit releases. Numbers are thus given in the order of the commits, and a reader never sees a
number before a lower one. The lock is the last that a transaction takes, so that no two wait for each other.

References
----------
Transactional outbox. https://microservices.io/patterns/data/transactional-outbox.html
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import event, func, insert, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker

from mrseg_label.catalog.tables import (
    Annotation,
    Assignment,
    Evaluation,
    Event,
    Job,
    ModelVersion,
    Notification,
    Review,
    Round,
    RoundFold,
)
from mrseg_label.catalog.types import Topic

UNTOLD = "mrseg_untold"  # option of an UPDATE that changes nothing that a document shows
_CHANGED = "mrseg_changed"
_WRITTEN = insert(Event.metadata.tables[Event.__tablename__])  # of the table: the mapper would do more than it needs
_LOCK = 0x6D727365  # of PostgreSQL's advisory locks; any number that nobody else takes


class _Subject(NamedTuple):
    """What a changed row is about: a topic, and the column with the id; ``untold`` columns change too often to tell."""

    topic: Topic
    column: str
    untold: frozenset[str] = frozenset()


_SUBJECTS: dict[type[Any], _Subject] = {
    Round: _Subject(Topic.ROUND, "number"),
    RoundFold: _Subject(Topic.ROUND, "round_number"),
    Assignment: _Subject(Topic.ASSIGNMENT, "id"),
    Annotation: _Subject(Topic.ANNOTATION, "id"),
    Review: _Subject(Topic.ANNOTATION, "annotation_id"),
    ModelVersion: _Subject(Topic.MODEL, "version"),
    Evaluation: _Subject(Topic.MODEL, "model_version"),
    Notification: _Subject(Topic.NOTIFICATION, "id"),
    Job: _Subject(Topic.JOB, "id", frozenset({"lease_expires_at", "lease_token"})),
}


def tell_changes(writer: sessionmaker[Session]) -> None:
    """Have the sessions of a maker write down what they change, whenever they commit."""
    event.listen(writer, "after_flush", _collect_rows)
    event.listen(writer, "do_orm_execute", _collect_update)
    event.listen(writer, "before_commit", _write)


def _collect_rows(session: Session, _context: Any) -> None:
    for row in chain(session.new, session.dirty):
        subject = _SUBJECTS.get(type(row))
        if subject is not None and (row in session.new or _is_told(row, subject)):
            tell(session, subject.topic, [getattr(row, subject.column)])


def _is_told(row: Any, subject: _Subject) -> bool:
    columns = inspect(type(row)).column_attrs.keys()
    state = inspect(row)
    return any(state.attrs[name].history.has_changes() for name in columns if name not in subject.untold)


def _collect_update(execution: ORMExecuteState) -> None:
    """Find the rows that an UPDATE is about to change; it does not say so itself on every database."""
    if not execution.is_update or execution.execution_options.get(UNTOLD):
        return
    table = execution.bind_mapper.class_ if execution.bind_mapper is not None else None
    subject = _SUBJECTS.get(table) if table is not None else None
    if subject is None:
        return
    found = select(getattr(table, subject.column))
    condition = getattr(execution.statement, "whereclause", None)
    rows = execution.session.scalars(found if condition is None else found.where(condition))
    tell(execution.session, subject.topic, rows)


def tell(session: Session, topic: Topic, subjects: Iterable[Any]) -> None:
    """Write down at the end of this transaction that these changed, where it changes rows past the object-relational mapper."""
    changed: dict[tuple[Topic, str], None] = session.info.setdefault(_CHANGED, {})
    changed |= dict.fromkeys((topic, str(subject)) for subject in subjects)


def _write(session: Session) -> None:
    if session.in_nested_transaction():  # the outer one commits
        return
    session.flush()
    changed: dict[tuple[Topic, str], None] = session.info.pop(_CHANGED, {})
    if not changed:
        return
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    session.execute(_WRITTEN, [{"topic": topic, "subject": subject} for topic, subject in changed])
