"""Masks that came with an import become revisions: a job, decoded as every submission is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrseg_label.annotation.decode import decode, decode_segments
from mrseg_label.annotation.names import NameTable, foreign_structures, is_ignored
from mrseg_label.annotation.service import check_cover, submit
from mrseg_label.catalog.queries import worklist as cases
from mrseg_label.catalog.types import IMPORT_AUTHOR
from mrseg_label.errors import NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.imaging.segmentations import MAX_LABEL, MAX_SEGMENTS, Layer, Segment, Segmentation, read_segmentation
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme
from mrseg_label.workspace import Workspace


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
            layer = read_segmentation(stored, geometry).layers[0]
            names, lookup, left_out = _by_position(workspace.scheme, layer, payload["labels"], payload["lenient"])
            mapped = lookup[layer]
            write_nifti(upload, mapped.astype(np.uint8) if len(names) < 256 else mapped, geometry)
            notes += [_left_out(left_out)] if left_out else []
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


def judge(
    workspace: Workspace, image: Geometry, mask: Path, labels: Sequence[tuple[int, str]] | None, lenient: bool
) -> list[str]:
    """Decode a mask as its job will, and store nothing, so that an import can say at once what is wrong with it.

    Parameters
    ----------
    image : grid of its image.
    labels : names by value; None for a ``.seg.nrrd``, which has its own.
    lenient : whether structures that the scheme does not have are left out.

    Returns
    -------
    What a person may want to know: classes that were left out, voxels that two structures had.

    Raises
    ------
    LabelError, GeometryError, InvalidInput
        The mask cannot be taken.
    """
    left_out: list[str] = []
    if labels is None:
        decoded = decode(workspace.scheme, image, mask, [])
    else:
        segmentation = read_segmentation(mask, image)
        names, lookup, left_out = _by_position(workspace.scheme, segmentation.layers[0], labels, lenient)
        ordered = Segmentation((lookup[segmentation.layers[0]],), None, segmentation.notes)
        segments = [Segment(name, 0, value) for value, name in enumerate(names, start=1)]
        decoded = decode_segments(workspace.scheme, ordered, segments)
    check_cover(workspace, decoded)
    empty = [name for name in decoded.ignored if not is_ignored(name)]
    notes = [f"{count:,} voxels of two structures: {pair}" for pair, count in decoded.overlaps.items()]
    notes += [_left_out(left_out)] if left_out else []
    notes += [f"not in the label scheme, and without voxels: {', '.join(empty)}"] if empty else []
    return notes


def _left_out(names: Sequence[str]) -> str:
    return f"not in the label scheme and left out: {', '.join(names)}"


def _by_position(
    scheme: LabelScheme, layer: Layer, labels: Iterable[Sequence[object]], lenient: bool
) -> tuple[list[str], NDArray[np.uint16], list[str]]:
    """Names for which the k-th has value k, as submissions have it; the table of new values; what was left out."""
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
    for value in np.unique(layer).tolist():
        if value and value not in named:
            # The decoder says that it is not known, with its voxels.
            names.append(f"value {value}")
            lookup[value] = len(names)
        if len(names) > MAX_SEGMENTS:
            break
    return names, lookup, left_out
