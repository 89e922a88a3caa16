"""Hand out cases, take them back, and say which examination a client means.

Without sign-in nobody can be told apart: every Slicer has the same default client name. So a lease is of a
case, two requests under one name get different cases, and leases end by submission, release or time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.tables import Acquisition, Examination, Lease
from mrseg_label.catalog.types import LeaseEnd
from mrseg_label.clock import iso
from mrseg_label.errors import Conflict, NotFound, Unavailable
from mrseg_label.ids import check_alias, is_id, new_ticket
from mrseg_label.worklist.strategies import choose, prepare
from mrseg_label.workspace import Workspace

MOST_OPEN_CASES = 3  # of a signed-in reader; Slicer's Next without a submission says nothing to the server
_ATTEMPTS = 20


@dataclass(frozen=True)
class HandedOut:
    """A case in a reader's hands.

    Attributes
    ----------
    ticket : unguessable; stands for the examination wherever a client sends an id, for this reader and time.
    file_name : unique, with suffix.
    digest : SHA-256 of the image file.
    rejected_revision_id : the reader's own submission that was sent back, with the second reader's ``comment``.
    """

    ticket: str
    examination_id: str
    acquisition_id: str
    file_name: str
    digest: str
    expires_at: datetime
    rejected_revision_id: str | None = None
    comment: str = ""


@dataclass(frozen=True)
class OpenCases:
    """What a client's listing needs: cases in readers' hands, and the figures of the progress bar."""

    examinations: list[tuple[Lease, Examination]]
    total: int
    completed: int


def next_case(
    workspace: Workspace, catalog: Catalog, *, strategy: str, client: str, user: str | None
) -> HandedOut | None:
    """Hand out the next case; None if nothing is left to annotate.

    Parameters
    ----------
    strategy : ``balanced``, ``sequential``, ``random`` or ``uncertainty`` (:mod:`mrseg_label.worklist.strategies`).
    client : the name that the client gives itself.
    user : who is signed in, None without sign-in.

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
                return _hand_out(workspace, catalog, session, prepared, client, user)
        except IntegrityError:  # another server process was handed the same case first
            continue
    raise Unavailable("many readers asked for a case at the same moment; ask again")


def next_second_read(
    workspace: Workspace, catalog: Catalog, *, client: str, user: str | None, acquisition_id: str | None = None
) -> HandedOut | None:
    """Hand out a case that another reader has annotated, on purpose; what is submitted is a further reading.

    None if there is no such case, or not the named one.
    """
    with catalog.begin() as session:
        moment = catalog.now(session)
        rows.expire(session, moment)
        case = rows.for_second_read(session, user or client, acquisition_id)
        if case is None:
            return None
        return _lease(workspace, session, moment, case, client, user, second_read=True)


def _hand_out(
    workspace: Workspace, catalog: Catalog, session: Session, prepared: list[str] | str, client: str, user: str | None
) -> HandedOut | None:
    moment = catalog.now(session)
    rows.expire(session, moment)
    given_up: Sequence[str] = ()
    if user is not None:
        _make_room(session, moment, client, user)
        given_up = rows.given_up(session, user)
    # A case that a second reader sent back goes to its author first, for as long as a lease would be his.
    patience = timedelta(hours=workspace.settings.lease_hours)
    returned = rows.sent_back(session)
    for back in returned:
        case = rows.if_waiting(session, back.acquisition_id, ()) if back.author == (user or client) else None
        if case is not None:
            return _lease(workspace, session, moment, case, client, user, returned=back)
    reserved = {
        back.acquisition_id: back.rejected_at + patience for back in returned if back.rejected_at + patience > moment
    }
    case = choose(session, prepared, workspace.settings.round_size, given_up, reserved)
    if case is None:
        free = [*reserved.values(), *filter(None, [rows.first_free_at(session)])]
        if not free:
            return None
        raise Conflict(
            f"all cases that are left are with readers until {iso(min(free))} or until they submit; ask again then"
        )
    return _lease(workspace, session, moment, case, client, user)


def _lease(
    workspace: Workspace,
    session: Session,
    moment: datetime,
    case: Acquisition,
    client: str,
    user: str | None,
    *,
    second_read: bool = False,
    returned: rows.SentBack | None = None,
) -> HandedOut:
    lease = Lease(
        ticket=new_ticket(),
        acquisition_id=case.id,
        client=client,
        user=user,
        second_read=second_read,
        created_at=moment,
        expires_at=moment + timedelta(hours=workspace.settings.lease_hours),
    )
    session.add(lease)
    session.flush()
    audit.record(session, user or client, "handed out", case.id, lease=lease.id)
    assert case.primary_examination_id is not None
    examination = rows.examination(session, case.primary_examination_id)
    assert examination is not None
    return HandedOut(
        ticket=lease.ticket,
        examination_id=examination.id,
        acquisition_id=lease.acquisition_id,
        file_name=f"{examination.id}.nii.gz",
        digest=examination.digest,
        expires_at=lease.expires_at,
        rejected_revision_id=returned.revision_id if returned else None,
        comment=returned.comment if returned else "",
    )


