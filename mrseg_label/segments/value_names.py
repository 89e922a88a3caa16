"""Masks whose values are named by a list that lies beside them, such as nnU-Net's ``dataset.json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.classes import assign_structures
from mrseg_label.segments.decode import decode, decode_segments
from mrseg_label.segments.files import MAX_LABEL, MAX_SEGMENTS, Layer, Segment, Segmentation, read_segmentation
from mrseg_label.segments.names import NameTable, is_ignored


@dataclass(frozen=True)
class NamedLayer:
    """A label map in the form of a submission: value k stands for the k-th name.

    Attributes
    ----------
    layer : (X, Y, Z) uint16; 0 is background.
    names : of the values 1, 2, ...
    left_out : names of values that became background, since the label scheme does not have them.
    incomplete : structures that only some of their classes make up, in words.
    """

    layer: Layer
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    incomplete: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a person should know about the conversion."""
        left_out = [f"not in the label scheme and left out: {', '.join(self.left_out)}"] if self.left_out else []
        return [*left_out, *self.incomplete]


def name_values(
    scheme: LabelScheme, layer: Layer, value_names: Iterable[Sequence[object]], *, lenient: bool
) -> NamedLayer:
    """Bring a label map whose values a list names into the form of a submission.

    Classes of another label set that make up one structure of the scheme (vertebrae, lobes) are merged.

    Parameters
    ----------
    layer : (X, Y, Z) uint16.
    value_names : pairs of a value and its name.
    lenient : leave out values whose names are not in the scheme; otherwise decoding refuses them.

    Raises
    ------
    LabelError
        Two values stand for the same structure, or for the same class of it.
    """
    named = dict(sorted((int(str(value)), str(name)) for value, name in value_names))
    listed = list(named.values())
    assigned = assign_structures(NameTable(scheme), listed, partial=True)
    names: list[str] = []
    left_out: list[str] = []
    new_value: dict[str, int] = {}  # of each structure
    lookup = np.zeros(MAX_LABEL + 1, dtype=np.uint16)
    for position, (value, name) in enumerate(named.items()):
        structure = assigned.structures.get(position)
        if structure is None and lenient:
            left_out.append(name)
        elif structure in new_value:
            lookup[value] = new_value[structure]
        else:
            names.append(assigned.name_of(position, listed))
            lookup[value] = len(names)
            if structure is not None:
                new_value[structure] = len(names)
    for value in np.unique(layer).tolist():
        if value and value not in named:  # a name that no scheme has: decoding refuses it with its voxels
            names.append(f"value {value}")
            lookup[value] = len(names)
        if len(names) > MAX_SEGMENTS:
            break
    return NamedLayer(lookup[layer], tuple(names), tuple(left_out), assigned.incomplete)


def check_mask(
    scheme: LabelScheme,
    image: Geometry,
    mask: Path,
    value_names: Sequence[tuple[int, str]] | None,
    *,
    lenient: bool,
    required: Sequence[str],
) -> list[str]:
    """Decode a mask as the job that imports it will, store nothing, and return what a person should know about it.

    Parameters
    ----------
    image : grid of its image.
    value_names : pairs of a value and its name; None for a ``.seg.nrrd``, which names its own segments.
    lenient : leave out values whose names are not in the scheme.
    required : names of the structures that the mask must judge.

    Returns
    -------
    Notes on what was left out, and on voxels of two structures.

    Raises
    ------
    LabelError, GeometryError, InvalidInput
        The mask cannot be imported.
    """
    notes: list[str] = []
    if value_names is None:
        decoded = decode(scheme, image, mask, [], partial=True)
        notes = list(decoded.incomplete)
    else:
        segmentation = read_segmentation(mask, image)
        named = name_values(scheme, segmentation.layers[0], value_names, lenient=lenient)
        segments = [Segment(name, 0, value) for value, name in enumerate(named.names, start=1)]
        decoded = decode_segments(scheme, Segmentation((named.layer,), None, segmentation.notes), segments)
        notes = named.notes
    decoded.check_coverage(required)
    overlaps = [f"{count:,} voxels of two structures: {pair}" for pair, count in decoded.overlaps.items()]
    empty = [name for name in decoded.ignored if not is_ignored(name)]
    ignored = [f"not in the label scheme, and without voxels: {', '.join(empty)}"] if empty else []
    return [*overlaps, *notes, *ignored]
