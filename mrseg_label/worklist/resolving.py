"""Find the examination that a client means, and decide whether the reader may open it.

Without sign-in clients name an image by its id. With sign-in they get a ticket instead, which opens that case and
nothing else: Slicer downloads images without its sign-in token, so that the server has only the ticket to go by.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import acquisitions, examinations
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Assignment, Examination
from mrseg_label.catalog.types import AssignmentOutcome
from mrseg_label.clock import iso
from mrseg_label.errors import Forbidden, NotFound
from mrseg_label.ids import check_alias, is_id, is_ticket


def resolve_image(catalog: Catalog, image: str, reader: Reader, *, to_submit: bool = False) -> Examination:
    """Find the examination that a client means: by its id, by a ticket, or by the client's own name for an upload.

    Without sign-in some requests carry no client name; then the last upload by anyone under that name is meant.

    Parameters
    ----------
    to_submit : for a submission. It is accepted for every case that was once assigned to this reader, since the
        work is done and is kept as a second reading; it lets the reader see nothing.

    Raises
    ------
    NotFound
        There is no such examination, ticket or name for this reader.
    Forbidden
        The case is not assigned to this reader.
    InvalidInput
        The text can be neither an id nor a name.
    """
    name = check_alias(image)  # before a database sees it: PostgreSQL takes no NUL
    with catalog.read() as session:
        moment = catalog.now(session)
        if is_id(image):
            examination = examinations.get(session, image)
            if examination is None:
                raise NotFound(f"there is no examination {image}")
            if not reader.sees_every_case and not _is_assigned(session, examination, reader, moment, to_submit):
                raise Forbidden(f"{image} is not assigned to you; ask for the next case, or request this one")
            return examination
        assignment = rows.by_ticket(session, image)
        if assignment is not None:
            return _of_ticket(session, assignment, reader, moment, to_submit)
        examination = examinations.by_alias(session, name, reader.name)
        if examination is None and reader.account is None:
            examination = examinations.by_alias(session, name, None)
        if examination is None:
            raise NotFound(f"there is no image {name[:60]!r}; upload it, or use an id from this server")
        return examination


def account_of_ticket(catalog: Catalog, ticket: str) -> str | None:
    """Find the account that a ticket belongs to; None for anything but a valid ticket of an account."""
    if not is_ticket(ticket):
        return None
    with catalog.read() as session:
        assignment = rows.by_ticket(session, ticket)
        if assignment is None or not _is_valid(assignment, catalog.now(session)):
            return None
        return assignment.account


def _of_ticket(
    session: Session, assignment: Assignment, reader: Reader, moment: datetime, to_submit: bool
) -> Examination:
    # One message whatever the reason: other readers do not learn whose ticket it is and what became of it.
    if assignment.account != reader.account:
        raise NotFound("this ticket does not belong to you; ask for a case of your own")
    if not to_submit and not _is_valid(assignment, moment):
        ended = min(assignment.ended_at or assignment.expires_at, assignment.expires_at)
        raise NotFound(f"this ticket expired at {iso(ended)}; ask for the next case again")
    examination = acquisitions.primary_of(session, assignment.acquisition_id)
    if examination is None:
        raise NotFound("the examination of this ticket no longer exists")
    if reader.account is not None and examination.acquisition.excluded_at is not None and not to_submit:
        raise NotFound("this case was marked unusable; ask for the next case")
    return examination


def _is_valid(assignment: Assignment, moment: datetime) -> bool:
    """Whether a ticket is valid: until its time is over, also after a submission, which the reader may correct."""
    return assignment.expires_at > moment and assignment.outcome in (None, AssignmentOutcome.SUBMITTED)


def _is_assigned(session: Session, examination: Examination, reader: Reader, moment: datetime, to_submit: bool) -> bool:
    assignment = rows.newest(session, examination.acquisition_id, reader)
    if assignment is not None and (to_submit or _is_valid(assignment, moment)):
        return True
    return examinations.has_alias(session, examination.id, reader.name)
