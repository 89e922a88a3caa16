"""Prepare one image: read it, check it and convert it to the form in which it is stored; nothing is recorded yet."""

from __future__ import annotations

import secrets
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations
from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.files import sha256_of, sync
from mrseg_label.imaging import Geometry, load_image, write_nifti
from mrseg_label.imaging.label_maps import label_map_reason
from mrseg_label.imaging.nrrd_file import has_segments
from mrseg_label.imaging.same_scan import fingerprint
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.intake.images import NamedImage, PreparedImage, RefusedImage
from mrseg_label.text import readable

SCRATCH = "import-"
"""Prefix of the scratch folders of imports and uploads."""
# Rounding of float32 headers and of quaternions; a larger difference is a conversion.
_SAME_FORM_VOXELS = 1e-3
_MASK_ADVICE = "import it together with its image by --masks, or submit it in 3D Slicer as a segmentation of its image"


def prepare(
    workspace: OpenedWorkspace,
    image: NamedImage,
    scratch: Path,
    *,
    orientation: str | None = None,
    reference: bool = False,
    max_bytes: int = MAX_VOXEL_BYTES,
    allow_label_maps: bool = False,
) -> PreparedImage | RefusedImage:
    """Read, check and convert one image.

    An image that the catalogue has already, by the digest of its files, is not read again.

    Parameters
    ----------
    scratch : folder for the converted file.
    orientation : axis codes such as ``"LPS"`` for a file that gives no orientation.
    reference : use the file where it is if it needs no conversion.
    max_bytes : largest size of the voxels.
    allow_label_maps : take a file that seems to be a label map as the image that it is said to be.
    """
    try:
        source_digest = sha256_of(image.path) if image.series is None else image.series.source_digest
        with workspace.catalog.read() as session:
            if examinations.has_source(session, source_digest):
                return PreparedImage(image, source_digest)
        array, geometry, found = _load(image, orientation, max_bytes)
        if not allow_label_maps and image.series is None:
            _check_image(array, image)
        warnings = [*image.warnings, *map(readable, found)]
        known_by = fingerprint(array)
        if reference and image.series is not None:
            warnings.append("DICOM cannot be imported by reference: a converted copy was stored")
        if reference and image.series is None:
            reason = _reason_to_convert(image.path, geometry)
            if reason is None:
                return PreparedImage(
                    *(image, source_digest, image.path, source_digest, geometry, known_by, tuple(warnings)),
                    in_place=True,
                )
            warnings.append(f"{reason}: a converted copy was stored instead of a reference")
        file = scratch / f"{secrets.token_hex(8)}.nii.gz"
        write_nifti(file, array, geometry)
        sync(file)  # here, where several images wait at the same time
        return PreparedImage(image, source_digest, file, sha256_of(file), geometry, known_by, tuple(warnings))
    except MrsegError as error:
        return RefusedImage(image, str(error))
    except OSError as error:  # of DICOM without the path, which may contain the name of the patient
        return RefusedImage(image, str(error) if image.series is None else f"cannot read a file: {error.strerror}")


def _load(image: NamedImage, orientation: str | None, max_bytes: int) -> tuple[NDArray[Any], Geometry, list[str]]:
    if image.series is not None:
        return image.series.load(max_bytes)
    if image.path.suffix.lower() == ".nrrd" and has_segments(image.path):
        raise InvalidInput(f"{image.path.name} is a segmentation, not an image; {_MASK_ADVICE}")
    return load_image(image.path, orientation, max_bytes=max_bytes)


def _check_image(array: NDArray[Any], image: NamedImage) -> None:
    reason = label_map_reason(array, PurePosixPath(image.shown))
    if reason is not None:
        raise InvalidInput(
            f"{image.path.name} {reason}, so it is a mask and not an image; {_MASK_ADVICE}. If it is an image "
            "nevertheless, import it with --allow-label-maps"
        )


def _reason_to_convert(path: Path, geometry: Geometry) -> str | None:
    """Return why a readable file cannot be served as it is, or None: every program must see the same in it."""
    if not path.name.endswith(".nii.gz"):
        return "the file is not .nii.gz"
    image: Any = nib.load(path)
    header = image.header
    if len(header.get_data_shape()) != 3 or not isinstance(header, nib.Nifti1Header):
        return "the file does not have three axes"
    if (image.dataobj.slope, image.dataobj.inter) != (1.0, 0.0):
        return "the voxels of the file are scaled"
    if header.get_xyzt_units()[0] != "mm":
        return "the unit of the file is not mm"
    for form in (header.get_sform(coded=True), header.get_qform(coded=True)):
        if not form[1] or Geometry(geometry.shape, form[0]).difference(geometry, _SAME_FORM_VOXELS):
            return "sform and qform of the file are not the same geometry"
    return None
