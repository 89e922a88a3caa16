"""Decide about an annotation after its submission: accept, reject, withdraw, restore.

Only the annotation's state is changed, and nothing is deleted. Every decision is a row of its own, and restoring an
older mask makes a new annotation.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from mrseg_label.annotation.record import MEASURE_PRIORITY, RESTORED_FROM, Submitted, as_submitted
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import accounts, acquisitions, assignments, audit, reviews
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries.doubts import DOUBTS
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, Review
from mrseg_label.catalog.types import IMPORT_AUTHOR, AnnotationState, Role, Verdict
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.jobs import queue

MAX_COMMENT = 10_000


def accept(catalog: Catalog, annotation_id: str, *, reviewer: str, comment: str = "") -> None:
    """Accept an annotation as its reviewer: it counts from now on.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        It is not awaiting review.
    Forbidden
        The reviewer is its author.
    """
    with catalog.begin() as session:
        decide(session, catalog, _under_review(session, annotation_id), Verdict.ACCEPTED, reviewer, comment)


def reject(catalog: Catalog, annotation_id: str, *, reviewer: str, comment: str) -> None:
    """Reject an annotation as its reviewer, and send it back: its author is assigned the case first.

    Raises
    ------
    InvalidInput
        No comment, or one that is too long.
    NotFound, Conflict, Forbidden
        As :func:`accept`.
    """
    if not comment.strip():
        raise InvalidInput("a rejection needs a comment that tells the author what to change")
    with catalog.begin() as session:
        decide(session, catalog, _under_review(session, annotation_id), Verdict.REJECTED, reviewer, comment)


def send_back(
    workspace: OpenedWorkspace, annotation_id: str, *, actor: str, comment: str, reader: str | None = None
) -> None:
    """Send an annotation back that seems wrong, accepted or not: it no longer counts, and a reader's next case is this one.

    Parameters
    ----------
    actor : an administrator, who may send back any annotation.
    comment : what to look at; the reader sees it with the mask.
    reader : who corrects it: an account or, without sign-in, the user name in Slicer; by default its author.

    Raises
    ------
    InvalidInput
        No comment, one that is too long, or a name that nobody can have.
    NotFound
        There is no such annotation.
    Conflict
        It was rejected or withdrawn already, or nobody would get the case.
    """
    if not comment.strip():
        raise InvalidInput("write a comment that tells the reader what to look at")
    catalog = workspace.catalog
    with catalog.begin() as session:
        annotation = _lock(session, annotation_id)
        if annotation.state is AnnotationState.REJECTED:
            raise Conflict(f"annotation {annotation_id} has already been rejected or withdrawn")
        recipient = annotation.author if reader is None else reader.strip()
        if recipient != annotation.author and not annotation.is_final:
            raise Conflict("a second reading can be sent back to its own author alone; name nobody")
        _check_recipient(session, workspace, recipient)
        other = None if recipient == annotation.author else recipient
        _record(session, catalog, annotation, actor, Verdict.REJECTED, comment, recipient=other)
        audit.record(session, actor, "sent back", annotation.id, reader=recipient)
        annotation.state = AnnotationState.REJECTED
        _update_annotated_at(session, catalog, annotation.acquisition_id)


def _check_recipient(session: Session, workspace: OpenedWorkspace, name: str) -> None:
    """Raise an error if a case that is sent to a reader would reach nobody."""
    if not name or not name.isprintable() or len(name) > MAX_CLIENT_LENGTH:
        raise InvalidInput(
            f"name the reader, with at most {MAX_CLIENT_LENGTH} printable characters, as in Slicer's settings"
        )
    if name == IMPORT_AUTHOR:
        raise Conflict("the annotation came with an import, so it has no author who could correct it; name a reader")
    if workspace.settings.auth == "off":
        return
    account = accounts.account(session, name)
    if account is None or account.disabled_at is not None or account.role is Role.SERVICE:
        raise Conflict(
            f"{name} has no account of a reader that may sign in, so nobody would get the case; name another reader"
        )


def decide(
    session: Session, catalog: Catalog, annotation: Annotation, verdict: Verdict, reviewer: str, comment: str
) -> None:
    """Accept or reject an annotation of a locked acquisition; an earlier decision about it is replaced.

    Raises
    ------
    InvalidInput
        The comment is too long.
    Forbidden
        The reviewer is the annotation's author.
    """
    if annotation.author == reviewer:
        raise Forbidden(f"{reviewer} submitted annotation {annotation.id}; another reader must review it")
    _record(session, catalog, annotation, reviewer, verdict, comment)
    annotation.state = AnnotationState.ACCEPTED if verdict is Verdict.ACCEPTED else AnnotationState.REJECTED
    _update_annotated_at(session, catalog, annotation.acquisition_id)
    if verdict is Verdict.ACCEPTED:
        # As after a submission: the job sees whether a round is due now.
        queue.enqueue(
            session,
            queue.MEASURE_EFFORT,
            {"annotation": annotation.id},
            key=f"{annotation.id}:accepted",
            priority=MEASURE_PRIORITY,
        )


def withdraw(catalog: Catalog, annotation_id: str, *, actor: str, comment: str) -> None:
    """Withdraw an annotation: the one before it becomes the case's mask again, or the case returns to the queue.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        It has already been rejected or withdrawn.
    """
    with catalog.begin() as session:
        annotation = _lock(session, annotation_id)
        if annotation.state is AnnotationState.REJECTED:
            raise Conflict(f"annotation {annotation_id} has already been rejected or withdrawn")
        take_back(session, catalog, annotation, actor, comment)


def take_back(session: Session, catalog: Catalog, annotation: Annotation, actor: str, comment: str) -> None:
    """Withdraw an annotation of a locked acquisition, whatever was decided about it."""
    _record(session, catalog, annotation, actor, Verdict.WITHDRAWN, comment)
    annotation.state = AnnotationState.REJECTED
    _update_annotated_at(session, catalog, annotation.acquisition_id)


def restore(workspace: OpenedWorkspace, annotation_id: str, *, actor: str) -> Submitted:
    """Make an older annotation the acquisition's mask again, as a new annotation with the same files.

    Where a review is required and the old annotation was never accepted, the new one awaits review. Time and effort
    are not counted again.

    Raises
    ------
    NotFound
        There is no such annotation.
    Conflict
        It is already the mask of its acquisition.
    """
    with workspace.catalog.begin() as session:
        old = _lock(session, annotation_id)
        final = rows.final(session, old.acquisition_id)
        if final is not None and final.id == old.id:
            raise Conflict(f"annotation {annotation_id} is already the mask of its case")
        accepted = (
            workspace.settings.review == "off"
            or old.state is AnnotationState.ACCEPTED
            or any(review.verdict is Verdict.ACCEPTED for review in reviews.of_annotation(session, old.id))
        )
        new = Annotation(
            acquisition_id=old.acquisition_id,
            examination_id=old.examination_id,
            number=rows.next_number(session, old.acquisition_id),
            state=AnnotationState.ACCEPTED if accepted else AnnotationState.SUBMITTED,
            author=old.author,
            client=actor,
            path=old.path,
            digest=old.digest,
            upload_path=old.upload_path,
            upload_digest=old.upload_digest,
            presegmentation_id=old.presegmentation_id,
            model_version=old.model_version,
            report={RESTORED_FROM: old.id} | ({DOUBTS: old.report[DOUBTS]} if DOUBTS in old.report else {}),
            created_at=workspace.catalog.now(session),
            structures=[
                AnnotationStructure(structure=item.structure, state=item.state, voxels=item.voxels)
                for item in old.structures
            ],
        )
        session.add(new)
        session.flush()
        _update_annotated_at(session, workspace.catalog, old.acquisition_id)
        audit.record(session, actor, "restored", old.id, annotation=new.id, number=new.number)
        queue.enqueue(session, queue.MEASURE_EFFORT, {"annotation": new.id}, key=new.id, priority=MEASURE_PRIORITY)
        return as_submitted(new, repeated=False)


def check_comment(comment: str) -> None:
    """Raise :class:`InvalidInput` if a comment is too long."""
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"the comment has {len(comment):,} characters; shorten it to at most {MAX_COMMENT:,}")


def _lock(session: Session, annotation_id: str) -> Annotation:
    """An annotation, its acquisition locked: decisions about a case are made one after the other."""
    annotation = rows.get(session, annotation_id)
    if annotation is None:
        raise NotFound(f"there is no annotation {annotation_id[:60]!r}")
    acquisitions.lock(session, annotation.acquisition_id)
    session.refresh(annotation)
    return annotation


def _under_review(session: Session, annotation_id: str) -> Annotation:
    annotation = _lock(session, annotation_id)
    if annotation.state is not AnnotationState.SUBMITTED:
        raise Conflict(f"annotation {annotation_id} is not awaiting review; it is {annotation.state}")
    return annotation


def _record(
    session: Session,
    catalog: Catalog,
    annotation: Annotation,
    actor: str,
    verdict: Verdict,
    comment: str,
    recipient: str | None = None,
) -> None:
    check_comment(comment)
    moment = catalog.now(session)
    before = reviews.of_annotation(session, annotation.id)
    # The newest decision holds: two of them must not have the same time, which some databases give in milliseconds.
    decided_at = max(moment, before[-1].created_at + timedelta(microseconds=1)) if before else moment
    session.add(
        Review(
            annotation_id=annotation.id,
            reviewer=actor,
            verdict=verdict,
            comment=comment,
            recipient=recipient,
            created_at=decided_at,
        )
    )
    session.flush()
    assignments.end_reviews(session, annotation.id, moment)
    audit.record(session, actor, str(verdict), annotation.id, comment=comment)


def _update_annotated_at(session: Session, catalog: Catalog, acquisition_id: str) -> None:
    """Set or clear the acquisition's date of annotation as it now has a mask or none."""
    session.flush()
    acquisition = acquisitions.get(session, acquisition_id)
    assert acquisition is not None
    if rows.final(session, acquisition_id) is None:
        acquisition.annotated_at = None
    elif acquisition.annotated_at is None:
        acquisition.annotated_at = catalog.now(session)
    settle(session, acquisition)
