"""Decode a submitted mask by the names of its segments.

Slicer's module exports a label map in the order of the segments on the screen: the k-th entry of
``label_info`` has voxel value k, whatever its ``idx`` says. A reader deletes, adds, renames and reorders
segments, so a value means nothing without its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.classes import assign_structures
from mrseg_label.segments.files import (
    MAX_SEGMENTS,
    Segment,
    Segmentation,
    read_segmentation,
)
from mrseg_label.segments.names import NameTable, check_name, is_ignored
from mrseg_label.text import listed

_AT_ONCE = 1 << 16  # voxels that fit into a processor's cache as 64-bit numbers


@dataclass(frozen=True)
class Decoded:
    """A submission in the label ids of the scheme.

    Attributes
    ----------
    mask : (X, Y, Z) uint8 on the image's grid.
    voxels : how many each structure has that the reader judged, by name in the order of the ids. Zero means
        absent: its segment was sent empty. A structure that is missing here was not judged: its segment was removed.
    renamed : segments whose names are not the scheme's own, with the structure that each was taken for.
    ignored : segments that were left out: background, scribbles, and empty ones of unknown name.
    overlaps : number of voxels in two segments, by ``"first < second"``; they went to the second.
    notes : what was reoriented, padded, cropped or rounded.
    incomplete : structures that only some of their classes make up, in words.
    """

    mask: NDArray[np.uint8]
    voxels: dict[str, int]
    renamed: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    overlaps: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    incomplete: tuple[str, ...] = ()

    def check_coverage(self, required: Sequence[str]) -> None:
        """Raise :class:`LabelError` unless a structure is judged, and every structure that is required."""
        if not self.voxels:
            raise LabelError(
                "no segment of this submission is a structure of the label scheme, so the case would count as annotated "
                "although no structure was judged; keep the segments of absent structures in the list, empty, "
                "and mark a case that cannot be read as unusable"
            )
        missing = [name for name in required if name not in self.voxels]
        if missing:
            raise LabelError(
                f"every submission must judge {', '.join(missing)}; add the missing segments, and leave them empty "
                "if the structures are not in the image"
            )

    def only_drawn(self, required: Sequence[str]) -> Decoded:
        """Leave out the empty segments of a reader who had no draft, apart from structures that are required.

        Such a reader's list has every structure from the start: that a segment is still empty does not mean that
        somebody looked for the structure.

        Raises
        ------
        LabelError
            Nothing is left.
        """
        kept = {name: count for name, count in self.voxels.items() if count or name in required}
        if self.voxels and not kept:
            raise LabelError(
                "nothing is drawn in this submission; without drafts (PRESEGMENTATION is off) an empty segment says "
                "nothing, unless its structure is among REQUIRED_STRUCTURES. Draw a structure, or mark a case that "
                "cannot be read as unusable"
            )
        return replace(self, voxels=kept)

    def report(self) -> dict[str, Any]:
        """Summarise for people what decoding changed, as a JSON object."""
        notes = [*self.notes, *self.incomplete]
        parts = {"renamed": self.renamed, "ignored": self.ignored, "overlaps": self.overlaps, "notes": notes}
        return {key: value for key, value in parts.items() if value}


def listed_names(label_info: object) -> list[str]:
    """Read the names of the segments in the order of the reader's list.

    Raises
    ------
    InvalidInput
        ``label_info`` is not a list of objects with a ``name``.
    """
    if not isinstance(label_info, Sequence) or isinstance(label_info, str | bytes):
        raise InvalidInput(f"label_info must be a list of segments, not {type(label_info).__name__}")
    if len(label_info) > MAX_SEGMENTS:
        raise InvalidInput(f"label_info lists {len(label_info)} segments; at most {MAX_SEGMENTS} are allowed")
    listed = []
    for position, entry in enumerate(label_info, start=1):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name.strip():
            raise InvalidInput(f"entry {position} of label_info has no name: {str(entry)[:100]}")
        listed.append(name)
    return listed


def decode(
    scheme: LabelScheme,
    image: Geometry,
    path: Path,
    label_info: object,
    max_bytes: int = MAX_VOXEL_BYTES,
    *,
    partial: bool = False,
) -> Decoded:
    """Decode an uploaded file.

    Parameters
    ----------
    path : the upload; its suffix tells its format. A ``.seg.nrrd`` names its own segments; in every other file
        value k is the k-th entry of ``label_info``.
    label_info : as the client sends it, ``[{"name", "idx"}...]``; ``idx`` is not used.
    partial : take a structure also where only some of its classes are listed, as
        :func:`mrseg_label.segments.classes.assign_structures` does.

    Raises
    ------
    LabelError
        Names or values cannot be decoded; the message lists those and the names of the scheme.
    InvalidInput, GeometryError, TooLarge
        As :func:`mrseg_label.segments.files.read_segmentation`.
    """
    listed = listed_names(label_info)
    segmentation = read_segmentation(path, image, max_bytes)
    segments = segmentation.segments
    if segments is None or (listed and not path.name.lower().endswith(SEGMENTATION_SUFFIX)):
        segments = tuple(Segment(name, 0, value) for value, name in enumerate(listed, start=1))
    return decode_segments(scheme, segmentation, segments, partial=partial)


def decode_segments(
    scheme: LabelScheme, segmentation: Segmentation, segments: Sequence[Segment], *, partial: bool = False
) -> Decoded:
    """Decode label maps by the segments that name their values; see :func:`decode`."""
    meaning = _structures(scheme, segments, partial=partial)
    structures, ignored = meaning.structures, meaning.ignored
    overlaps: dict[str, int] = {}
    if len(segmentation.layers) == 1:  # nothing can overlap: voxels are counted and converted once
        merged = segmentation.layers[0]
        of_value, sent = _of_values(merged, 0, segments, meaning.places)
        kept = sent
    else:
        merged, sent, overlaps = _merge(segmentation, segments, meaning.places)
        of_value = np.arange(len(segments) + 1, dtype=np.uint16)
        kept = _count(merged, len(segments))
    known = {*np.flatnonzero(np.isin(meaning.places, list(structures))).tolist(), *ignored}
    unknown = [p for p in range(1, len(segments) + 1) if p not in known]
    if filled := [p for p in unknown if sent[p]]:
        listing = ", ".join(f"{segments[p - 1].name!r} ({sent[p]:,} voxels)" for p in filled)
        raise LabelError(
            f"segments that are not in the label scheme: {listing}; rename or delete them. "
            f"The scheme has: {', '.join(scheme.names)}"
        )
    table = np.zeros(len(segments) + 1, dtype=np.uint8)  # position in the list, from 1, to the scheme's id
    for position, structure in structures.items():
        table[position] = scheme[structure].id
    # The reader did not leave a segment empty that later ones cover completely: it counts as not judged.
    covered = [p for p in structures if sent[p] and not kept[p]]
    notes = [f"{segments[p - 1].name!r} is completely covered by later segments and was left out" for p in covered]
    judged = {name: int(kept[p]) for p, name in structures.items() if p not in covered}
    return Decoded(
        mask=table[of_value][merged],
        voxels={s.name: judged[s.name] for s in scheme if s.name in judged},
        renamed=meaning.renamed,
        ignored=[segments[p - 1].name for p in sorted([*ignored, *unknown])],
        overlaps=overlaps,
        notes=[*segmentation.notes, *notes],
        incomplete=meaning.incomplete,
    )


@dataclass(frozen=True)
class _Meaning:
    """What the positions of a list of segments (from 1) mean.

    Attributes
    ----------
    structures : structure of each position that stands for one; of several classes the first.
    places : the position that stands for each position; 0 for what is left out.
    ignored : positions of background and scribbles.
    renamed : structure of each name that is not the scheme's own.
    incomplete : structures that only some of their classes make up, in words.
    """

    structures: dict[int, str]
    places: NDArray[np.uint16]
    ignored: set[int]
    renamed: dict[str, str]
    incomplete: tuple[str, ...]


def _structures(scheme: LabelScheme, segments: Sequence[Segment], *, partial: bool) -> _Meaning:
    """Find what each position in the list (from 1) means."""
    names = [check_name(segment.name) for segment in segments]
    assigned = assign_structures(NameTable(scheme), names, partial=partial)
    first: dict[str, int] = {}
    meaning = _Meaning({}, np.arange(len(names) + 1, dtype=np.uint16), set(), {}, assigned.incomplete)
    unknown: set[str] = set()
    for position, name in enumerate(names, start=1):
        structure = assigned.structures.get(position - 1)
        if structure is not None:
            meaning.places[position] = first.setdefault(structure, position)
            meaning.structures[first[structure]] = structure
            if name not in (structure, scheme[structure].shown_name):
                meaning.renamed[name] = structure
        elif is_ignored(name):
            meaning.ignored.add(position)
        elif name in unknown:
            raise LabelError(f"two segments have the name {name!r}; rename or merge them")
        else:
            unknown.add(name)
    meaning.places[list(meaning.ignored)] = 0
    return meaning


def _merge(
    segmentation: Segmentation, segments: Sequence[Segment], places: NDArray[np.uint16]
) -> tuple[NDArray[np.uint16], NDArray[np.int64], dict[str, int]]:
    """Merge layers into positions in the list (the later of overlapping segments); count voxels and overlaps.

    Parameters
    ----------
    places : position that stands for each position of the list: the first of the same structure, 0 to leave it out.
    """
    merged = np.zeros_like(segmentation.layers[0])
    sent = np.zeros(len(segments) + 1, dtype=np.int64)
    overlaps: dict[str, int] = {}
    for index, layer in enumerate(segmentation.layers):
        of_value, counts = _of_values(layer, index, segments, places)
        positions = of_value[layer]
        sent += counts
        both = (merged > 0) & (positions > 0) & (merged != positions)
        if both.any():
            first, second = np.minimum(merged[both], positions[both]), np.maximum(merged[both], positions[both])
            pairs, counts = np.unique(first.astype(np.int64) * MAX_SEGMENTS * 2 + second, return_counts=True)
            for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
                under, over = divmod(pair, MAX_SEGMENTS * 2)
                key = f"{segments[under - 1].name} < {segments[over - 1].name}"
                overlaps[key] = overlaps.get(key, 0) + count
        np.maximum(merged, positions, out=merged)
    return merged, sent, overlaps


def _of_values(
    layer: NDArray[np.uint16], index: int, segments: Sequence[Segment], places: NDArray[np.uint16]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Find the position that stands for each value of one layer, and how many voxels each position was sent with."""
    positions = {segment.value: p for p, segment in enumerate(segments, start=1) if segment.layer == index}
    present = _count(layer, max(positions, default=0))
    nameless = [int(value) for value in np.flatnonzero(present) if value and value not in positions]
    if nameless:
        raise LabelError(
            f"voxels with the value{'s' if len(nameless) > 1 else ''} {listed(nameless, 20)} have no name: "
            f"{len(segments)} segments are listed ({listed((s.name for s in segments), 60) or 'none'}); "
            "the k-th listed segment has the value k"
        )
    of_value = np.zeros(len(present), dtype=np.uint16)
    for value, position in positions.items():
        of_value[value] = places[position]
    sent = np.zeros(len(segments) + 1, dtype=np.int64)
    np.add.at(sent, of_value, present)
    return of_value, sent


def _count(layer: NDArray[np.uint16], highest: int) -> NDArray[np.int64]:
    """Count the voxels of each value, at least up to the given one."""
    voxels = layer.ravel(order="K")
    counts = np.zeros(max(highest, int(voxels.max(initial=0))) + 1, dtype=np.int64)
    for start in range(0, len(voxels), _AT_ONCE):  # bincount makes 64-bit numbers of all that it is given
        part = np.bincount(voxels[start : start + _AT_ONCE])
        counts[: len(part)] += part
    return counts
