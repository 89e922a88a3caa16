"""Masks that came with an import become revisions: a job, decoded as every submission is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrseg_label.annotation.names import NameTable, foreign_structures
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.queries import worklist as cases
from mrseg_label.catalog.types import IMPORT_AUTHOR
from mrseg_label.errors import NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.segmentations import MAX_LABEL, MAX_SEGMENTS, read_segmentation
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme


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
        examination = cases.examination(session, payload["examination"])
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
            names, left_out = _by_position(
                workspace.scheme, geometry, stored, payload["labels"], payload["lenient"], upload
            )
            notes += [f"not in the label scheme and left out: {', '.join(left_out)}"] if left_out else []
        context.check()
        submitted = submit(
            workspace,
            context.catalog,
            examination_id=examination.id,
            upload=upload,
            file_name=upload.name,
            label_info=[{"name": name} for name in names],
            client=IMPORT_AUTHOR,
            user=None,
        )
    with context.publish({"revision": submitted.revision_id, "repeated": submitted.repeated, "notes": notes}):
        pass
    stored.unlink(missing_ok=True)


def _by_position(
    scheme: LabelScheme, image: Geometry, path: Path, labels: list[list[object]], lenient: bool, target: Path
) -> tuple[list[str], list[str]]:
    """Write the mask with value k for the k-th name, as submissions have it; returns the names and what was left out."""
    table, foreign = NameTable(scheme), foreign_structures(scheme)
    names: list[str] = []
    places: dict[str, int] = {}  # structures that are put together of several classes
    lookup = np.zeros(MAX_LABEL + 1, dtype=np.uint16)
    left_out: list[str] = []
    named = {int(str(value)): str(name) for value, name in labels}
    for value, name in sorted(named.items()):
        part_of = None if table.match(name) else foreign.get(name.casefold())
        if part_of is None and table.match(name) is None and lenient:
            left_out.append(name)
            continue
        if part_of is None or part_of not in places:
            names.append(part_of or name)
            if part_of is not None:
                places[part_of] = len(names)
        lookup[value] = places[part_of] if part_of is not None else len(names)
    layer = read_segmentation(path, image).layers[0]
    for value in np.unique(layer).tolist():
        if value and value not in named:
            # The decoder says that it is not known, with its voxels.
            names.append(f"value {value}")
            lookup[value] = len(names)
        if len(names) > MAX_SEGMENTS:
            break
    mapped = lookup[layer]
    write_nifti(target, mapped.astype(np.uint8) if len(names) < 256 else mapped, image)
    return names, left_out
