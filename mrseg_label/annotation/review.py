"""What is decided about a revision after its submission: accept, reject, withdraw, restore.

Nothing is changed or deleted but the revision's state; every decision is a row of its own, and restoring an
older mask is a new revision.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.annotation.record import RESTORED_FROM, Submitted, as_submitted
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, assignments, audit, reviews
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, Review
from mrseg_label.catalog.types import AnnotationState, Verdict
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.jobs import queue

MAX_COMMENT = 10_000


def accept(catalog: Catalog, annotation_id: str, *, reviewer: str, comment: str = "") -> None:
    """A second reader confirms a submission: it counts from now on.

    Raises
    ------
    NotFound
        There is no such revision.
    Conflict
        It does not wait for a review.
    Forbidden
        The reviewer is its author.
    """
    with catalog.begin() as session:
        annotation = _under_review(session, annotation_id, reviewer)
        _decide(session, catalog, annotation, reviewer, Verdict.ACCEPTED, comment)
        annotation.state = AnnotationState.ACCEPTED
        _recount(session, catalog, annotation.acquisition_id)
        # The same job as after a submission: this may be the case that fills a round.
        queue.enqueue(
            session, queue.MEASURE_EFFORT, {"annotation": annotation.id}, key=f"{annotation.id}:accepted", priority=50
        )


def reject(catalog: Catalog, annotation_id: str, *, reviewer: str, comment: str) -> None:
    """A second reader sends a submission back: its author is handed the case first. Raises as :func:`accept`."""
    if not comment.strip():
        raise InvalidInput("say in the comment what is to be changed: the author sees it with the mask")
    with catalog.begin() as session:
        annotation = _under_review(session, annotation_id, reviewer)
        _decide(session, catalog, annotation, reviewer, Verdict.REJECTED, comment)
        annotation.state = AnnotationState.REJECTED


def withdraw(catalog: Catalog, annotation_id: str, *, actor: str, comment: str) -> None:
    """Take a revision out of use; the one before it becomes the mask again, or the case waits again.

    Raises
    ------
    NotFound
        There is no such revision.
    Conflict
        It is rejected or withdrawn already.
    """
    with catalog.begin() as session:
        annotation = _get(session, annotation_id)
        if annotation.state is AnnotationState.REJECTED:
            raise Conflict(f"revision {annotation_id} is rejected or withdrawn already")
        _decide(session, catalog, annotation, actor, Verdict.WITHDRAWN, comment)
        annotation.state = AnnotationState.REJECTED
        _recount(session, catalog, annotation.acquisition_id)


def restore(workspace: OpenedWorkspace, annotation_id: str, *, actor: str) -> Submitted:
    """Make an older revision the acquisition's mask again, as a new revision with the same files.

    Where a review is required and the old one never passed it, the new one waits for it. Time and effort of
    the first are not counted a second time.

    Raises
    ------
    NotFound
        There is no such revision.
    Conflict
        It is the mask already.
    """
    with workspace.catalog.begin() as session:
        old = _get(session, annotation_id)
        acquisitions.lock(session, old.acquisition_id)
        final = rows.final(session, old.acquisition_id)
        if final is not None and final.id == old.id:
            raise Conflict(f"revision {annotation_id} is the mask of its examination already")
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
            report={RESTORED_FROM: old.id},
            created_at=workspace.catalog.now(session),
            structures=[
                AnnotationStructure(structure=item.structure, state=item.state, voxels=item.voxels)
                for item in old.structures
            ],
        )
        session.add(new)
        session.flush()
        _recount(session, workspace.catalog, old.acquisition_id)
        audit.record(session, actor, "restored", old.id, annotation=new.id, number=new.number)
        queue.enqueue(session, queue.MEASURE_EFFORT, {"annotation": new.id}, key=new.id, priority=50)
        return as_submitted(new, repeated=False)


def _get(session: Session, annotation_id: str) -> Annotation:
    annotation = rows.get(session, annotation_id)
    if annotation is None:
        raise NotFound(f"there is no revision {annotation_id[:60]!r}")
    return annotation


def _under_review(session: Session, annotation_id: str, reviewer: str) -> Annotation:
    annotation = _get(session, annotation_id)
    if annotation.state is not AnnotationState.SUBMITTED:
        raise Conflict(f"revision {annotation_id} does not wait for a review: it is {annotation.state}")
    if annotation.author == reviewer:
        raise Forbidden(f"{reviewer} submitted revision {annotation_id}; another reader reviews it")
    return annotation


def _decide(
    session: Session, catalog: Catalog, annotation: Annotation, actor: str, verdict: Verdict, comment: str
) -> None:
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"a comment has at most {MAX_COMMENT:,} characters; this one has {len(comment):,}")
    session.add(
        Review(
            annotation_id=annotation.id,
            reviewer=actor,
            verdict=verdict,
            comment=comment,
            created_at=catalog.now(session),
        )
    )
    assignments.end_reviews(session, annotation.id, catalog.now(session))
    audit.record(session, actor, str(verdict), annotation.id, comment=comment)


def _recount(session: Session, catalog: Catalog, acquisition_id: str) -> None:
    """Keep the acquisition's date of annotation in step with whether it has a mask."""
    session.flush()
    acquisition = acquisitions.get(session, acquisition_id)
    assert acquisition is not None
    if rows.final(session, acquisition_id) is None:
        acquisition.annotated_at = None
    elif acquisition.annotated_at is None:
        acquisition.annotated_at = catalog.now(session)
