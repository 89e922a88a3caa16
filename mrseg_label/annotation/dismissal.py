"""Dismiss a suspicious mask that is in order: it is listed again when there is a new reason, or a new mask in its place."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.annotation.review import check_comment
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import audit, dismissals, suspicions
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import Found
from mrseg_label.catalog.tables import Dismissal
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound


def dismiss(catalog: Catalog, mask_id: str, *, actor: str, comment: str) -> None:
    """Dismiss a mask that somebody looked at and found in order. The mask itself stays as it is.

    Parameters
    ----------
    mask_id : of an annotation or a pre-segmentation in the list of suspicious masks.
    comment : why it is in order.

    Raises
    ------
    InvalidInput
        No comment, or one that is too long.
    NotFound
        The mask is not in the list.
    Conflict
        It is dismissed already.
    Forbidden
        It is the actor's own annotation, which somebody else has to look at.
    """
    check_comment(comment)
    if not comment.strip():
        raise InvalidInput("a dismissal needs a reason: say why the mask is in order")
    with catalog.begin() as session:
        found = _listed(session, mask_id)
        if found.dismissal is not None:
            raise Conflict(f"{mask_id} was dismissed by {found.dismissal.dismissed_by} already")
        if found.kind is MaskKind.ANNOTATION and found.author == actor:
            raise Forbidden("this is your own annotation; somebody else has to look at it")
        keys = dismissals.reason_keys(found.reasons)
        session.add(
            Dismissal(
                mask_id=mask_id,
                reasons=keys,
                comment=comment.strip(),
                dismissed_by=actor,
                dismissed_at=catalog.now(session),
            )
        )
        audit.record(session, actor, "suspicion.dismiss", mask_id, comment=comment.strip(), reasons=keys)


def restore(catalog: Catalog, mask_id: str, *, actor: str) -> None:
    """List a dismissed mask again.

    Raises
    ------
    NotFound
        The mask is not in the list.
    Conflict
        It is not dismissed.
    """
    with catalog.begin() as session:
        found = _listed(session, mask_id)
        if found.dismissal is None:
            raise Conflict(f"{mask_id} is not dismissed")
        session.delete(found.dismissal)
        audit.record(session, actor, "suspicion.restore", mask_id)


def _listed(session: Session, mask_id: str) -> Found:
    found = suspicions.get(session, mask_id)
    if found is None:
        raise NotFound(f"{mask_id[:60]!r} is no suspicious mask; list them with: mrseg-label suspicious")
    return found
