"""Import a mask that came with an image, as a job: it is decoded as every submission is."""

from __future__ import annotations

import numpy as np

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import IMPORT_AUTHOR
from mrseg_label.errors import NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.jobs import JobContext
from mrseg_label.segments.files import read_segmentation
from mrseg_label.segments.value_names import name_values


def run(context: JobContext) -> None:
    """Submit the mask of an ``import_mask`` job for its examination.

    Names are matched as in a submission. Classes of TotalSegmentator that make up one structure of the scheme
    (vertebrae, lobes) are merged, also where some are missing. Running again records nothing twice.

    Raises
    ------
    NotFound
        The examination or the stored mask no longer exists.
    LabelError, GeometryError, InvalidInput
        The mask cannot be imported; the message is kept with the job.
    """
    workspace, payload = context.workspace, context.payload
    with context.catalog.read() as session:
        examination = examinations.get(session, payload["examination"])
    if examination is None:
        raise NotFound(f"there is no examination {payload['examination']!r}")
    stored = workspace.path(payload["path"])
    workspace.verify(payload["path"], payload["digest"])
    names: tuple[str, ...] = ()
    notes = list(payload["notes"])
    with workspace.scratch("masks-") as folder:
        upload = stored
        if payload["labels"] is not None:
            upload = folder / "mask.nii.gz"
            geometry = Geometry.from_json(examination.geometry)
            layer = read_segmentation(stored, geometry).layers[0]
            named = name_values(workspace.scheme, layer, payload["labels"], lenient=payload["lenient"])
            names = named.names
            notes += named.notes
            write_nifti(upload, named.layer.astype(np.uint8) if len(names) < 256 else named.layer, geometry)
        context.check()
        submitted = submit(
            workspace,
            Reader(IMPORT_AUTHOR),
            examination_id=examination.id,
            upload=upload,
            file_name=upload.name,
            label_info=[{"name": name} for name in names],
            partial=True,
        )
    with context.publish({"annotation": submitted.annotation_id, "repeated": submitted.repeated, "notes": notes}):
        pass
    stored.unlink(missing_ok=True)
