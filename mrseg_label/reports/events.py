"""Read what changed, each change with the document that says what is true now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import events
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Topic
from mrseg_label.errors import NotFound
from mrseg_label.reports.cases import read_annotation
from mrseg_label.reports.documents.annotations import AnnotationOut
from mrseg_label.reports.documents.notifications import NotificationOut
from mrseg_label.reports.documents.worklist import ReservationOut
from mrseg_label.reports.jobs import read_job
from mrseg_label.reports.models import read_model
from mrseg_label.reports.notifications import may_be_told, read_notification
from mrseg_label.reports.rounds import read_round
from mrseg_label.reports.worklist import read_assignment

_DOCUMENTS: dict[Topic, Callable[[Catalog, str], BaseModel]] = {
    Topic.ROUND: lambda catalog, number: read_round(catalog, int(number)),
    Topic.ASSIGNMENT: read_assignment,
    Topic.ANNOTATION: read_annotation,
    Topic.MODEL: read_model,
    Topic.JOB: read_job,
    Topic.NOTIFICATION: read_notification,
}


@dataclass(frozen=True)
class Change:
    """A change: its number, what it is about, and the document of that in JSON."""

    number: int
    topic: Topic
    document: BaseModel
    text: str


@dataclass(frozen=True)
class Changes:
    """The changes above one number up to another, those of these topics with documents.

    What changed several times is there once, with its last number. What is gone is not there.
    """

    after: int
    last: int
    topics: frozenset[Topic]
    changes: Sequence[Change]


def read_numbers(catalog: Catalog) -> tuple[int, int]:
    """Read the numbers of the oldest change that is kept and of the newest; both are 0 before the first."""
    with catalog.read() as session:
        return events.oldest(session), events.newest(session)


def read_changes(catalog: Catalog, after: int, limit: int, topics: Collection[Topic]) -> Changes:
    """Read up to ``limit`` changes above a number, with the documents of those of these topics."""
    with catalog.read() as session:
        rows = events.after(session, after, limit)
    newest = {(row.topic, row.subject): row.id for row in rows if row.topic in topics}
    found = []
    for (topic, subject), number in sorted(newest.items(), key=lambda item: item[1]):
        try:
            document = _DOCUMENTS[topic](catalog, subject)
        except NotFound:
            continue
        found.append(Change(number, topic, document, document.model_dump_json()))
    return Changes(after, rows[-1].id if rows else after, frozenset(topics), found)


def may_see(reader: Reader, document: BaseModel) -> bool:
    """Whether the matching GET would show a document to a reader whose role may call it."""
    if isinstance(document, AnnotationOut):
        return reader.sees_annotations_of in (None, document.author)
    if isinstance(document, ReservationOut):
        return reader.sees_assignments_of in (None, document.reader)
    if isinstance(document, NotificationOut):
        return may_be_told(reader, document.kind)
    return True
