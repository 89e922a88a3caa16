"""What is decided about a revision after its submission: accept, reject, withdraw, restore.

Nothing is changed or deleted but the revision's state; every decision is a row of its own, and restoring an
older mask is a new revision.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.annotation.record import RESTORED_FROM, Submitted, as_submitted
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import worklist as leases
from mrseg_label.catalog.tables import Acquisition, Review, Revision, RevisionStructure
from mrseg_label.catalog.types import RevisionState, Verdict
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

MAX_COMMENT = 10_000


def accept(catalog: Catalog, revision_id: str, *, reviewer: str, comment: str = "") -> None:
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
        revision = _under_review(session, revision_id, reviewer)
        _decide(session, catalog, revision, reviewer, Verdict.ACCEPTED, comment)
        revision.state = RevisionState.ACCEPTED
        _recount(session, catalog, revision.acquisition_id)
        # The same job as after a submission: this may be the case that fills a round.
        queue.enqueue(session, queue.SUBMITTED, {"revision": revision.id}, key=f"{revision.id}:accepted", priority=50)


def reject(catalog: Catalog, revision_id: str, *, reviewer: str, comment: str) -> None:
    """A second reader sends a submission back: its author is handed the case first. Raises as :func:`accept`."""
    if not comment.strip():
        raise InvalidInput("say in the comment what is to be changed: the author sees it with the mask")
    with catalog.begin() as session:
        revision = _under_review(session, revision_id, reviewer)
        _decide(session, catalog, revision, reviewer, Verdict.REJECTED, comment)
        revision.state = RevisionState.REJECTED


def withdraw(catalog: Catalog, revision_id: str, *, actor: str, comment: str) -> None:
    """Take a revision out of use; the one before it becomes the mask again, or the case waits again.

    Raises
    ------
    NotFound
        There is no such revision.
    Conflict
        It is rejected or withdrawn already.
    """
    with catalog.begin() as session:
        revision = _get(session, revision_id)
        if revision.state is RevisionState.REJECTED:
            raise Conflict(f"revision {revision_id} is rejected or withdrawn already")
        _decide(session, catalog, revision, actor, Verdict.WITHDRAWN, comment)
        revision.state = RevisionState.REJECTED
        _recount(session, catalog, revision.acquisition_id)


def restore(workspace: Workspace, catalog: Catalog, revision_id: str, *, actor: str) -> Submitted:
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
    with catalog.begin() as session:
        old = _get(session, revision_id)
        session.get(Acquisition, old.acquisition_id, with_for_update={"of": Acquisition})
        final = rows.final(session, old.acquisition_id)
        if final is not None and final.id == old.id:
            raise Conflict(f"revision {revision_id} is the mask of its examination already")
        accepted = (
            workspace.settings.review == "off"
            or old.state is RevisionState.ACCEPTED
            or any(review.verdict is Verdict.ACCEPTED for review in rows.reviews(session, old.id))
        )
        new = Revision(
            acquisition_id=old.acquisition_id,
            examination_id=old.examination_id,
            number=rows.next_number(session, old.acquisition_id),
            state=RevisionState.ACCEPTED if accepted else RevisionState.SUBMITTED,
            author=old.author,
            client=actor,
            path=old.path,
            digest=old.digest,
            upload_path=old.upload_path,
            upload_digest=old.upload_digest,
            presegmentation_id=old.presegmentation_id,
            model_version=old.model_version,
            report={RESTORED_FROM: old.id},
            created_at=catalog.now(session),
            structures=[
                RevisionStructure(structure=item.structure, state=item.state, voxels=item.voxels)
                for item in old.structures
            ],
        )
        session.add(new)
        session.flush()
        _recount(session, catalog, old.acquisition_id)
        audit.record(session, actor, "restored", old.id, revision=new.id, number=new.number)
        queue.enqueue(session, queue.SUBMITTED, {"revision": new.id}, key=new.id, priority=50)
        return as_submitted(new, repeated=False)


def _get(session: Session, revision_id: str) -> Revision:
    revision = rows.get(session, revision_id)
    if revision is None:
        raise NotFound(f"there is no revision {revision_id[:60]!r}")
    return revision


def _under_review(session: Session, revision_id: str, reviewer: str) -> Revision:
    revision = _get(session, revision_id)
    if revision.state is not RevisionState.SUBMITTED:
        raise Conflict(f"revision {revision_id} does not wait for a review: it is {revision.state}")
    if revision.author == reviewer:
        raise Forbidden(f"{reviewer} submitted revision {revision_id}; another reader reviews it")
    return revision


def _decide(session: Session, catalog: Catalog, revision: Revision, actor: str, verdict: Verdict, comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"a comment has at most {MAX_COMMENT:,} characters; this one has {len(comment):,}")
    session.add(
        Review(
            revision_id=revision.id, reviewer=actor, verdict=verdict, comment=comment, created_at=catalog.now(session)
        )
    )
    leases.end_reviews(session, revision.id, catalog.now(session))
    audit.record(session, actor, str(verdict), revision.id, comment=comment)


def _recount(session: Session, catalog: Catalog, acquisition_id: str) -> None:
    """Keep the acquisition's date of annotation in step with whether it has a mask."""
    session.flush()
    acquisition = session.get(Acquisition, acquisition_id)
    assert acquisition is not None
    if rows.final(session, acquisition_id) is None:
        acquisition.annotated_at = None
    elif acquisition.annotated_at is None:
        acquisition.annotated_at = catalog.now(session)
