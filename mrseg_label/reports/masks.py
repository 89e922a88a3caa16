"""Read the masks of a case for the clients that download them, as far as the reader may see them.

A pre-segmentation is open to everyone who may open the case. An annotation is not: a second reading is worth
something only if its reader has not seen the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import acquisitions, assignments, presegmentations, reviewing
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries.examinations import ListedImage
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Presegmentation
from mrseg_label.catalog.types import AnnotationState


@dataclass(frozen=True)
class OpenCase:
    """A case that is assigned now.

    Attributes
    ----------
    key : what its reader knows it by: the ticket with sign-in, the examination's id without.
    final : the annotation with that tag, if the reader may see it; see :func:`read_final`.
    """

    key: str
    examination: ListedImage
    presegmentation: Presegmentation | None
    final: Annotation | None


def read_open_cases(catalog: Catalog, reader: Reader) -> list[OpenCase]:
    """Read the cases that are assigned to a reader now; without sign-in those of all readers."""
    with catalog.read() as session:
        moment = catalog.now(session)
        found = [
            (one.ticket if reader.account else one.examination.id, one.examination, one.draft_withheld)
            for one in assignments.open_examinations(session, reader.account, moment)
        ]
        ids = [examination.acquisition_id for _, examination, _ in found]
        drafts = presegmentations.best_of(session, ids)
        finals = reviewing.finals(session, ids) if reader.may_review else annotation_rows.finals(session, ids)
        return [
            OpenCase(
                key,
                examination,
                None if withheld else drafts.get(examination.acquisition_id),
                _if_visible(session, finals.get(examination.acquisition_id), reader),
            )
            for key, examination, withheld in found
        ]


def read_presegmentation(catalog: Catalog, acquisition_id: str) -> Presegmentation | None:
    """Read the current model's pre-segmentation of an acquisition, else the newest; None where there is none."""
    with catalog.read() as session:
        return presegmentations.best(session, acquisition_id)


def read_final(catalog: Catalog, acquisition_id: str, reader: Reader) -> Annotation | None:
    """Read an acquisition's annotation with the tag ``final``; None where there is none that the reader may see.

    To reviewers, and without sign-in, it is the newest submitted one; to others the newest accepted one.
    """
    with catalog.read() as session:
        assignment = None if reader.account is None else assignments.newest(session, acquisition_id, reader)
        if assignment is not None and assignment.blind is not None:  # as if the reader were the first
            own = annotation_rows.newest_by(session, acquisition_id, reader.name)
            accepted = own is not None and (reader.may_review or own.state is AnnotationState.ACCEPTED)
            return own if own is not None and accepted and own.assignment_id == assignment.id else None
        if reader.may_review:
            return _if_visible(session, reviewing.final(session, acquisition_id), reader)
        return _if_visible(session, annotation_rows.final(session, acquisition_id), reader)


def read_annotated_examinations(catalog: Catalog) -> Sequence[tuple[str, int]]:
    """Read the id of the examination that readers open, and the revision number of its mask, of every annotated case."""
    with catalog.read() as session:
        return annotation_rows.annotated_examinations(session)


def read_examination_ids(catalog: Catalog, *, annotated: bool | None = None) -> list[str]:
    """Read the ids of the examinations that readers open: of all cases, or of those (not) annotated."""
    with catalog.read() as session:
        return list(acquisitions.primary_ids(session, annotated=annotated))


def read_totals(catalog: Catalog) -> tuple[int, int]:
    """Read the number of cases, excluded ones left out, and how many of them are annotated."""
    with catalog.read() as session:
        return acquisitions.totals(session)


def visible_annotations(
    session: Session, acquisition_id: str, annotations: Sequence[Annotation], reader: Reader
) -> list[Annotation]:
    """Return those of an acquisition's annotations that a reader may see.

    Own annotations, the one that a reader was told to start from, and otherwise none while they read the case.
    """
    if reader.account is None:
        return list(annotations)
    assignment = assignments.newest(session, acquisition_id, reader)
    if assignment is not None and assignment.blind is not None:
        return [one for one in annotations if one.assignment_id == assignment.id]
    reads = assignment is not None and assignment.ended_at is None
    others = reader.sees_every_case and not (reads and assignment is not None and assignment.second_reading)
    told = assignment.annotation_id if reads and assignment is not None else None
    return [one for one in annotations if others or one.author == reader.account or one.id == told]


def _if_visible(session: Session, annotation: Annotation | None, reader: Reader) -> Annotation | None:
    if annotation is None:
        return None
    return next(iter(visible_annotations(session, annotation.acquisition_id, [annotation], reader)), None)
