"""Find the DICOM series that stored images were imported from, whose attributes the workspace does not keep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Examination
from mrseg_label.intake.files.discover import discover
from mrseg_label.intake.files.prepare import SCRATCH, prepare
from mrseg_label.intake.images import PreparedImage
from mrseg_label.intake.options import ImportOptions, ImportReport

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def find_originals(
    workspace: OpenedWorkspace, paths: Sequence[Path], images: Mapping[str, Examination]
) -> dict[str, list[Dataset]]:
    """Find the series of images among DICOM files, as an import of these files would: by the files, or else by voxels and grid.

    Parameters
    ----------
    paths : DICOM files, folders and zips.
    images : stored images by id.

    Returns
    -------
    The data sets of each image that was found, without voxels, by its id.
    """
    # pydicom is behind them.
    from mrseg_label.intake.dicom.exports import exports_of
    from mrseg_label.intake.dicom.naming import name_export
    from mrseg_label.intake.dicom.pseudonyms import Pseudonyms

    by_source = _by(images.values(), "source_digest")
    by_content = _by(images.values(), "digest")
    options, report = ImportOptions(participant="original"), ImportReport()
    pseudonyms = Pseudonyms(os.urandom(32))  # for names that nobody will see
    found: dict[str, list[Dataset]] = {}
    with workspace.scratch(SCRATCH) as scratch:
        for export in exports_of(discover(paths, workspace.root)):
            for image in (one for group in name_export(export, options, pseudonyms, report) for one in group):
                if image.series is None:
                    continue
                ids = by_source.get(image.series.source_digest)
                if ids is None:
                    prepared = prepare(workspace, image, scratch)
                    ids = by_content.get(prepared.digest) if isinstance(prepared, PreparedImage) else None
                    if isinstance(prepared, PreparedImage) and prepared.file is not None:
                        prepared.file.unlink()
                for examination_id in ids or ():
                    found.setdefault(examination_id, image.series.headers())
    return found


def _by(images: Iterable[Examination], key: str) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for image in images:
        grouped.setdefault(str(getattr(image, key)), []).append(image.id)
    return grouped