def _make_room(session: Session, moment: datetime, client: str, user: str) -> None:
    """Release a signed-in reader's oldest cases so that one more fits."""
    held = rows.open_leases(session, client, user)
    for lease in held[: max(0, len(held) - MOST_OPEN_CASES + 1)]:
        lease.ended_at, lease.ended = moment, LeaseEnd.RELEASED
    session.flush()


def resolve_image(
    workspace: Workspace, catalog: Catalog, image: str, *, client: str | None = None, user: str | None = None
) -> Examination:
    """The examination that a client means: by our id, by the ticket of a lease, or by its own name for an upload.

    Without sign-in some requests carry no client name; then the last upload under that name by anyone is meant.

    Raises
    ------
    NotFound
        There is none, or not for this reader.
    InvalidInput
        Neither an id nor anything that could be a name.
    """
    with catalog.read() as session:
        if is_id(image):
            examination = rows.examination(session, image)
            if examination is None:
                raise NotFound(f"there is no examination {image}")
            return examination
        lease = rows.by_ticket(session, image)
        if lease is not None:
            return _of_ticket(catalog, session, lease, user)
        name = check_alias(image)
        examination = rows.by_alias(session, name, user or client) if user or client else None
        if examination is None and user is None:
            examination = rows.by_alias(session, name, None)
        if examination is None:
            raise NotFound(f"there is no image {name[:60]!r}; upload it, or use an id that the server gave out")
        return examination


def _of_ticket(catalog: Catalog, session: Session, lease: Lease, user: str | None) -> Examination:
    if user is not None and lease.user != user:
        raise NotFound("this ticket was given to another reader; ask for a case of your own")
    if lease.expires_at <= catalog.now(session):
        raise NotFound(f"this ticket ended at {iso(lease.expires_at)}; ask for the next case again")
    case = session.get(Acquisition, lease.acquisition_id)
    examination = case and case.primary_examination_id and rows.examination(session, case.primary_examination_id)
    if not examination:
        raise NotFound("the examination of this ticket is not there any more")
    return examination


def release(catalog: Catalog, *, acquisition_id: str, client: str, user: str | None) -> bool:
    """Give a case back without a submission; False if this reader does not hold it."""
    with catalog.begin() as session:
        lease = rows.newest_lease(session, acquisition_id, client, user)
        if lease is None or lease.ended_at is not None:
            return False
        lease.ended_at, lease.ended = catalog.now(session), LeaseEnd.RELEASED
        audit.record(session, user or client, "released", acquisition_id, lease=lease.id)
        return True


def draft_sent(
    catalog: Catalog, *, acquisition_id: str, presegmentation_id: str, client: str, user: str | None
) -> None:
    """Note on the reader's lease which draft was sent, so that the correction is compared with that one."""
    with catalog.begin() as session:
        lease = rows.newest_lease(session, acquisition_id, client, user)
        if lease is not None and lease.ended_at is None:
            lease.presegmentation_id = presegmentation_id


def mark_unusable(catalog: Catalog, *, acquisition_id: str, reason: str, actor: str) -> None:
    """Take a case out of queue and count, with the reason; its revisions stay.

    Raises
    ------
    NotFound
        There is no such acquisition.
    Conflict
        It is marked already.
    """
    with catalog.begin() as session:
        case = session.get(Acquisition, acquisition_id)
        if case is None:
            raise NotFound(f"there is no acquisition {acquisition_id[:60]!r}")
        if case.excluded_at is not None:
            raise Conflict(
                f"{acquisition_id} was marked unusable already, by {case.excluded_by}: {case.excluded_reason}"
            )
        moment = catalog.now(session)
        case.excluded_at, case.excluded_by, case.excluded_reason = moment, actor, reason
        lease = rows.open_lease(session, acquisition_id)
        if lease is not None:
            lease.ended_at, lease.ended = moment, LeaseEnd.RELEASED
        audit.record(session, actor, "marked unusable", acquisition_id, reason=reason)


def open_cases(session: Session, *, client: str | None = None, user: str | None = None) -> OpenCases:
    """Cases in this reader's hands (in anyone's, where neither client nor user is given), and the progress."""
    total, completed = rows.totals(session)
    return OpenCases(list(rows.open_examinations(session, client, user)), total, completed)
