"""Masks that came with an import become revisions: a job, decoded as every submission is."""

from __future__ import annotations

import numpy as np

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import IMPORT_AUTHOR
from mrseg_label.errors import NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.jobs import JobContext
from mrseg_label.segments.coded import by_position, describe_left_out
from mrseg_label.segments.files import read_segmentation


def run(context: JobContext) -> None:
    """Submit the mask of a ``masks`` job for its examination.

    Names are matched as in a submission. Classes of TotalSegmentator of which several make one structure of the
    scheme (vertebrae, lobes) are put together. Running again records nothing twice.

    Raises
    ------
    NotFound
        The examination or the stored mask is not there any more.
    LabelError, GeometryError, InvalidInput
        The mask cannot be taken; the message stands in the job.
    """
    workspace, payload = context.workspace, context.payload
    with context.catalog.read() as session:
        examination = examinations.get(session, payload["examination"])
    if examination is None:
        raise NotFound(f"there is no examination {payload['examination']!r}")
    stored = workspace.path(payload["path"])
    workspace.verify(payload["path"], payload["digest"])
    names: list[str] = []
    notes = list(payload["notes"])
    with workspace.scratch("masks-") as folder:
        upload = stored
        if payload["labels"] is not None:
            upload = folder / "mask.nii.gz"
            geometry = Geometry.from_json(examination.geometry)
            layer = read_segmentation(stored, geometry).layers[0]
            names, lookup, left_out = by_position(workspace.scheme, layer, payload["labels"], payload["lenient"])
            mapped = lookup[layer]
            write_nifti(upload, mapped.astype(np.uint8) if len(names) < 256 else mapped, geometry)
            notes += [describe_left_out(left_out)] if left_out else []
        context.check()
        submitted = submit(
            workspace,
            Reader(IMPORT_AUTHOR),
            examination_id=examination.id,
            upload=upload,
            file_name=upload.name,
            label_info=[{"name": name} for name in names],
        )
    with context.publish({"revision": submitted.annotation_id, "repeated": submitted.repeated, "notes": notes}):
        pass
    stored.unlink(missing_ok=True)
