"""Cases that a reader asks for on purpose: a submitted one again, a second reading, a review.

Slicer's module knows "next case" only. So what is asked for here, over REST or the command line, waits for
the reader and comes with the next request for a case.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as revisions
from mrseg_label.catalog.queries import audit, readings
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.tables import Acquisition, Lease, Revision
from mrseg_label.catalog.types import RevisionState
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.worklist.leasing import HandedOut, as_handed_out, lease, make_room
from mrseg_label.workspace import Workspace


class Purpose(StrEnum):
    """What for a reader asks for a case."""

    CORRECT = "correct"  # again, beginning with its newest accepted mask; without one as any case
    SECOND_READ = "second_read"  # independently, beginning with the draft, beside what another submitted
    REVIEW = "review"  # to look at a submission that waits for a second reader


def ask_for(
    workspace: Workspace,
    catalog: Catalog,
    *,
    purpose: Purpose,
    client: str,
    user: str | None,
    acquisition_id: str | None = None,
    own_only: bool = False,
) -> HandedOut:
    """Reserve a case for a reader, who gets it with the next request for a case.

    Parameters
    ----------
    acquisition_id : which case; for a second reading or a review that may be left open.
    own_only : whether this reader may correct only what it has annotated or holds.

    Raises
    ------
    InvalidInput
        A correction needs to say of which case.
    NotFound
        There is no such case, or none for this purpose.
    Conflict
        Another reader has it; the message says until when. Or it is unusable.
    Forbidden
        It is not this reader's own.
    """
    try:
        with catalog.begin() as session:
            moment = catalog.now(session)
            rows.expire(session, moment)
            if acquisition_id is not None:
                _check_usable(session, acquisition_id)
            if purpose is Purpose.CORRECT and own_only:
                _check_own(session, acquisition_id, client, user)
            make_room(session, moment, client, user, without=acquisition_id)
            if purpose is Purpose.CORRECT:
                given = _to_correct(workspace, session, moment, acquisition_id, client, user)
            else:
                find = second_read if purpose is Purpose.SECOND_READ else review
                found = find(workspace, session, moment, client, user, acquisition_id, asked_for=True)
                if found is None:
                    raise NotFound(_nothing(purpose, acquisition_id))
                given = found
            return as_handed_out(session, given)
    except IntegrityError as error:  # another server process handed it out at the same moment
        raise Conflict("another reader was handed this case at the same moment; ask again") from error


def fetch(session: Session, client: str, user: str | None) -> Lease | None:
    """A case that this reader has asked for and not yet been given."""
    waiting = readings.asked_for(session, client, user)
    if waiting is not None:
        waiting.asked_for = False
        audit.record(session, user or client, "fetched", waiting.acquisition_id, lease=waiting.id)
    return waiting


def second_read(
    workspace: Workspace,
    session: Session,
    moment: datetime,
    client: str,
    user: str | None,
    acquisition_id: str | None = None,
    asked_for: bool = False,
) -> Lease | None:
    """Give a case that others have annotated, and this reader has not; None if there is none."""
    case = readings.for_second_read(session, user or client, acquisition_id)
    if case is None:
        return None
    return lease(workspace, session, moment, case, client, user, second_read=True, asked_for=asked_for)


def review(
    workspace: Workspace,
    session: Session,
    moment: datetime,
    client: str,
    user: str | None,
    acquisition_id: str | None = None,
    asked_for: bool = False,
) -> Lease | None:
    """Give the oldest submission of another reader that waits for a review, with its mask; None if there is none."""
    found = readings.for_review(session, user or client, acquisition_id)
    case = session.get(Acquisition, found.acquisition_id) if found else None
    if case is None:
        return None
    return lease(workspace, session, moment, case, client, user, second_read=True, base=found, asked_for=asked_for)


def _to_correct(
    workspace: Workspace, session: Session, moment: datetime, acquisition_id: str | None, client: str, user: str | None
) -> Lease:
    if acquisition_id is None:
        raise InvalidInput("say which examination you want to correct")
    case = session.get(Acquisition, acquisition_id)
    assert case is not None
    base = _mask_to_correct(session, acquisition_id, user or client)
    held = rows.open_lease(session, acquisition_id)
    if held is None:
        return lease(workspace, session, moment, case, client, user, base=base, asked_for=True)
    if (held.user, held.client if user is None else user) != (user, user or client):
        raise Conflict(f"another reader has this case until {iso(held.expires_at)} or until the submission")
    held.asked_for, held.revision_id = True, base.id if base else None
    audit.record(session, user or client, "asked for", acquisition_id, lease=held.id)
    if base is not None:
        held.presegmentation_id = base.presegmentation_id
    return held


def _mask_to_correct(session: Session, acquisition_id: str, reader: str) -> Revision | None:
    """The newest accepted mask; where there is none, what this reader submitted last."""
    final = revisions.final(session, acquisition_id)
    if final is not None:
        return final
    waiting = revisions.under_review(session, acquisition_id)
    if waiting is not None and waiting.author != reader:
        raise Conflict(
            f"what {waiting.author} submitted for this case waits for a review; ask for it with the purpose review"
        )
    newest = revisions.newest_by(session, acquisition_id, reader)
    return newest if newest is not None and (newest == waiting or newest.state is RevisionState.REJECTED) else None


def _check_own(session: Session, acquisition_id: str | None, client: str, user: str | None) -> None:
    if acquisition_id is None or revisions.newest_by(session, acquisition_id, user or client) is not None:
        return
    held = rows.newest_lease(session, acquisition_id, client, user)
    if held is None or held.ended_at is not None:
        raise Forbidden("you have not annotated this case, and it is not in your hands; ask for the next case")


def _check_usable(session: Session, acquisition_id: str) -> None:
    case = session.get(Acquisition, acquisition_id)
    if case is None or case.primary_examination_id is None:
        raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
    if case.excluded_at is not None:
        raise Conflict(f"this case was marked unusable by {case.excluded_by}: {case.excluded_reason}")


def _nothing(purpose: Purpose, acquisition_id: str | None) -> str:
    what = "no case" if acquisition_id is None else "this case is none"
    if purpose is Purpose.REVIEW:
        return f"{what} that waits for a review by this reader (REVIEW is off, it was reviewed, is being reviewed, or is your own)"
    return f"{what} for a second reading by this reader (nobody has annotated it, it is being read, or you read it yourself)"
