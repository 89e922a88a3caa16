"""Submit a mask: decode it, store it, record it.

When :func:`submit` returns, mask and upload are on disk under their final names and their row is committed: only
then is the submission acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.annotation.record import STARTED_FROM, Submission, Submitted, store
from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import assignments, examinations, presegmentations, reviewing
from mrseg_label.catalog.queries.doubts import DOUBTS
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination, Presegmentation
from mrseg_label.catalog.types import StructureState
from mrseg_label.config import Settings
from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.files import sha256_of
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.doubts import find_doubts
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import joint_histogram
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.segments.decode import Decoded, decode
from mrseg_label.segments.dicom.converting import DICOM_SUFFIX, convert
from mrseg_label.segments.files import has_segments, read_label_map
from mrseg_label.segments.names import required_structures
from mrseg_label.workspace import Workspace

LabelMap = NDArray[np.integer[Any]]
SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", DICOM_SUFFIX)


def submit(
    workspace: OpenedWorkspace,
    reader: Reader,
    *,
    examination_id: str,
    upload: Path,
    file_name: str,
    label_info: object,
    params: Mapping[str, Any] | None = None,
    partial: bool = False,
    version: int | None = None,
) -> Submitted:
    """Decode and store a reader's annotation of an examination.

    Parameters
    ----------
    upload : the file as it was received, under any name.
    file_name : the client's name of the file, perhaps with a path on the reader's machine; only its suffix is used.
    label_info : the reader's segments in the order of the list on the screen (:mod:`mrseg_label.segments.decode`).
    params : what else the client sent; its ``model`` is kept in the report.
    partial : take a structure also where only some of its classes are listed, as imports do.
    version : the N of ``version_N``, where a reviewer saves an edited annotation beside the one that was submitted; it
        counts only once it is accepted.

    Raises
    ------
    NotFound
        There is no such examination.
    LabelError, GeometryError, InvalidInput, TooLarge
        The upload is not a valid segmentation of this image; nothing was stored.
    """
    with workspace.catalog.read() as session:
        examination = examinations.get(session, examination_id)
        if examination is None:
            raise NotFound(f"there is no examination {examination_id[:60]!r}")
        presegmentation = _starting_presegmentation(session, examination, reader, workspace.settings)
        had_none = workspace.settings.presegmentation == "off" or _is_withheld(session, examination, reader)
        base = None if version is None else reviewing.final(session, examination.acquisition_id)
        if base is not None:  # the reviewer's work is compared with the draft that the annotation began from
            draft = base.presegmentation_id
            presegmentation = presegmentations.get(session, draft) if draft else None
    suffix = upload_suffix(file_name)
    if version is not None and suffix == ".nrrd" and has_segments(upload):
        suffix = SEGMENTATION_SUFFIX  # Slicer writes the same file under both names
    geometry = Geometry.from_json(examination.geometry)
    scheme, settings = workspace.scheme, workspace.settings
    with workspace.scratch("submit-") as folder:
        if suffix == DICOM_SUFFIX:
            # What names the patient is not stored, so the upload that is kept is the converted one.
            converted = folder / f"converted{SEGMENTATION_SUFFIX}"
            convert([upload.read_bytes()], geometry, scheme, converted, settings.max_upload_mb * 1024**2)
            upload, suffix = converted, SEGMENTATION_SUFFIX
        named = folder / f"upload{suffix}"
        named.symlink_to(upload.resolve())
        decoded = decode(scheme, geometry, named, label_info, settings.max_upload_mb * 1024**2, partial=partial)
        required = required_structures(scheme, settings.required_structures)
        if base is not None and suffix != SEGMENTATION_SUFFIX:
            # A list without a file of segments says nothing of structures that the reviewer was not shown.
            decoded = decoded.only_drawn([*required, *base.judged])
        elif presegmentation is None and had_none:
            decoded = decoded.only_drawn(required)
        decoded.check_coverage(required)
        states, note = _states(workspace, decoded, geometry, presegmentation)
        report = decoded.report() | ({"draft": note} if note else {})
        doubts = find_doubts(decoded.mask, geometry, anatomy_of(scheme), workspace.path(examination.path))
        if doubts:
            report[DOUBTS] = doubts
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
            report=report if base is None else report | {STARTED_FROM: base.id},
            version=version,
        )
        return store(workspace, submission, mask_file, upload, suffix)


def upload_suffix(file_name: str) -> str:
    """Find the suffix of an upload in a file name that may be a path of any operating system.

    Raises
    ------
    InvalidInput
        The file has no suffix of a mask.
    """
    name = PurePosixPath(file_name.replace("\\", "/")).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(
        f"cannot read a mask from {name[-60:]!r}; send a file whose name ends in one of {', '.join(SUFFIXES)}"
    )


def structure_states(
    scheme: LabelScheme, mask: LabelMap, voxels: Mapping[str, int], presegmentation: LabelMap | None
) -> dict[str, StructureState]:
    """Find the state of every structure of the scheme in a submission.

    Parameters
    ----------
    mask : (X, Y, Z) the submission in the label ids of the scheme.
    voxels : number of voxels of the structures that were judged; zero means absent.
    presegmentation : (X, Y, Z) what the reader started from, or None.
    """
    compared = None if presegmentation is None else joint_histogram(presegmentation, mask, len(scheme))
    states = {}
    for structure in scheme:
        if structure.name not in voxels:
            # Only voxels that the reader left to the background are filled.
            filled = compared is not None and compared[structure.id, 0] > 0
            state = StructureState.FILLED if filled else StructureState.NOT_ANNOTATED
        elif voxels[structure.name] == 0:
            state = StructureState.ABSENT
        elif compared is None or compared[structure.id].sum() == 0:
            state = StructureState.DRAWN
        else:
            same = compared[structure.id, structure.id]
            untouched = same == compared[structure.id].sum() == compared[:, structure.id].sum()
            state = StructureState.UNCHANGED if untouched else StructureState.CORRECTED
        states[structure.name] = state
    return states


def _starting_presegmentation(
    session: Session, examination: Examination, reader: Reader, settings: Settings
) -> Presegmentation | None:
    """The pre-segmentation that was sent to this reader last; where none was, the best of the acquisition.

    Where the draft was withheld, there is none. With PRESEGMENTATION off none is sent, and what was drawn is compared with none of earlier times.
    """
    assignment = assignments.newest(session, examination.acquisition_id, reader)
    if assignment is not None and assignment.draft_withheld:
        return None
    if assignment is not None and assignment.presegmentation_id:
        return presegmentations.get(session, assignment.presegmentation_id)
    return None if settings.presegmentation == "off" else presegmentations.best(session, examination.acquisition_id)


def _is_withheld(session: Session, examination: Examination, reader: Reader) -> bool:
    """Whether it was drawn that this reader gets no draft."""
    assignment = assignments.newest(session, examination.acquisition_id, reader)
    return assignment is not None and bool(assignment.draft_withheld)


def _states(
    workspace: Workspace, decoded: Decoded, geometry: Geometry, presegmentation: Presegmentation | None
) -> tuple[dict[str, StructureState], str | None]:
    """Find the state of every structure, and a note if the pre-segmentation could not be compared."""
    presegmented: NDArray[np.integer[Any]] | None = None
    note = None
    if presegmentation is not None and not is_whole(workspace, presegmentation):
        note = "the draft could not be compared: its file is damaged"
    elif presegmentation is not None:
        presegmented, grid = read_label_map(workspace.path(presegmentation.path))
        difference = geometry.difference(grid)
        if difference is not None:  # no reason to refuse the reader's work
            presegmented, note = None, f"not compared with pre-segmentation {presegmentation.id}: {difference}"
    return structure_states(workspace.scheme, decoded.mask, decoded.voxels, presegmented), note
