"""Read cases with their annotations as reviewers see them in Slicer: by tag, with what was decided and noted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.annotation.remarks import Fields, find, read_known, viewer_of
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import examinations, reviewing, reviews
from mrseg_label.catalog.queries.examinations import ListedImage
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation
from mrseg_label.errors import NotFound

# So many cases are listed, since the extension loads the whole list after every decision, within five seconds.
AWAITING_LISTED = 500
DECIDED_LISTED = 100


@dataclass(frozen=True)
class Label:
    """An annotation under a tag: 0 for ``final``, otherwise the N of ``version_N``."""

    tag: int
    annotation: Annotation
    fields: Fields


@dataclass(frozen=True)
class ReviewCase:
    """A case with its annotations: ``final`` first, if there is one, then the versions in their order."""

    examination: ListedImage
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class SentBack:
    """An annotation that a reviewer rejected and that its author is to correct.

    Attributes
    ----------
    reading : id of its assignment or, where there was none, of the annotation: what its author may know of it in any case.
    """

    examination_id: str
    author: str
    reviewer: str
    comment: str
    reading: str


def read_review_cases(catalog: Catalog, reader: Reader, *, unreviewed: bool) -> list[ReviewCase]:
    """Read what awaits review, the oldest first, and then the cases about which was decided last.

    Cases are left out that the reader reads independently now: a second reading is worth something only if its reader
    has not seen the first.

    Parameters
    ----------
    unreviewed : also the newest annotations that were accepted without a review, since none is required.
    """
    with catalog.read() as session:
        listed = [*reviewing.awaiting(session, AWAITING_LISTED), *reviewing.decided_last(session, DECIDED_LISTED)]
        if unreviewed:
            listed += reviewing.accepted_last(session, DECIDED_LISTED)
        ids = list(dict.fromkeys(listed))
        found = reviewing.listed_of(session, ids)
        tagged = {identifier: _tagged(found[identifier]) for identifier in ids if identifier in found}
        if reader.account is not None:
            apart = reviewing.read_apart(session, reader.account, catalog.now(session))
            for identifier in apart.keys() & tagged.keys():
                tagged[identifier] = [pair for pair in tagged[identifier] if pair[1].id == apart[identifier]]
        known = read_known(session, [row.id for pairs in tagged.values() for _, row in pairs])
        opened = examinations.listed(session, {pairs[0][1].examination_id for pairs in tagged.values() if pairs})
        return [
            ReviewCase(
                opened[pairs[0][1].examination_id], tuple(Label(tag, row, known.fields(row)) for tag, row in pairs)
            )
            for pairs in tagged.values()
            if pairs
        ]


def read_label(catalog: Catalog, acquisition_id: str, tag: int, reader: Reader) -> Annotation:
    """Read the annotation of a tag. Raises :class:`NotFound` if there is none that the reader may see."""
    with catalog.read() as session:
        return _visible(session, catalog, find(session, acquisition_id, tag), reader)


def read_label_to_show(catalog: Catalog, acquisition_id: str, tag: int, reader: Reader) -> Annotation:
    """Read the annotation of a tag, and note that the reader was sent it. Raises as :func:`read_label`."""
    found = read_label(catalog, acquisition_id, tag, reader)
    with suppress(IntegrityError), catalog.begin() as session:  # the same label is sent twice at the same moment
        reviewing.note_shown(session, viewer_of(reader), tag, found)
    return found


def read_sent_back(catalog: Catalog, author: str | None, limit: int) -> list[SentBack]:
    """Read the annotations that an author (everybody: None) is to correct, the latest rejection first."""
    with catalog.read() as session:
        return [
            SentBack(
                annotation.examination_id,
                annotation.author,
                review.reviewer,
                review.comment,
                annotation.assignment_id or annotation.id,
            )
            for annotation, review in reviews.came_back(session, author, limit)
        ]


def _tagged(rows: Sequence[Annotation]) -> list[tuple[int, Annotation]]:
    """The annotations of a case that have a tag, from all that were not withdrawn, oldest first.

    Versions are left out that are older than a newer annotation which still awaits review: Slicer's extension opens an
    accepted version first, and nobody would see the newer one.
    """
    final = reviewing.final_among(rows)
    versions = {row.version: row for row in rows if row.version is not None}
    if final.awaits_review:
        versions = {number: row for number, row in versions.items() if row.number > final.number}
    return [(reviewing.FINAL, final), *((number, versions[number]) for number in sorted(versions))]


def _visible(session: Session, catalog: Catalog, annotation: Annotation, reader: Reader) -> Annotation:
    if reader.account is not None and annotation.author != reader.account:
        apart = reviewing.read_apart(session, reader.account, catalog.now(session))
        if apart.get(annotation.acquisition_id, annotation.id) != annotation.id:
            raise NotFound("you read this case independently now, so that you cannot see the annotations of others")
    return annotation
