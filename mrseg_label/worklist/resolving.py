"""Which examination a client means, and whether it may have it.

Without sign-in an image goes by its id. With sign-in a reader is handed a ticket in its place, which opens
that case and nothing else: Slicer downloads images without saying who asks, so that the ticket is all the
server has to go by.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.queries.intake import has_alias
from mrseg_label.catalog.tables import Acquisition, Examination, Lease
from mrseg_label.catalog.types import LeaseEnd
from mrseg_label.clock import iso
from mrseg_label.errors import Forbidden, NotFound
from mrseg_label.ids import check_alias, is_id, is_ticket


def resolve_image(
    catalog: Catalog,
    image: str,
    *,
    client: str | None = None,
    user: str | None = None,
    every_case: bool = False,
    to_submit: bool = False,
) -> Examination:
    """The examination that a client means: by our id, by the ticket of a lease, or by its own name for an upload.

    Without sign-in some requests carry no client name; then the last upload under that name by anyone is meant.

    Parameters
    ----------
    user : who is signed in, None without sign-in.
    every_case : whether this user may have every case by its id, and not only those in its hands.
    to_submit : for a submission a case is enough that was in this user's hands once: the work is done, and is kept
        as a further reading. Nothing is opened by that.

    Raises
    ------
    NotFound
        There is none, or not for this reader.
    Forbidden
        The case is not in this reader's hands.
    InvalidInput
        Neither an id nor anything that could be a name.
    """
    name = check_alias(image)  # before a database sees it: PostgreSQL takes no NUL
    with catalog.read() as session:
        if is_id(image):
            examination = rows.examination(session, image)
            if examination is None:
                raise NotFound(f"there is no examination {image}")
            if user is not None and not every_case and not _in_hands(catalog, session, examination, user, to_submit):
                raise Forbidden(f"{image} is not in your hands; ask for the next case, or for this one by hand-out")
            return examination
        given = rows.by_ticket(session, image)
        if given is not None:
            return _of_ticket(session, given, user, catalog.now(session), to_submit)
        examination = rows.by_alias(session, name, user or client) if user or client else None
        if examination is None and user is None:
            examination = rows.by_alias(session, name, None)
        if examination is None:
            raise NotFound(f"there is no image {name[:60]!r}; upload it, or use an id that the server gave out")
        return examination


def reader_of_ticket(catalog: Catalog, ticket: str) -> str | None:
    """The user whom a ticket was given to; None where it is none, has ended, or was given without sign-in."""
    if not is_ticket(ticket):
        return None
    with catalog.read() as session:
        given = rows.by_ticket(session, ticket)
        if given is None or not _opens(given, catalog.now(session)):
            return None
        return given.user


def _of_ticket(
    session: Session, given: Lease, user: str | None, moment: datetime, to_submit: bool = False
) -> Examination:
    # One message for all that is wrong with a ticket: whose it is and what became of it is nobody else's business.
    if given.user != user:
        raise NotFound("this ticket was not given to you; ask for a case of your own")
    if not to_submit and not _opens(given, moment):
        ended = given.expires_at if given.ended_at is None else min(given.ended_at, given.expires_at)
        raise NotFound(f"this ticket ended at {iso(ended)}; ask for the next case again")
    case = session.get(Acquisition, given.acquisition_id)
    examination = case and case.primary_examination_id and rows.examination(session, case.primary_examination_id)
    if not examination:
        raise NotFound("the examination of this ticket is not there any more")
    if user is not None and case is not None and case.excluded_at is not None and not to_submit:
        raise NotFound("this case was marked unusable; ask for the next case")
    return examination


def _opens(given: Lease, moment: datetime) -> bool:
    """A ticket outlives the submission, since a reader may correct it, but not a release and not its time."""
    return given.expires_at > moment and given.ended in (None, LeaseEnd.SUBMITTED)


def _in_hands(catalog: Catalog, session: Session, examination: Examination, user: str, to_submit: bool = False) -> bool:
    held = rows.newest_lease(session, examination.acquisition_id, "", user)
    if held is not None and (to_submit or _opens(held, catalog.now(session))):
        return True
    return has_alias(session, examination.id, user)
