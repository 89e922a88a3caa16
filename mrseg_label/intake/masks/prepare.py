"""Prepare the mask of an image: check its grid, and decode it as its job will, so that the report has the result.

A mask that cannot be used is refused and its image is still imported. The job that
:mod:`~mrseg_label.intake.masks.enqueue` adds turns the mask into an annotation.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations
from mrseg_label.errors import InvalidInput, LabelError, MrsegError
from mrseg_label.files import sha256_of
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX, has_segments
from mrseg_label.intake.images import MaskLabels, PreparedImage, PreparedMask, RefusedImage, Series
from mrseg_label.intake.names import strip_suffix
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.classes import assign_structures
from mrseg_label.segments.dicom.converting import convert, is_dicom
from mrseg_label.segments.files import read_segmentation
from mrseg_label.segments.names import NameTable, required_structures
from mrseg_label.segments.value_names import check_mask
from mrseg_label.text import readable

GROUND = "Ground"  # of CHAOS: a folder with a picture of the ground truth for each slice
_LISTED = 10


@dataclass(frozen=True)
class MaskPreparer:
    """Prepares the masks of one import.

    Attributes
    ----------
    required : structures that every mask must judge.
    scratch : folder for converted masks.
    """

    workspace: OpenedWorkspace
    required: tuple[str, ...]
    scratch: Path

    @classmethod
    def create(cls, workspace: OpenedWorkspace, scratch: Path) -> MaskPreparer:
        """Create the preparer of an import into a workspace.

        Raises
        ------
        ConfigurationError
            REQUIRED_STRUCTURES names a structure that the label scheme lacks.
        """
        required = required_structures(workspace.scheme, workspace.settings.required_structures)
        return cls(workspace, required, scratch)

    def add_mask(self, image: PreparedImage | RefusedImage) -> PreparedImage | RefusedImage:
        """Prepare the mask of an image, if it has one."""
        mask, series = image.named.mask, image.named.series
        if mask is None:
            return image
        redact = series.redact if series is not None else readable  # beside DICOM a file may be named after the patient
        if isinstance(image, RefusedImage):
            return replace(image, reason=f"{image.reason} (its mask {redact(mask.name)} is not imported either)")
        try:
            geometry = image.geometry or self._stored_geometry(image.source_digest)
            if image.named.dicom_masks:
                data = [one.read() for one in image.named.dicom_masks]
                prepared = convert_dicom(data, geometry, self.workspace.scheme, self.scratch)
            else:
                file = mask if series is None or mask.name != GROUND else self._join_slices(series, mask)
                prepared = prepare_mask(file, geometry, image.named.mask_labels, self.workspace.scheme, self.scratch)
            prepared = replace(prepared, lenient=image.named.mask_lenient)
            remarks = check_mask(
                self.workspace.scheme,
                geometry,
                prepared.file,
                prepared.labels,
                lenient=prepared.lenient,
                required=self.required,
            )
        except (MrsegError, OSError) as error:
            return replace(image, mask_refused=(redact(str(mask)), redact(str(error))))
        return replace(
            image,
            mask=replace(
                prepared,
                shown=redact(str(mask)),
                notes=tuple(map(redact, prepared.notes)),
                remarks=tuple(map(redact, (*prepared.remarks, *remarks))),
            ),
        )

    def _join_slices(self, series: Series, folder: Path) -> Path:
        """Write the ground truth of a DICOM image, which is one picture a slice, as one label map."""
        mask, geometry = series.read_ground(folder)
        file = self.scratch / f"{secrets.token_hex(8)}.nii.gz"
        write_nifti(file, mask, geometry)
        return file

    def _stored_geometry(self, source_digest: str) -> Geometry:
        """Return the grid of an image that was imported before."""
        with self.workspace.catalog.read() as session:
            present = examinations.same_image(session, source_digest)
            if not present:
                raise InvalidInput("the image of this mask was removed during the import; import both again")
            return Geometry.from_json(present[0].geometry)


def prepare_mask(
    mask: Path, image: Geometry, labels: MaskLabels | None, scheme: LabelScheme, scratch: Path
) -> PreparedMask:
    """Check a mask against the grid of its image; a folder with one file per structure becomes one label map.

    Raises
    ------
    InvalidInput, GeometryError, LabelError
        It is not a label map on the grid of the image, or its values have no names.
    """
    if mask.is_dir():
        return _merge_folder(mask, image, scheme, scratch)
    if is_dicom(mask):
        return convert_dicom([mask.read_bytes()], image, scheme, scratch)
    has_names = mask.name.lower().endswith(SEGMENTATION_SUFFIX)
    if labels is None and not has_names and has_segments(mask):  # saved as .nrrd with the segments in its header
        file = scratch / f"{secrets.token_hex(8)}{SEGMENTATION_SUFFIX}"
        file.symlink_to(mask)
        return replace(prepare_mask(file, image, None, scheme, scratch), digest=sha256_of(mask))
    segmentation = read_segmentation(mask, image)
    if labels is None and not has_names:
        raise LabelError(f"{mask.name}: the values of this mask have no names; give a label map with --mask-labels")
    suffix = SEGMENTATION_SUFFIX if has_names else next(s for s in SUFFIXES if mask.name.lower().endswith(s))
    return PreparedMask(
        file=mask,
        suffix=suffix,
        digest=sha256_of(mask),
        labels=None if has_names else labels,
        lenient=False,
        notes=tuple(segmentation.notes),
    )


def convert_dicom(masks: Sequence[bytes], image: Geometry, scheme: LabelScheme, scratch: Path) -> PreparedMask:
    """Convert the DICOM segmentations and structure sets of an image, so that nothing of the patient is stored.

    Raises as :func:`mrseg_label.segments.dicom.converting.convert`.
    """
    file = scratch / f"{secrets.token_hex(8)}{SEGMENTATION_SUFFIX}"
    notes = convert(masks, image, scheme, file)
    return PreparedMask(
        file, SEGMENTATION_SUFFIX, sha256_of(file), labels=None, lenient=False, notes=notes, remarks=notes
    )


def _merge_folder(folder: Path, image: Geometry, scheme: LabelScheme, scratch: Path) -> PreparedMask:
    """Merge the files of a folder, one per class, into one label map in the order of their names.

    Files of classes that make up one structure of the scheme are united. Those of other classes are not read, so that
    they do not cover a structure.
    """
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES) and path.name[0] != ".")
    names = [readable(strip_suffix(file.name)) for file in files]
    assigned = assign_structures(NameTable(scheme), names, partial=True)
    if not assigned.structures:
        raise InvalidInput(
            f"{folder.name} contains no file that is named after a structure of the label scheme; it has "
            f"{', '.join(names[:_LISTED]) or 'no image files'}"
        )
    merged = np.zeros(image.shape, dtype=np.float32)  # whole numbers: written as uint8 or int16
    values: dict[str, int] = {}
    notes = list(assigned.incomplete)
    for position, structure in sorted(assigned.structures.items()):
        value = values.setdefault(structure, len(values) + 1)
        inside = _inside(files[position], image)
        covered = int(((merged[inside] > 0) & (merged[inside] != value)).sum())
        if covered:
            notes.append(f"{names[position]} replaced {covered:,} voxels of earlier structures")
        merged[inside] = value
    left_out = [name for position, name in enumerate(names) if position not in assigned.structures]
    if left_out:
        notes.insert(0, f"not in the label scheme and left out: {', '.join(left_out)}")
    file = scratch / f"{secrets.token_hex(8)}.nii.gz"
    write_nifti(file, merged.astype(np.uint8) if len(values) < 256 else merged, image)
    return PreparedMask(
        file=file,
        suffix=".nii.gz",
        digest=sha256_of(file),
        labels=[(value, structure) for structure, value in values.items()],
        lenient=False,
        notes=tuple(notes),
        remarks=tuple(notes),
    )


def _inside(file: Path, image: Geometry) -> NDArray[np.bool_]:
    """Read the file of one structure: which voxels (X, Y, Z) lie inside."""
    layer = read_segmentation(file, image).layers[0]
    highest = int(layer.max())
    # Some tools write 255 for inside.
    if highest > 1 and (highest != 255 or not set(np.unique(layer).tolist()) <= {0, 255}):
        raise InvalidInput(f"{file.name} has voxels with the value {highest}; a file of one structure has only 0 and 1")
    return layer > 0
