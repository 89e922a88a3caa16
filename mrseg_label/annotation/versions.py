"""Store the annotation that a reviewer saves in Slicer beside the one under review, and withdraw what it replaces."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.annotation import review
from mrseg_label.annotation.record import Submitted
from mrseg_label.annotation.remarks import Fields, add_remark, viewer_of
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, reviewing
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.reader import Reader


def save_version(
    workspace: OpenedWorkspace,
    reader: Reader,
    number: int,
    fields: Fields,
    *,
    examination_id: str,
    upload: Path,
    file_name: str,
    label_info: object,
) -> Submitted:
    """Store a reviewer's version N as a new annotation by the reviewer, which counts once another reviewer accepts it.

    An earlier version N of the same reviewer about which nobody decided is withdrawn: Slicer calls that overwriting.

    Parameters
    ----------
    fields : what the reviewer noted about it; a status in it decides nothing, since the annotation is their own.
    upload, file_name, label_info : as :func:`~mrseg_label.annotation.service.submit` takes them.

    Raises
    ------
    NotFound, LabelError, GeometryError, InvalidInput, TooLarge
        As :func:`~mrseg_label.annotation.service.submit`.
    """
    review.check_comment(fields.comment)
    submitted = submit(
        workspace,
        reader,
        examination_id=examination_id,
        upload=upload,
        file_name=file_name,
        label_info=label_info,
        version=number,
    )
    catalog = workspace.catalog
    with catalog.begin() as session:
        acquisitions.lock(session, submitted.acquisition_id)
        saved = rows.get(session, submitted.annotation_id)
        assert saved is not None
        for row in reviewing.of_acquisitions(session, [submitted.acquisition_id]).get(submitted.acquisition_id, ()):
            is_overwritten = row.version == number and row.author == reader.name and row.number < saved.number
            if is_overwritten and row.awaits_review:
                review.take_back(session, catalog, row, reader.name, f"replaced by annotation {saved.id}")
        add_remark(session, catalog, saved, reader.name, fields)
        reviewing.forget_shown(session, viewer_of(reader), submitted.acquisition_id, number)
    return submitted
