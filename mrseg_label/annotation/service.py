"""Accept what a reader submits: decode, store for ever, record.

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
from mrseg_label.annotation.record import Submission, Submitted, store
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import assignments, examinations, presegmentations
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Examination, Presegmentation
from mrseg_label.catalog.types import StructureState
from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.segments.coverage import check_coverage, required_structures
from mrseg_label.segments.decode import Decoded, decode
from mrseg_label.segments.label_maps import read_label_map
from mrseg_label.workspace import Workspace, sha256_of

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


def submit(
    workspace: OpenedWorkspace,
    reader: Reader,
    *,
    examination_id: str,
    upload: Path,
    file_name: str,
    label_info: object,
    params: Mapping[str, Any] | None = None,
) -> Submitted:
    """Decode and store a reader's annotation of an examination.

    Parameters
    ----------
    upload : the file as it came, under any name.
    file_name : the client's name of it, perhaps a path on the reader's machine; only its suffix is used.
    label_info : the reader's segments in the order of the screen (:mod:`mrseg_label.segments.decode`).
    params : what else the client sent; its ``model`` is noted.

    Raises
    ------
    NotFound
        There is no such examination.
    LabelError, GeometryError, InvalidInput, TooLarge
        The upload is not a usable segmentation of this image; nothing was stored.
    """
    with workspace.catalog.read() as session:
        examination = examinations.get(session, examination_id)
        if examination is None:
            raise NotFound(f"there is no examination {examination_id[:60]!r}")
        presegmentation = _presegmentation_corrected(session, examination, reader)
    suffix = upload_suffix(file_name)
    geometry = Geometry.from_json(examination.geometry)
    scheme, settings = workspace.scheme, workspace.settings
    with workspace.scratch("submit-") as folder:
        named = folder / f"upload{suffix}"
        named.symlink_to(upload.resolve())
        decoded = decode(scheme, geometry, named, label_info, settings.max_upload_mb * 1024**2)
        check_coverage(decoded, required_structures(scheme, settings.required_structures))
        states, note = _states(workspace, decoded, geometry, presegmentation)
        report = decoded.report() | ({"draft": note} if note else {})
        if params and isinstance(params.get("model"), str):
            report["model"] = "".join(c for c in params["model"][:100] if c.isprintable())
        mask_file = folder / "mask.nii.gz"
        write_nifti(mask_file, decoded.mask, geometry)
        submission = Submission(
            examination=examination,
            reader=reader,
            decoded=decoded,
            digest=sha256_of(mask_file),
            upload_digest=sha256_of(upload),
            presegmentation=presegmentation,
            states=states,
            report=report,
        )
        return store(workspace, submission, mask_file, upload, suffix)


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


def final_mask(workspace: OpenedWorkspace, examination: Examination) -> tuple[Path, Annotation]:
    """File and annotation of the mask that counts for an examination, whichever channel it was drawn on.

    Raises
    ------
    NotFound
        It has no accepted annotation.
    """
    with workspace.catalog.read() as session:
        annotation = rows.final(session, examination.acquisition_id)
    if annotation is None:
        raise NotFound(f"examination {examination.id} has no accepted annotation yet")
    return workspace.path(annotation.path), annotation


def _presegmentation_corrected(session: Session, examination: Examination, reader: Reader) -> Presegmentation | None:
    """The pre-segmentation that was sent to this reader last, else the best of the acquisition."""
    assignment = assignments.newest(session, examination.acquisition_id, reader)
    if assignment is not None and assignment.presegmentation_id:
        return presegmentations.get(session, assignment.presegmentation_id)
    return presegmentations.best(session, examination.acquisition_id)


def _states(
    workspace: Workspace, decoded: Decoded, geometry: Geometry, presegmentation: Presegmentation | None
) -> tuple[dict[str, StructureState], str | None]:
    """State of every structure of the scheme, and a note where the pre-segmentation could not be compared."""
    proposed: NDArray[np.integer[Any]] | None = None
    note = None
    if presegmentation is not None:
        proposed, grid = read_label_map(workspace.path(presegmentation.path))
        difference = geometry.difference(grid)
        if difference is not None:  # the reader's work is not lost for that
            proposed, note = None, f"not compared with pre-segmentation {presegmentation.id}: {difference}"
    return structure_states(workspace.scheme, decoded.mask, decoded.voxels, proposed), note
