"""One image from its file to the form in which it is stored, in a scratch folder; nothing is recorded yet."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry, load_image, write_nifti
from mrseg_label.intake.assign import Source
from mrseg_label.workspace import sha256_of


@dataclass(frozen=True)
class Prepared:
    """An image that can be recorded.

    Attributes
    ----------
    source_digest : SHA-256 of the file as it was given.
    file : the stored form, in the scratch folder; None where the catalogue knows the file's bytes already.
    digest : SHA-256 of the stored form. Same voxels on the same grid have the same, in whatever format
        they came.
    """

    source: Source
    source_digest: str
    file: Path | None = None
    digest: str = ""
    geometry: Geometry | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """An image that cannot come in."""

    source: Source
    reason: str


def prepare(
    source: Source, scratch: Path, orientation: str | None, known: Callable[[str], bool]
) -> Prepared | Failed:
    """Read, check and rewrite one image.

    Parameters
    ----------
    known : whether the catalogue has an image of this ``source_digest``; such a file is not opened again.
    """
    try:
        source_digest = sha256_of(source.path)
        if known(source_digest):
            return Prepared(source, source_digest)
        array, geometry, warnings = load_image(source.path, orientation)
        file = scratch / f"{secrets.token_hex(8)}.nii.gz"
        write_nifti(file, array, geometry)
        return Prepared(source, source_digest, file, sha256_of(file), geometry, (*source.warnings, *warnings))
    except (MrsegError, OSError) as error:
        return Failed(source, str(error))
