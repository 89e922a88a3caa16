"""Take in what a reader submits: decode, store for ever, record.

A submission is acknowledged when this returns: both files are on disk under their names, and then the row
was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.annotation.compare import structure_states
from mrseg_label.annotation.decode import Decoded, decode
from mrseg_label.annotation.record import Submission, Submitted, store
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import drafts
from mrseg_label.catalog.queries import worklist as leases
from mrseg_label.catalog.tables import Examination, Presegmentation, Revision
from mrseg_label.catalog.types import StructureState
from mrseg_label.errors import ConfigurationError, InvalidInput, LabelError, NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.workspace import Workspace, sha256_of

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


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
        decoded = decode(workspace.scheme, geometry, named, label_info, workspace.settings.max_upload_mb * 1024**2)
        check_cover(workspace, decoded)
        states, note = _states(workspace, decoded, geometry, draft)
        report = decoded.report() | ({"draft": note} if note else {})
        if params and isinstance(params.get("model"), str):
            report["model"] = "".join(c for c in params["model"][:100] if c.isprintable())
        mask_file = folder / "mask.nii.gz"
        write_nifti(mask_file, decoded.mask, geometry)
        submission = Submission(
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
        return store(workspace, catalog, submission, mask_file, upload, suffix)


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


def check_cover(workspace: Workspace, decoded: Decoded) -> None:
    """Raise :class:`LabelError` where a submission judges no structure, or not all that it must."""
    if not decoded.voxels:
        raise LabelError(
            "no segment of this submission stands for a structure, so it says nothing of any and would count as annotated: "
            "leave the segments of what is not in the image in the list, empty; mark the case as unusable if it cannot be read"
        )
    missing = [name for name in required_structures(workspace) if name not in decoded.voxels]
    if missing:
        raise LabelError(
            f"every submission here must judge {', '.join(missing)}: add the missing segment, and leave it empty "
            "where the structure is not in the image"
        )


def required_structures(workspace: Workspace) -> tuple[str, ...]:
    """The structures that a submission must cover (REQUIRED_STRUCTURES), in the order of the ids.

    Raises
    ------
    ConfigurationError
        A name in the setting is not in the label scheme.
    """
    text = workspace.settings.required_structures.strip()
    if text.casefold() == "all":
        return workspace.scheme.names
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(wanted - set(workspace.scheme.names))
    if unknown:
        raise ConfigurationError(f"REQUIRED_STRUCTURES names what is not in the label scheme: {', '.join(unknown)}")
    return tuple(name for name in workspace.scheme.names if name in wanted)


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
