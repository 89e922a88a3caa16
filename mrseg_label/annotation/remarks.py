"""What a reviewer in Slicer says about an annotation: a decision, a level of difficulty, a comment.

The Slicer extension MONAILabelReviewer knows no decisions, only fields that it sets: ``status`` (``approved`` and
``flagged`` decide), ``level``, ``comment``, ``approvedBy``, ``editTime``. After every change it also sends again what it
was told about the other labels of the case, which may be out of date; such a repetition decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain

from sqlalchemy.orm import Session

from mrseg_label.annotation import review
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import acquisitions, audit, reviewing, reviews
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Remark, Review
from mrseg_label.catalog.types import ANONYMOUS, AnnotationState, Verdict
from mrseg_label.errors import NotFound

APPROVED, FLAGGED = "approved", "flagged"
_VERDICTS = {APPROVED: Verdict.ACCEPTED, FLAGGED: Verdict.REJECTED}
_STATUSES = {verdict: status for status, verdict in _VERDICTS.items()}
WITHDRAWN_IN_SLICER = "deleted in Slicer"


@dataclass(frozen=True)
class Fields:
    """The fields about one annotation, as a client sends and gets them; empty where nothing is known.

    Attributes
    ----------
    approved_by : who decided; of what was not decided, who noted something last.
    edited_at : seconds since 1970, by the client's clock; None if the client did not say.
    """

    status: str = ""
    level: str = ""
    approved_by: str = ""
    comment: str = ""
    edited_at: int | None = None


def reviewer_of(reader: Reader, fields: Fields) -> str:
    """Return who reviews: the account or, without sign-in, the name in ``approvedBy``, else the client's own."""
    named = fields.approved_by if reader.account is None else ""
    return named or (reader.name if reader.is_known else ANONYMOUS)


def viewer_of(reader: Reader) -> str:
    """Return under which name is kept what a reader was shown: downloads carry no other name than the account's."""
    return reader.account or ANONYMOUS


def note(catalog: Catalog, reader: Reader, acquisition_id: str, tag: int, fields: Fields) -> Annotation:
    """Keep what a reviewer says about an annotation, and decide about it where the status does.

    It is about the annotation that the reviewer was sent under this tag, also where its author has submitted another
    since: nobody decides about a mask that they have not seen.

    Parameters
    ----------
    tag : the N of ``version_N``; :data:`~mrseg_label.catalog.queries.reviewing.FINAL` for ``final``.

    Raises
    ------
    NotFound
        There is no such annotation.
    Forbidden
        The reviewer would decide about their own annotation.
    InvalidInput
        The comment is too long.
    """
    reviewer, viewer = reviewer_of(reader, fields), viewer_of(reader)
    with catalog.begin() as session:
        acquisitions.lock(session, acquisition_id)
        annotation = reviewing.shown(session, viewer, acquisition_id, tag) or find(session, acquisition_id, tag)
        present = read_known(session, [annotation.id]).fields(annotation)
        verdict = _VERDICTS.get(fields.status)
        if verdict is not None and _is_repetition(session, annotation, present, fields):
            if fields.level in ("", present.level):
                return annotation
            fields, verdict = Fields(level=fields.level, edited_at=present.edited_at), None
        if verdict is not None:
            review.decide(session, catalog, annotation, verdict, reviewer, fields.comment)
            reviewing.forget_shown(session, viewer, acquisition_id, tag)
        else:
            audit.record(session, reviewer, "remarked", annotation.id, status=fields.status, level=fields.level)
            fields = replace(fields, comment=fields.comment or present.comment)
        add_remark(session, catalog, annotation, reviewer, replace(fields, level=fields.level or present.level))
        return annotation


def add_remark(session: Session, catalog: Catalog, annotation: Annotation, reviewer: str, fields: Fields) -> None:
    """Add a remark, later than all decisions and remarks about the annotation before it.

    Raises
    ------
    InvalidInput
        The comment is too long.
    """
    review.check_comment(fields.comment)
    moment = catalog.now(session)
    known = read_known(session, [annotation.id])
    before = [row.created_at for row in known.decisions.get(annotation.id, ())]
    before += [row.created_at for row in known.remarks.get(annotation.id, ())]
    session.add(
        Remark(
            annotation_id=annotation.id,
            reviewer=reviewer,
            status=fields.status,
            level=fields.level,
            comment=fields.comment,
            edited_at=int(moment.timestamp()) if fields.edited_at is None else fields.edited_at,
            created_at=max([moment, *(earlier + timedelta(microseconds=1) for earlier in before)]),
        )
    )
    session.flush()


