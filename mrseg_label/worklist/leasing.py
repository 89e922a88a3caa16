"""A case into a reader's hands: the lease, and what the reader is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import annotations as revisions
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.tables import Acquisition, Lease, Revision
from mrseg_label.catalog.types import LeaseEnd
from mrseg_label.ids import new_ticket
from mrseg_label.workspace import Workspace

MOST_OPEN_CASES = 3  # of a signed-in reader; Slicer's Next without a submission says nothing to the server


@dataclass(frozen=True)
class HandedOut:
    """A case in a reader's hands.

    Attributes
    ----------
    ticket : unguessable; stands for the examination wherever a client sends an id, for this reader and time.
    file_name : unique, with suffix.
    digest : SHA-256 of the image file.
    revision_id : the mask that the reader begins with instead of a draft.
    comment : why a second reader sent that mask back to its author.
    """

    ticket: str
    examination_id: str
    acquisition_id: str
    file_name: str
    digest: str
    expires_at: datetime
    revision_id: str | None = None
    comment: str = ""


def lease(
    workspace: Workspace,
    session: Session,
    moment: datetime,
    case: Acquisition,
    client: str,
    user: str | None,
    *,
    second_read: bool = False,
    base: Revision | None = None,
    asked_for: bool = False,
) -> Lease:
    """Give a case to a reader for LEASE_HOURS.

    Parameters
    ----------
    second_read : beside whoever holds the case; what is submitted is a further reading.
    base : the mask that the reader begins with instead of a draft.
    asked_for : keep it until the reader asks for the next case.
    """
    new = Lease(
        ticket=new_ticket(),
        acquisition_id=case.id,
        client=client,
        user=user,
        second_read=second_read,
        revision_id=base.id if base else None,
        # The correction goes on from the same draft, and is compared with it.
        presegmentation_id=base.presegmentation_id if base else None,
        asked_for=asked_for,
        created_at=moment,
        expires_at=moment + timedelta(hours=workspace.settings.lease_hours),
    )
    session.add(new)
    session.flush()
    audit.record(session, user or client, "handed out", case.id, lease=new.id)
    return new


def make_room(session: Session, moment: datetime, client: str, user: str | None, without: str | None = None) -> None:
    """Release a signed-in reader's oldest cases so that one more fits; without sign-in nobody can be told apart.

    Parameters
    ----------
    without : a case that the reader may hold already, and keeps.
    """
    if user is None:
        return
    held = [open_ for open_ in rows.open_leases(session, client, user) if open_.acquisition_id != without]
    for oldest in held[: max(0, len(held) - MOST_OPEN_CASES + 1)]:
        oldest.ended_at, oldest.ended = moment, LeaseEnd.RELEASED
        audit.record(session, user, "released", oldest.acquisition_id, lease=oldest.id, reason="a further case")
    session.flush()


def as_handed_out(session: Session, given: Lease) -> HandedOut:
    """What the reader of a lease is told."""
    case = session.get(Acquisition, given.acquisition_id)
    assert case is not None
    assert case.primary_examination_id is not None
    examination = rows.examination(session, case.primary_examination_id)
    assert examination is not None
    return HandedOut(
        ticket=given.ticket,
        examination_id=examination.id,
        acquisition_id=given.acquisition_id,
        file_name=f"{examination.id}.nii.gz",
        digest=examination.digest,
        expires_at=given.expires_at,
        revision_id=given.revision_id,
        comment=revisions.rejection(session, given.revision_id) if given.revision_id else "",
    )
