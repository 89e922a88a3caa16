"""Masks that lie beside the images: checked against the grid, decoded as a trial, handed on as a job.

What the names mean and whether the mask can be taken is decided where submissions are decoded; an import asks
there (``judge``), so that its report says it, and leaves the work to the job.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import InvalidInput, LabelError, MrsegError
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.discover import strip_suffix
from mrseg_label.intake.mask_labels import Labels
from mrseg_label.intake.prepare import Failed, Prepared, PreparedMask
from mrseg_label.jobs import queue
from mrseg_label.segments.files import SEGMENTATION_SUFFIX, read_segmentation
from mrseg_label.workspace import Workspace, sha256_of

INCOMING = "annotations/incoming"


class Judge(Protocol):
    """Decodes a mask as its job will: raises where it cannot be used, returns what is worth reporting."""

    def __call__(self, image: Geometry, mask: Path, labels: Labels | None, *, lenient: bool) -> Sequence[str]:
        """Decode a mask on the grid of its image, values named by ``labels``."""


def prepare_mask(mask: Path, image: Geometry, labels: Labels | None, scratch: Path) -> PreparedMask:
    """Check a mask against the grid of its image; a folder of structures becomes one label map.

    Raises
    ------
    InvalidInput, GeometryError, LabelError
        It is no label map on the image's grid, or nothing says what its values mean.
    """
    if mask.is_dir():
        return _from_folder(mask, image, scratch)
    segmentation = read_segmentation(mask, image)
    own = mask.name.lower().endswith(SEGMENTATION_SUFFIX)
    if labels is None and not own:
        raise LabelError(f"{mask.name}: nothing says what the values of this mask mean; give --mask-labels")
    suffix = SEGMENTATION_SUFFIX if own else next(s for s in SUFFIXES if mask.name.lower().endswith(s))
    return PreparedMask(mask, suffix, sha256_of(mask), None if own else labels, False, tuple(segmentation.notes))


def _from_folder(folder: Path, image: Geometry, scratch: Path) -> PreparedMask:
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES) and path.name[0] != ".")
    if not files:
        raise InvalidInput(f"{folder.name}: holds no files of structures")
    merged = np.zeros(image.shape, dtype=np.float32)  # whole numbers: written as uint8 or int16
    labels: Labels = []
    notes: list[str] = []
    for value, file in enumerate(files, start=1):
        segmentation = read_segmentation(file, image)
        layer = segmentation.layers[0]
        if int(layer.max()) > 1:
            raise InvalidInput(f"{file.name}: a file of one structure holds 0 and 1, this one {int(layer.max())}")
        inside = layer > 0
        covered = int((merged[inside] > 0).sum())
        if covered:
            notes.append(f"{strip_suffix(file.name)} took {covered:,} voxels of earlier structures")
        merged[inside] = value
        labels.append((value, strip_suffix(file.name)))
    file = scratch / f"{secrets.token_hex(8)}.nii.gz"
    write_nifti(file, merged.astype(np.uint8) if len(labels) < 256 else merged, image)
    return PreparedMask(file, ".nii.gz", sha256_of(file), labels, True, tuple(notes))


def hand_on(
    session: Session,
    workspace: Workspace,
    mask: PreparedMask,
    examination_id: str,
    acquisition_id: str,
    store: bool = True,
) -> bool:
    """Store a mask and enqueue the job that makes it a revision; False where that was done before.

    Parameters
    ----------
    store : False in a dry run, whose transaction is rolled back.
    """
    labels = hashlib.sha256(json.dumps(mask.labels).encode()).hexdigest()[:16]
    key = f"{acquisition_id}:{mask.digest}:{labels}"
    # One that failed is tried again: the reason may have been mended outside of the mask.
    before = job_rows.newest(session, queue.IMPORT_MASK, key)
    if before is not None and before.state in (JobState.QUEUED, JobState.RUNNING, JobState.DONE):
        return False
    path = f"{INCOMING}/{new_id('in')}{mask.suffix}"
    if store:
        workspace.put_file(path, mask.file)
    payload: dict[str, Any] = {
        "examination": examination_id,
        "path": path,
        "digest": mask.digest,
        "labels": mask.labels,
        "lenient": mask.lenient,
        "notes": list(mask.notes),
    }
    queue.enqueue(session, queue.IMPORT_MASK, payload, key=key)
    return True


def with_mask(
    image: Prepared | Failed,
    labels: Labels | None,
    scratch: Path,
    known: Callable[[str], Geometry | None],
    judge: Judge,
) -> Prepared | Failed:
    """Prepare the mask of an image that came in; one that cannot be taken is refused, and the image stays.

    Parameters
    ----------
    known : the grid of an image that was there before, by the digest of its source.
    judge : decodes the mask as its job will; raises where it cannot be taken, returns what is worth a word.
    """
    mask, volume = image.source.mask, image.source.volume
    if mask is None:
        return image
    # Beside DICOM a file may be named after the patient.
    redact = volume.redact if volume is not None else str
    if isinstance(image, Failed):
        return replace(image, reason=f"{image.reason} (and with it its mask {redact(mask.name)})")
    try:
        geometry = image.geometry or known(image.source_digest)
        if geometry is None:
            raise InvalidInput("its image was removed while this one came in; import both again")
        prepared = prepare_mask(mask, geometry, labels, scratch)
        described = judge(geometry, prepared.file, prepared.labels, lenient=prepared.lenient)
        notes, described = (tuple(map(redact, texts)) for texts in (prepared.notes, described))
        return replace(image, mask=replace(prepared, shown=redact(str(mask)), notes=notes, described=described))
    except (MrsegError, OSError) as error:
        return replace(image, mask_refused=(redact(str(mask)), redact(str(error))))
