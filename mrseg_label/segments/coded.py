"""Masks whose values are named by a list beside them, such as nnU-Net's ``dataset.json``; classes that merge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.coverage import check_coverage
from mrseg_label.segments.decode import decode, decode_segments
from mrseg_label.segments.files import MAX_LABEL, MAX_SEGMENTS, Layer, Segment, Segmentation, read_segmentation
from mrseg_label.segments.names import NameTable, foreign_structures, is_ignored


def judge(
    scheme: LabelScheme,
    image: Geometry,
    mask: Path,
    labels: Sequence[tuple[int, str]] | None,
    *,
    lenient: bool,
    required: Sequence[str],
) -> list[str]:
    """Decode a mask as its job will, and store nothing, so that an import can report at once what is wrong with it.

    Parameters
    ----------
    image : grid of its image.
    labels : names by value; None for a ``.seg.nrrd``, which has its own.
    lenient : whether structures that the scheme does not have are left out.
    required : names of the structures that the mask must judge.

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
        decoded = decode(scheme, image, mask, [])
    else:
        segmentation = read_segmentation(mask, image)
        names, lookup, left_out = by_position(scheme, segmentation.layers[0], labels, lenient)
        ordered = Segmentation((lookup[segmentation.layers[0]],), None, segmentation.notes)
        segments = [Segment(name, 0, value) for value, name in enumerate(names, start=1)]
        decoded = decode_segments(scheme, ordered, segments)
    check_coverage(decoded, required)
    empty = [name for name in decoded.ignored if not is_ignored(name)]
    notes = [f"{count:,} voxels of two structures: {pair}" for pair, count in decoded.overlaps.items()]
    notes += [describe_left_out(left_out)] if left_out else []
    notes += [f"not in the label scheme, and without voxels: {', '.join(empty)}"] if empty else []
    return notes


def describe_left_out(names: Sequence[str]) -> str:
    return f"not in the label scheme and left out: {', '.join(names)}"


def by_position(
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
