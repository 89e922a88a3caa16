"""Masks that lie beside the images: found by a pattern, checked against the grid, handed on as a job.

What the names mean and whether the mask can be taken is decided where submissions are decoded; an import
only makes sure that it is a label map of this image.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import InvalidInput, LabelError, MrsegError
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.imaging.segmentations import SEGMENTATION_SUFFIX, read_segmentation
from mrseg_label.imaging.volume import load_geometry
from mrseg_label.intake.assign import Source
from mrseg_label.intake.discover import Found, strip_suffix
from mrseg_label.intake.mask_labels import Labels, check_mask_labels
from mrseg_label.intake.pattern import FIELDS, Pattern
from mrseg_label.intake.prepare import Failed, Prepared, PreparedMask
from mrseg_label.intake.sequences import most_preferred
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace, sha256_of

_FIELD = re.compile(r"\{(\w*)\}")
_NNUNET_CHANNEL = re.compile(r"_\d{4}$")
INCOMING = "annotations/incoming"


class MaskFinder:
    """Finds the mask of an image.

    Parameters
    ----------
    pattern : path below the imported folder in which ``{participant}``, ``{session}``, ``{station}`` and
        ``{sequence}`` stand for those of the image (as its own pattern has them), ``{name}`` for the name of its
        file without suffix, ``{case}`` for the same without nnU-Net's ``_0000``. It leads to a file, or to a folder
        with one file a structure (TotalSegmentator).
    labels_file : the label map, see :func:`mrseg_label.intake.mask_labels.read_mask_labels`.
    image_pattern : the pattern of the images.
    """

    def __init__(self, pattern: str, labels_file: Path | None, image_pattern: str | None) -> None:
        known = (*FIELDS, "name", "case")
        unknown = [name for name in _FIELD.findall(pattern) if name not in known]
        if unknown or pattern.startswith(("/", "\\")) or ".." in PurePosixPath(pattern).parts:
            raise InvalidInput(
                f"the pattern of masks {pattern!r} cannot be used: it is a path below the imported folder, its fields are "
                f"{', '.join(f'{{{name}}}' for name in known)}"
            )
        needed = [name for name in _FIELD.findall(pattern) if name in FIELDS]
        if needed and image_pattern is None:
            raise InvalidInput(
                f"the pattern of masks {pattern!r} takes {', '.join(needed)} from the path of the image: give --pattern too"
            )
        self.pattern = pattern
        self.labels = check_mask_labels(labels_file)
        self.images = Pattern(image_pattern) if image_pattern else None

    def sort_out(self, images: Sequence[Found]) -> tuple[list[Found], dict[Path, Path]]:
        """The images without what are masks, and the mask of each image that has one."""
        masks = {found.path: mask for found in images if (mask := self._of(found)) is not None}
        files = {mask for mask in masks.values() if mask.is_file()}
        folders = {mask for mask in masks.values() if mask.is_dir()}
        kept = [
            found
            for found in images
            if found.path not in files and not any(folder in found.path.parents for folder in folders)
        ]
        return kept, {found.path: masks[found.path] for found in kept if found.path in masks}

    def _of(self, found: Found) -> Path | None:
        name = strip_suffix(found.path.name)
        fields = {"name": name, "case": _NNUNET_CHANNEL.sub("", name)}
        if self.images is not None:
            matched = self.images.match(found)
            if matched is None:
                return None
            fields |= matched
        relative = _FIELD.sub(lambda match: fields.get(match[1], ""), self.pattern)
        depth = len(found.relative.parts)
        base = found.path.parents[depth - 1]
        wanted = [base / relative]
        # A file or a subfolder was given: the pattern may begin above it, as the images' own does.
        wanted += [parent / relative for parent in base.parents[: len(PurePosixPath(relative).parts)]]
        return next((path for path in wanted if path.exists() and path != found.path), None)


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
    before = job_rows.newest(session, queue.MASKS, key)
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
    queue.enqueue(session, queue.MASKS, payload, key=key)
    return True


def with_masks(
    groups: Sequence[Sequence[Source]], masks: Mapping[Path, Path], preference: Sequence[str]
) -> list[list[Source]]:
    """Give each mask to one image of its group: the one that is drafted on, if it is there; the others share it."""
    given = []
    for group in groups:
        best: dict[Path, int] = {}
        for mask in {masks[source.path] for source in group if source.path in masks}:
            channels = [index for index, source in enumerate(group) if masks.get(source.path) == mask]
            best[mask] = channels[most_preferred([group[index].sequence for index in channels], preference)]
        chosen = {index: mask for mask, index in best.items()}
        given.append([replace(source, mask=chosen.get(index)) for index, source in enumerate(group)])
    return given


def with_mask(
    image: Prepared | Failed, labels: Labels | None, scratch: Path, orientation: str | None
) -> Prepared | Failed:
    """Prepare the mask of an image that came in; one that cannot be taken is refused, and the image stays."""
    mask = image.source.mask
    if mask is None:
        return image
    if isinstance(image, Failed):
        return replace(image, reason=f"{image.reason} (and with it its mask {mask.name})")
    try:
        geometry = image.geometry or load_geometry(image.source.path, orientation)[0]
        return replace(image, mask=prepare_mask(mask, geometry, labels, scratch))
    except (MrsegError, OSError) as error:
        return replace(image, mask_refused=str(error))
