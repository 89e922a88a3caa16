"""Take in what a reader submits: decode, store for ever, record.

A submission is acknowledged when this returns: both files are on disk under their names, and then the row
was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError as DatabaseIntegrityError
from sqlalchemy.orm import Session

from mrseg_label.annotation.compare import structure_states
from mrseg_label.annotation.decode import Decoded, decode
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import audit, drafts
from mrseg_label.catalog.queries import worklist as leases
from mrseg_label.catalog.tables import Acquisition, Examination, Lease, Presegmentation, Revision, RevisionStructure
from mrseg_label.catalog.types import LeaseEnd, RevisionState, StructureState
from mrseg_label.errors import InvalidInput, NotFound, Unavailable
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace, sha256_of

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")
SUBMITTED_PRIORITY = 50
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
class _Submission:
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

    def says_the_same(self, revision: Revision | None) -> bool:
        """Whether a revision holds the same mask and judges the same structures."""
        if revision is None or revision.digest != self.digest or revision.state is RevisionState.REJECTED:
            return False
        vouched = {item.structure for item in revision.structures if item.state is not StructureState.NOT_ANNOTATED}
        return vouched == set(self.decoded.voxels)


def submit(
    workspace: Workspace,
    catalog: Catalog,
    *,
    examination_id: str,
    upload: Path,
    file_name: str,
    label_info: object,
    client: str,
    user: str | None,
    params: Mapping[str, Any] | None = None,
) -> Submitted:
    """Decode and store a correction; the base for ``PUT /datastore/label``.

    Parameters
    ----------
    upload : the file as it came, under any name.
    file_name : the client's name of it, perhaps a path on the reader's machine; only its suffix is used.
    label_info : the reader's segments in the order of the screen (:mod:`mrseg_label.annotation.decode`).
    client : the name that the client gives itself.
    user : who is signed in, None without sign-in; then the client's name stands as the author.
    params : what else the client sent; its ``model`` is noted.

    Raises
    ------
    NotFound
        There is no such examination.
    LabelError, GeometryError, InvalidInput, TooLarge
        The upload cannot be taken for a segmentation of this image; nothing was stored.
    """
    with catalog.read() as session:
        examination = leases.examination(session, examination_id)
        if examination is None:
            raise NotFound(f"there is no examination {examination_id[:60]!r}")
        draft = _draft_corrected(session, examination, client, user)
    suffix = upload_suffix(file_name)
    geometry = Geometry.from_json(examination.geometry)
    with workspace.scratch("submit-") as folder:
        named = folder / f"upload{suffix}"
        named.symlink_to(upload.resolve())
        decoded = decode(workspace.scheme, geometry, named, label_info)
        states, note = _states(workspace, decoded, geometry, draft)
        report = decoded.report() | ({"draft": note} if note else {})
        if params and isinstance(params.get("model"), str):
            report["model"] = params["model"][:100]
        mask_file = folder / "mask.nii.gz"
        write_nifti(mask_file, decoded.mask, geometry)
        submission = _Submission(
            examination=examination,
            author=user or client,
            client=client,
            user=user,
            decoded=decoded,
            digest=sha256_of(mask_file),
            upload_digest=sha256_of(upload),
            draft=draft,
            states=states,
            report=report,
        )
        return _store(workspace, catalog, submission, mask_file, upload, suffix)


def upload_suffix(file_name: str) -> str:
    """The suffix that says what an upload is, from a name that may be a path of any system.

    Raises
    ------
    InvalidInput
        None that is read here.
    """
    name = PurePosixPath(file_name.replace("\\", "/")).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(
        f"a mask is sent as a file that ends in one of {', '.join(SUFFIXES)}; this one is called {name[-60:]!r}"
    )


def final_mask(workspace: Workspace, catalog: Catalog, examination: Examination) -> tuple[Path, Revision]:
    """File and revision of the mask that counts for an examination, whichever channel it was drawn on.

    Raises
    ------
    NotFound
        Nobody has submitted one that was accepted.
    """
    with catalog.read() as session:
        revision = rows.final(session, examination.acquisition_id)
    if revision is None:
        raise NotFound(f"examination {examination.id} has no accepted annotation yet")
    return workspace.path(revision.path), revision


def _draft_corrected(
    session: Session, examination: Examination, client: str, user: str | None
) -> Presegmentation | None:
    """The draft that was sent to this reader last, else the newest of the acquisition."""
    lease = leases.newest_lease(session, examination.acquisition_id, client, user)
    if lease is not None and lease.presegmentation_id:
        return drafts.get(session, lease.presegmentation_id)
    return drafts.newest(session, examination.acquisition_id)


def _states(
    workspace: Workspace, decoded: Decoded, geometry: Geometry, draft: Presegmentation | None
) -> tuple[dict[str, StructureState], str | None]:
    """State of every structure of the scheme, and what there is to say about the draft."""
    proposal: NDArray[np.integer[Any]] | None = None
    note = None
    if draft is not None:
        from mrseg_label.imaging.masks import load_label_map  # scikit-image behind it: not before it is needed

        proposal, grid, _ = load_label_map(workspace.path(draft.path))
        difference = geometry.difference(grid)
        if difference is not None:  # the reader's work is not lost for that
            proposal, note = None, f"not compared with draft {draft.id}: {difference}"
    return structure_states(workspace.scheme, decoded.mask, decoded.voxels, proposal), note


def _store(
    workspace: Workspace, catalog: Catalog, submission: _Submission, mask_file: Path, upload: Path, suffix: str
) -> Submitted:
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
    submission: _Submission,
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
    if submission.says_the_same(newest):
        assert newest is not None
        _close(lease, moment)
        return _as_submitted(newest, repeated=True)
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
        is_final=_becomes_final(session, acquisition.id, submission.author, lease),
        report=submission.report,
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
    return _as_submitted(revision, repeated=False)


def _becomes_final(session: Session, acquisition_id: str, author: str, lease: Lease | None) -> bool:
    """Whether a submission may become the acquisition's mask.

    It may where there is none yet, or only the author's own, or where the author holds the case. A late
    submission, or one for a case that another holds, does not displace another reader's mask.
    """
    present = rows.final(session, acquisition_id) or rows.under_review(session, acquisition_id)
    if present is None or present.author == author:
        return True
    return lease is not None and lease.ended_at is None and not lease.second_read


def _close(lease: Lease | None, moment: datetime) -> None:
    if lease is not None and lease.ended_at is None:
        lease.ended_at, lease.ended = moment, LeaseEnd.SUBMITTED


def _as_submitted(revision: Revision, *, repeated: bool) -> Submitted:
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
