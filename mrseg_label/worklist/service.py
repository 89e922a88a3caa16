"""Hand out cases and take them back.

Without sign-in nobody can be told apart: every Slicer has the same default client name. So a lease is of a
case, two requests under one name get different cases, and leases end by submission, release or time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as revisions
from mrseg_label.catalog.queries import audit, readings
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.tables import Acquisition, Revision
from mrseg_label.catalog.types import LeaseEnd
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from mrseg_label.worklist import asking
from mrseg_label.worklist.leasing import HandedOut, as_handed_out, lease, make_room
from mrseg_label.worklist.strategies import choose, prepare
from mrseg_label.workspace import Workspace

_ATTEMPTS = 20


def next_case(
    workspace: Workspace, catalog: Catalog, *, strategy: str, client: str, user: str | None, reviews: bool = True
) -> HandedOut | None:
    """Hand out the next case; None if nothing is left to annotate.

    Parameters
    ----------
    strategy : ``balanced``, ``sequential``, ``random`` or ``uncertainty`` (:mod:`mrseg_label.worklist.strategies`).
    client : the name that the client gives itself.
    user : who is signed in, None without sign-in.
    reviews : whether this reader may be handed another's submission to review, where nothing else is left.

    Raises
    ------
    InvalidInput
        No such strategy.
    Conflict
        Other readers hold all that is left; the message says until when.
    Unavailable
        Too many others chose at the same moment.
    """
    prepared = prepare(workspace, catalog, strategy)
    for _ in range(_ATTEMPTS):
        try:
            with catalog.begin() as session:
                return _hand_out(workspace, catalog, session, prepared, client, user, reviews)
        except IntegrityError:  # another server process was handed the same case first
            continue
    raise Unavailable("many readers asked for a case at the same moment; ask again")


def _hand_out(
    workspace: Workspace,
    catalog: Catalog,
    session: Session,
    prepared: list[str] | str,
    client: str,
    user: str | None,
    reviews: bool,
) -> HandedOut | None:
    moment = catalog.now(session)
    rows.expire(session, moment)
    wanted = asking.fetch(session, client, user)
    if wanted is not None:
        return as_handed_out(session, wanted)
    given_up: Sequence[str] = ()
    if user is not None:
        make_room(session, moment, client, user)
        given_up = rows.given_up(session, user)
    # A case that a second reader sent back goes to its author first, for as long as a lease would be his.
    returned = readings.sent_back(session)
    for case, revision, _ in returned:
        if revision.author == (user or client) and readings.lock(session, case.id):
            beside = not revision.is_final
            given = lease(workspace, session, moment, case, client, user, base=revision, second_read=beside)
            return as_handed_out(session, given)
    patience = timedelta(hours=workspace.settings.lease_hours)
    reserved = {
        case.id: rejected_at + patience
        for case, _, rejected_at in returned
        if case.annotated_at is None and rejected_at + patience > moment
    }
    chosen = choose(session, prepared, workspace.settings.round_size, given_up, reserved)
    if chosen is not None:
        return as_handed_out(session, lease(workspace, session, moment, chosen, client, user))
    if reviews and workspace.settings.review == "required":
        to_review = asking.review(workspace, session, moment, client, user)
        if to_review is not None:
            return as_handed_out(session, to_review)
    free = [*reserved.values(), *filter(None, [rows.first_free_at(session)])]
    if not free:
        return None
    raise Conflict(
        f"all cases that are left are with readers until {iso(min(free))} or until they submit; ask again then"
    )


def release(catalog: Catalog, *, acquisition_id: str, client: str, user: str | None) -> bool:
    """Give a case back without a submission; False if this reader does not hold it."""
    with catalog.begin() as session:
        held = rows.newest_lease(session, acquisition_id, client, user)
        if held is None or held.ended_at is not None:
            return False
        held.ended_at, held.ended = catalog.now(session), LeaseEnd.RELEASED
        audit.record(session, user or client, "released", acquisition_id, lease=held.id)
        return True


def give_back(catalog: Catalog, *, acquisition_id: str, client: str, user: str | None) -> None:
    """As :func:`release`.

    Raises
    ------
    Conflict
        This reader does not hold the case.
    """
    if not release(catalog, acquisition_id=acquisition_id, client=client, user=user):
        raise Conflict(f"{user or client} does not hold this case")


def mask_to_begin_with(
    catalog: Catalog, *, acquisition_id: str, client: str, user: str | None
) -> tuple[Revision, str] | None:
    """The mask that this reader goes on with instead of a draft, and why it was sent back; None for a draft.

    It is a reader's own rejected one, the newest accepted one of a case that was asked for again, or the
    submission that is to be reviewed.
    """
    with catalog.read() as session:
        held = rows.newest_lease(session, acquisition_id, client, user)
        if held is None or held.revision_id is None or held.ended_at is not None:
            return None
        if held.expires_at <= catalog.now(session):
            return None
        revision = revisions.get(session, held.revision_id)
        return (revision, revisions.rejection(session, revision.id)) if revision else None


def draft_sent(
    catalog: Catalog, *, acquisition_id: str, presegmentation_id: str, client: str, user: str | None
) -> None:
    """Note on the reader's lease which draft was sent, so that the correction is compared with that one."""
    with catalog.begin() as session:
        held = rows.newest_lease(session, acquisition_id, client, user)
        if held is not None and held.ended_at is None:
            held.presegmentation_id = presegmentation_id


def mark_unusable(
    catalog: Catalog, *, acquisition_id: str, reason: str, actor: str, only_in_hands_of: str | None = None
) -> None:
    """Take a case out of queue and count, with the reason; its revisions stay.

    Parameters
    ----------
    only_in_hands_of : a signed-in reader who may do so with the cases that it was handed, and no other.

    Raises
    ------
    InvalidInput
        No reason.
    NotFound
        There is no such acquisition.
    Conflict
        It is marked already.
    Forbidden
        The case is not in that reader's hands.
    """
    if not reason.strip():
        raise InvalidInput("say why the case cannot be used: others will want to know")
    with catalog.begin() as session:
        case = session.get(Acquisition, acquisition_id)
        if case is None:
            raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
        if only_in_hands_of is not None:
            held = rows.newest_lease(session, acquisition_id, "", only_in_hands_of)
            if held is None or held.ended_at is not None or held.second_read:
                raise Forbidden("this case is not in your hands; a reviewer or an admin can mark it")
            final = revisions.final(session, acquisition_id)
            if final is not None and final.author != only_in_hands_of:
                raise Forbidden("another reader has annotated this case; a reviewer or an admin can mark it")
        if case.excluded_at is not None:
            raise Conflict(
                f"{acquisition_id} was marked unusable already, by {case.excluded_by}: {case.excluded_reason}"
            )
        moment = catalog.now(session)
        case.excluded_at, case.excluded_by, case.excluded_reason = moment, actor, reason.strip()
        rows.end_leases(session, acquisition_id, moment)
        audit.record(session, actor, "marked unusable", acquisition_id, reason=reason.strip())
