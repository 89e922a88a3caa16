"""Measure what is compared of masks, each file once: its structures, and how far it agrees with that of a neighbouring station.

What was measured is kept as soon as it is known, so that work that is cut short goes on where it ended; and one job measures
so many files that what comes after it need not wait for long.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.annotation.suspicious import Overlap
from mrseg_label.catalog.queries import compared_masks, readings
from mrseg_label.catalog.queries.compared_masks import Mask
from mrseg_label.errors import MrsegError
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.segments.files import read_label_map

MOST_FILES = 100  # that one job reads
_SEAMS = ""  # among what is stored of a pair by structure: what ends at their seam


def measure(context: JobContext, masks: Sequence[Mask]) -> tuple[list[Mask], list[Overlap], bool]:
    """Measure what was not measured yet.

    Returns
    -------
    masks : with the shapes that are known.
    overlaps : of masks of neighbouring stations, those that are known.
    finished : whether nothing is left to another job.
    """
    measured, left = _measure_shapes(context, masks)
    overlaps, finished = _measure_overlaps(context, measured, left)
    return measured, overlaps, finished


def _measure_shapes(context: JobContext, masks: Sequence[Mask]) -> tuple[list[Mask], int]:
    from mrseg_label.imaging.shapes import measure_shapes  # imported here: SciPy is behind it

    workspace, anatomy = context.workspace, anatomy_of(context.workspace.scheme)
    with context.catalog.read() as session:
        known = compared_masks.shapes(session, {mask.digest for mask in masks})
    left = MOST_FILES
    for mask in masks:
        if mask.digest in known or left == 0:
            continue
        context.check()
        left -= 1
        try:
            label_map, geometry = read_label_map(workspace.path(mask.path))
        except (MrsegError, OSError):
            continue  # doctor --verify names the file
        shapes = {name: one.to_json() for name, one in measure_shapes(label_map, geometry, anatomy).items()}
        known[mask.digest] = shapes
        with context.catalog.begin() as session:
            compared_masks.store_shapes(session, mask.digest, shapes, context.catalog.now(session))
    return [replace(mask, shapes=known.get(mask.digest)) for mask in masks], left


def _measure_overlaps(context: JobContext, masks: Sequence[Mask], left: int) -> tuple[list[Overlap], bool]:
    from mrseg_label.imaging.seams import fields_meet

    pairs = [
        (pair, readings.ordered(pair[0].digest, pair[1].digest))
        for pair in _neighbours(masks)
        if fields_meet(*(Geometry.from_json(mask.geometry) for mask in pair))
    ]
    with context.catalog.read() as session:
        known = readings.agreements(session, (digests for _, digests in pairs))
    finished = left > 0
    found = []
    for masks_of_pair, digests in pairs:
        if _SEAMS not in known.get(digests, {}) and left > 0:
            context.check()
            left -= 2
            measured = _read_and_compare(context, masks_of_pair, digests)
            if measured is None:
                continue
            known[digests] = measured
            with context.catalog.begin() as session:
                readings.store(session, digests, measured, context.catalog.now(session))
        if digests in known:
            by_digest = sorted(masks_of_pair, key=lambda mask: mask.digest)
            structures = {name: values for name, values in known[digests].items() if name != _SEAMS}
            seams = known[digests].get(_SEAMS, {}).get("seams", ())
            found.append(Overlap(by_digest[0].key, by_digest[1].key, structures, seams))
        finished &= _SEAMS in known.get(digests, {})
    return found, finished


def _neighbours(masks: Sequence[Mask]) -> list[tuple[Mask, Mask]]:
    """Pairs of masks of two cases of one session of a participant; second readings aside."""
    groups: dict[tuple[str, str], list[Mask]] = {}
    for mask in masks:
        if mask.is_final and mask.geometry:
            groups.setdefault((mask.participant, mask.session), []).append(mask)
    return [
        (first, second)
        for group in groups.values()
        for first, second in itertools.combinations(group, 2)
        if first.case != second.case and first.digest != second.digest
    ]


def _read_and_compare(
    context: JobContext, pair: tuple[Mask, Mask], digests: tuple[str, str]
) -> dict[str, dict[str, Any]] | None:
    by_digest = {mask.digest: mask for mask in pair}
    try:
        first, second = (read_label_map(context.workspace.path(by_digest[one].path)) for one in digests)
    except (MrsegError, OSError):
        return None
    scheme = context.workspace.scheme
    seams = compare_seams(scheme, *first, *second)
    return {**(compare_overlap(scheme, *first, *second) or {}), _SEAMS: {"seams": seams}}


def compare_overlap(
    scheme: LabelScheme,
    first: NDArray[np.integer[Any]],
    first_grid: Geometry,
    second: NDArray[np.integer[Any]],
    second_grid: Geometry,
) -> dict[str, dict[str, Any]] | None:
    """Compare two label maps where both show the body, as JSON values; None if their fields do not overlap.

    Returns
    -------
    ``dsc`` and ``ml`` (the volumes there of the first and of the second) of each structure that either has there.
    """
    from mrseg_label.imaging.overlaps import overlap_volumes

    volumes = overlap_volumes(first, first_grid, second, second_grid, len(scheme))
    if volumes is None:
        return None
    return {
        name: {"dsc": 2 * both / (one + other), "ml": [round(one, 3), round(other, 3)]}
        for name, (one, other, both) in zip(scheme.names, volumes.tolist(), strict=True)
        if one + other > 0
    }


def compare_seams(
    scheme: LabelScheme,
    first: NDArray[np.integer[Any]],
    first_grid: Geometry,
    second: NDArray[np.integer[Any]],
    second_grid: Geometry,
) -> list[dict[str, Any]]:
    """Find the structures that end at the seam of two label maps, as JSON values.

    Returns
    -------
    ``structure``, ``of`` (0 or 1: the label map that has it up to its edge), ``towards`` (``head``, ``foot``) and ``mm2`` of each.
    """
    from mrseg_label.imaging.seams import find_seams

    masks = ((first, first_grid), (second, second_grid))
    return [
        {"structure": scheme.names[seam.label - 1], "of": of, "towards": seam.towards, "mm2": round(seam.mm2, 1)}
        for of, (one, other) in enumerate((masks, masks[::-1]))
        for seam in find_seams(*one, *other)
        if seam.label <= len(scheme)
    ]


def names_of_pairs(scheme: LabelScheme) -> Mapping[str, str]:
    """The structure on the other side of the body, by structure."""
    return {one.name: one.paired_with for one in scheme if one.paired_with is not None}
