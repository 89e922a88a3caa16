"""One image from its file to the form in which it is stored, in a scratch folder; nothing is recorded yet."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.imaging import Geometry, load_image, write_nifti
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.intake.assign import Source
from mrseg_label.segments.files import SEGMENTATION_SUFFIX
from mrseg_label.workspace import sha256_of, sync

# Rounding of float32 headers and of quaternions; anything more is written anew.
_SAME_FORM_VOXELS = 1e-3


@dataclass(frozen=True)
class PreparedMask:
    """A mask that can be handed on.

    Attributes
    ----------
    file : a label map or a ``.seg.nrrd``. digest : its SHA-256.
    labels : names by value, or None where the file has its own.
    lenient : whether structures that the scheme does not have are left out (a tool's whole set of classes).
    notes : what was changed in it, for its revision. said : what is worth a word in the report.
    shown : where it lies, as the report has it.
    """

    file: Path
    suffix: str
    digest: str
    labels: list[tuple[int, str]] | None
    lenient: bool
    notes: tuple[str, ...]
    described: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True)
class Prepared:
    """An image that can be recorded.

    Attributes
    ----------
    source_digest : SHA-256 of the file as it was given.
    file : the stored form, in the scratch folder, or the source itself (``in_place``); None where the
        catalogue knows the file's bytes already.
    digest : SHA-256 of the stored form. Same voxels on the same grid have the same, in whatever format
        they came.
    mask : the mask beside it. mask_refused : which it is and why it cannot be taken.
    """

    source: Source
    source_digest: str
    file: Path | None = None
    digest: str = ""
    geometry: Geometry | None = None
    warnings: tuple[str, ...] = ()
    in_place: bool = False
    mask: PreparedMask | None = None
    mask_refused: tuple[str, str] | None = None


@dataclass(frozen=True)
class Failed:
    """An image that cannot come in."""

    source: Source
    reason: str


def prepare(
    source: Source,
    scratch: Path,
    known: Callable[[str], bool],
    orientation: str | None = None,
    reference: bool = False,
    max_bytes: int = MAX_VOXEL_BYTES,
) -> Prepared | Failed:
    """Read, check and rewrite one image.

    Parameters
    ----------
    known : whether the catalogue has an image of this ``source_digest``; such a file is not opened again.
    orientation : axis codes for a file that gives none.
    reference : take the file where it lies if it needs no conversion.
    max_bytes : largest size of its voxels.
    """
    try:
        source_digest = sha256_of(source.path) if source.volume is None else source.volume.source_digest
        if known(source_digest):
            return Prepared(source, source_digest)
        array, geometry, found = _load(source, orientation, max_bytes)
        warnings = [*source.warnings, *found]
        if reference and source.volume is not None:
            warnings.append("DICOM cannot be referred to: a converted copy was stored")
        if reference and source.volume is None:
            reason = _needs_conversion(source.path, geometry)
            if reason is None:
                return Prepared(source, source_digest, source.path, source_digest, geometry, tuple(warnings), True)
            warnings.append(f"{reason}, so that a converted copy was stored instead of a reference")
        file = scratch / f"{secrets.token_hex(8)}.nii.gz"
        write_nifti(file, array, geometry)
        sync(file)  # here, where several images wait at the same time
        return Prepared(source, source_digest, file, sha256_of(file), geometry, tuple(warnings))
    except MrsegError as error:
        return Failed(source, str(error))
    except OSError as error:  # of a DICOM file without its name, which may be a person's
        return Failed(source, str(error) if source.volume is None else f"a file cannot be read: {error.strerror}")


def _load(source: Source, orientation: str | None, max_bytes: int) -> tuple[NDArray[Any], Geometry, list[str]]:
    if source.volume is None:
        if source.path.name.lower().endswith(SEGMENTATION_SUFFIX):
            raise InvalidInput(f"{source.path.name}: a segmentation, and no image; --masks brings in masks of images")
        return load_image(source.path, orientation, max_bytes=max_bytes)
    from mrseg_label.imaging.dicom import load_stack

    with source.volume.files.opened() as read:
        return load_stack(source.volume.stack.frames, read, max_bytes=max_bytes)


def _needs_conversion(path: Path, geometry: Geometry) -> str | None:
    """Why a readable image cannot be served as it lies, or None: every reader must see the same in it."""
    if not path.name.endswith(".nii.gz"):
        return "the file is not .nii.gz"
    image: Any = nib.load(path)
    header = image.header
    if len(header.get_data_shape()) != 3 or not isinstance(header, nib.Nifti1Header):
        return "the file has other than three axes"
    if (image.dataobj.slope, image.dataobj.inter) != (1.0, 0.0):
        return "its voxels are scaled"
    if header.get_xyzt_units()[0] != "mm":
        return "its unit is not mm"
    for form in (header.get_sform(coded=True), header.get_qform(coded=True)):
        if not form[1] or Geometry(geometry.shape, form[0]).difference(geometry, _SAME_FORM_VOXELS):
            return "its sform and qform are not the same geometry"
    return None