def delete_label(catalog: Catalog, reader: Reader, acquisition_id: str, tag: int) -> Annotation:
    """Withdraw the annotation of a tag, as Slicer's extension deletes it; it stays on disk and in the catalogue.

    Raises
    ------
    NotFound
        There is no such annotation.
    """
    viewer = viewer_of(reader)
    with catalog.begin() as session:
        acquisitions.lock(session, acquisition_id)
        annotation = reviewing.shown(session, viewer, acquisition_id, tag) or find(session, acquisition_id, tag)
        review.take_back(session, catalog, annotation, reviewer_of(reader, Fields()), WITHDRAWN_IN_SLICER)
        reviewing.forget_shown(session, viewer, acquisition_id, tag)
        return annotation


def find(session: Session, acquisition_id: str, tag: int) -> Annotation:
    """Find the newest annotation of a tag. Raises :class:`NotFound`."""
    if tag == reviewing.FINAL:
        found = reviewing.final(session, acquisition_id)
    else:
        found = reviewing.version(session, acquisition_id, tag)
    if found is None:
        wanted = "annotation" if tag == reviewing.FINAL else f"annotation with the tag version_{tag}"
        raise NotFound(f"this case has no {wanted}; load the list of cases again")
    return found


@dataclass(frozen=True)
class Known:
    """What was decided and noted about annotations: oldest first, by the annotation's id."""

    decisions: Mapping[str, Sequence[Review]]
    remarks: Mapping[str, Sequence[Remark]]

    def fields(self, annotation: Annotation) -> Fields:
        """Return what clients are told about one of them."""
        return fields_of(annotation, self.decisions.get(annotation.id, ()), self.remarks.get(annotation.id, ()))


def read_known(session: Session, annotation_ids: Sequence[str]) -> Known:
    """Read what was decided and noted about annotations."""
    return Known(reviews.of_annotations(session, annotation_ids), reviewing.remarks_of(session, annotation_ids))


def fields_of(annotation: Annotation, decisions: Sequence[Review], remarks: Sequence[Remark]) -> Fields:
    """Return what clients are told about an annotation.

    A status that decides is shown only where it holds, whoever noted it; another one until a decision follows.

    Parameters
    ----------
    decisions, remarks : about this annotation, oldest first.
    """
    decision = next((row for row in reversed(decisions) if row.verdict in _STATUSES), None)
    remark = remarks[-1] if remarks else None
    is_newer = remark is not None and (decision is None or remark.created_at >= decision.created_at)
    status = _STATUSES[decision.verdict] if decision is not None and _holds(annotation, decision) else ""
    if remark is not None and is_newer and remark.status and remark.status not in _VERDICTS:
        status = remark.status
    noted = remark.reviewer if remark is not None else ""
    comment = remark.comment if remark is not None and is_newer else decision.comment if decision else ""
    edited = (
        remark.edited_at
        if remark is not None and is_newer
        else int((decision.created_at if decision else annotation.created_at).timestamp())
    )
    return Fields(
        status=status,
        level=remark.level if remark is not None else "",
        approved_by=decision.reviewer if decision is not None else noted,
        comment=comment,
        edited_at=edited,
    )


def _holds(annotation: Annotation, decision: Review) -> bool:
    wanted = AnnotationState.ACCEPTED if decision.verdict is Verdict.ACCEPTED else AnnotationState.REJECTED
    return annotation.state is wanted


def _is_repetition(session: Session, annotation: Annotation, present: Fields, fields: Fields) -> bool:
    """Whether a client sends again, about any annotation of the case, a decision that it was told.

    It is one if it holds for the annotation already, or was decided before what holds for it now.
    """
    if fields.edited_at is None:
        return False
    if _decision(fields) == _decision(present):
        return True
    of_case = reviewing.of_acquisitions(session, [annotation.acquisition_id])[annotation.acquisition_id]
    known = read_known(session, [row.id for row in of_case])
    remarks = chain.from_iterable(known.remarks.values())
    decisions = chain.from_iterable(known.decisions.values())
    told = {(item.status, item.reviewer, item.comment, item.edited_at) for item in remarks}
    told |= {
        (_STATUSES[item.verdict], item.reviewer, item.comment, int(item.created_at.timestamp()))
        for item in decisions
        if item.verdict in _STATUSES
    }
    return _decision(fields) in told and fields.edited_at < (present.edited_at or 0)


def _decision(fields: Fields) -> tuple[str, str, str, int | None]:
    return fields.status, fields.approved_by, fields.comment, fields.edited_at
