"""Put a decoded submission on disk and into the catalogue, in this order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError as DatabaseIntegrityError
from sqlalchemy.orm import Session

from mrseg_label.annotation.decode import Decoded
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import worklist as leases
from mrseg_label.catalog.tables import Acquisition, Examination, Lease, Presegmentation, Revision, RevisionStructure
from mrseg_label.catalog.types import LeaseEnd, RevisionState, StructureState
from mrseg_label.errors import Unavailable
from mrseg_label.ids import new_id
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

SUBMITTED_PRIORITY = 50
RESTORED_FROM = "restored_from"  # keys of Revision.report
BEGAN_FROM = "began_from"  # the revision that the reader began with instead of a draft
_ATTEMPTS = 20


@dataclass(frozen=True)
class Submitted:
    """What was recorded.

    Attributes
    ----------
    number : of the revision among those of its acquisition, from 1.
    is_final : whether it is the acquisition's mask (once accepted), or a further reading beside another's.
    repeated : the same submission was there already and nothing new was recorded.
    seconds : from hand-out to submission, None where the case was not handed to this reader.
    report : what decoding noticed: renamed, ignored, overlapping segments, moved voxels.
    """

    revision_id: str
    number: int
    acquisition_id: str
    examination_id: str
    state: RevisionState
    is_final: bool
    repeated: bool
    seconds: float | None
    report: dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """A decoded submission on its way into the catalogue."""

    examination: Examination
    author: str
    client: str
    user: str | None
    decoded: Decoded
    digest: str
    upload_digest: str
    draft: Presegmentation | None
    states: dict[str, StructureState]
    report: dict[str, Any]

    def says_the_same(self, revision: Revision) -> bool:
        """Whether a revision that stands holds the same mask and judges the same structures."""
        if revision.digest != self.digest or revision.state is RevisionState.REJECTED:
            return False
        vouched = {item.structure for item in revision.structures if item.state.judged}
        return vouched == set(self.decoded.voxels)


def store(
    workspace: Workspace, catalog: Catalog, submission: Submission, mask_file: Path, upload: Path, suffix: str
) -> Submitted:
    """Store mask and upload, then record them; on return both are on disk and the row is committed.

    Raises
    ------
    Unavailable
        Other submissions for the same case were in the way all the time.
    """
    acquisition_id = submission.examination.acquisition_id
    for _ in range(_ATTEMPTS):
        with catalog.read() as session:
            number = rows.next_number(session, acquisition_id)
        revision_id = new_id("rv")
        stem = f"annotations/{acquisition_id}/{number:04d}-{revision_id}"
        path, upload_path = f"{stem}.nii.gz", f"{stem}.upload{suffix}"
        workspace.put_file(path, mask_file)
        workspace.put_file(upload_path, upload)
        recorded: Submitted | None = None
        # Another submission may take the number in between.
        with suppress(DatabaseIntegrityError), catalog.begin() as session:
            recorded = _record(session, catalog, workspace, submission, revision_id, number, path, upload_path)
        if recorded is None or recorded.repeated:
            for unused in (path, upload_path):  # no row points to them, for certain
                workspace.path(unused).unlink()
        if recorded is not None:
            return recorded
    raise Unavailable("many submissions for one case at the same moment; submit again")


def _record(
    session: Session,
    catalog: Catalog,
    workspace: Workspace,
    submission: Submission,
    revision_id: str,
    number: int,
    path: str,
    upload_path: str,
) -> Submitted | None:
    """Insert the revision with all that hangs on it; None where its number is taken."""
    acquisition = session.get(Acquisition, submission.examination.acquisition_id, with_for_update={"of": Acquisition})
    assert acquisition is not None
    moment = catalog.now(session)
    leases.expire(session, moment)
    lease = leases.newest_lease(session, acquisition.id, submission.client, submission.user)
    newest = rows.newest_by(session, acquisition.id, submission.author)
    is_final = _becomes_final(session, acquisition.id, submission.author, lease)
    if newest is not None and submission.says_the_same(newest) and (newest.is_final or not is_final):
        _close(lease, moment)
        return as_submitted(newest, repeated=True)
    if rows.next_number(session, acquisition.id) != number:
        return None
    accepted = workspace.settings.review == "off"
    revision = Revision(
        id=revision_id,
        acquisition_id=acquisition.id,
        examination_id=submission.examination.id,
        number=number,
        state=RevisionState.ACCEPTED if accepted else RevisionState.SUBMITTED,
        author=submission.author,
        client=submission.client,
        path=path,
        digest=submission.digest,
        upload_path=upload_path,
        upload_digest=submission.upload_digest,
        presegmentation_id=submission.draft.id if submission.draft else None,
        model_version=submission.draft.model_version if submission.draft else None,
        lease_id=lease.id if lease else None,
        seconds=(moment - lease.created_at).total_seconds() if lease else None,
        is_final=is_final,
        report=submission.report | ({BEGAN_FROM: lease.revision_id} if lease and lease.revision_id else {}),
        created_at=moment,
        structures=[
            RevisionStructure(structure=name, state=state, voxels=submission.decoded.voxels.get(name, 0))
            for name, state in submission.states.items()
        ],
    )
    session.add(revision)
    if accepted and revision.is_final and acquisition.annotated_at is None:
        acquisition.annotated_at = moment
    _close(lease, moment)
    session.flush()
    queue.enqueue(session, queue.SUBMITTED, {"revision": revision_id}, key=revision_id, priority=SUBMITTED_PRIORITY)
    audit.record(
        session, submission.author, "submitted", revision_id, examination=submission.examination.id, number=number
    )
    return as_submitted(revision, repeated=False)


def _becomes_final(session: Session, acquisition_id: str, author: str, lease: Lease | None) -> bool:
    """Whether a submission may become the acquisition's mask.

    It may where there is none yet, or only the author's own, or where the author holds the case. A second
    reading, a late submission, or one for a case that another holds does not displace the mask that is there.
    """
    present = rows.final(session, acquisition_id) or rows.under_review(session, acquisition_id)
    if present is None:
        return True
    if lease is not None and lease.ended_at is None:
        return not lease.second_read
    return present.author == author


def _close(lease: Lease | None, moment: datetime) -> None:
    if lease is not None and lease.ended_at is None:
        lease.ended_at, lease.ended = moment, LeaseEnd.SUBMITTED


def as_submitted(revision: Revision, *, repeated: bool) -> Submitted:
    """What the submitter is told of a revision."""
    return Submitted(
        revision_id=revision.id,
        number=revision.number,
        acquisition_id=revision.acquisition_id,
        examination_id=revision.examination_id,
        state=revision.state,
        is_final=revision.is_final,
        repeated=repeated,
        seconds=revision.seconds,
        report=revision.report,
    )
