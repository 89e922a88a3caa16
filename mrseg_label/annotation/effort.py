"""Measure how much work an annotation was: a job after every submission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from mrseg_label.annotation.record import RESTORED_FROM
from mrseg_label.annotation.working_time import seconds_at_work
from mrseg_label.catalog.derived_files import is_whole
from mrseg_label.catalog.draft_details import details_of, version_of
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.tables import Annotation, Presegmentation
from mrseg_label.catalog.types import finite
from mrseg_label.errors import NotFound
from mrseg_label.jobs import JobContext
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import Effort, effort, per_structure
from mrseg_label.segments.files import read_label_map


def run(context: JobContext) -> None:
    """Measure what a reader changed in the pre-segmentation, and the time at work, for a ``measure_effort`` job.

    Writes ``Annotation.effort`` and the measures of its structures. An annotation without a pre-segmentation is
    compared with an empty one: everything was drawn by hand. Running again gives the same result.
    """
    with context.catalog.read() as session:
        annotation = rows.get(session, context.payload["annotation"])
    if annotation is None:
        raise NotFound(f"there is no annotation {context.payload['annotation']!r}")
    measure(context, annotation)


def measure(context: JobContext, annotation: Annotation) -> bool:
    """Measure one annotation; returns whether it could be."""
    workspace, scheme = context.workspace, context.workspace.scheme
    if RESTORED_FROM in annotation.report:  # its work was measured when it was first submitted
        return False
    with context.catalog.read() as session:
        presegmentation = (
            presegmentations.get(session, annotation.presegmentation_id) if annotation.presegmentation_id else None
        )
    if presegmentation is not None and not is_whole(workspace, presegmentation):
        return (
            False  # what the reader changed is not known any more; compared with an empty draft it would be everything
        )
    mask, geometry = read_label_map(workspace.path(annotation.path))
    judged = annotation.judged
    start = np.zeros_like(mask)
    compared_with = None
    if presegmentation is not None:
        presegmented, grid = read_label_map(workspace.path(presegmentation.path))
        if geometry.matches(grid):
            start, compared_with = _judged_part(scheme, presegmented, judged), presegmentation.id
    slice_axis = next(axis for axis, code in enumerate(geometry.axcodes) if code in "SI")
    measured = effort(start, mask, len(scheme), geometry.spacing_mm, scheme.nsd_tolerances_mm, slice_axis)
    context.check()
    with context.catalog.begin() as session:
        seconds = seconds_at_work(session, annotation, workspace.settings.pause_minutes)
        drafted_by = {} if compared_with is None else _mixed_versions(presegmentation, judged)
        _write(session, annotation.id, measured, context, judged, compared_with, seconds, drafted_by)
    return True


def _write(
    session: Session,
    annotation_id: str,
    measured: Effort,
    context: JobContext,
    judged: set[str],
    compared_with: str | None,
    seconds: float | None,
    drafted_by: Mapping[str, str],
) -> None:
    scheme = context.workspace.scheme
    annotation = rows.get(session, annotation_id)
    assert annotation is not None
    dice = per_structure(scheme, measured.dice_by_structure)
    path = dict(zip(scheme.names, measured.added_path_by_structure.tolist(), strict=True))
    edited = dict(zip(scheme.names, measured.edited_by_structure.tolist(), strict=True))
    edits = dict(zip(scheme.names, measured.edits_by_structure.tolist(), strict=True))
    surface = per_structure(scheme, measured.surface_changed_by_structure)
    result: dict[str, Any] = {
        "edited_voxels": measured.edited_voxels,
        "edited_ml": measured.edited_ml,
        "edits": measured.edits,
        "surface_changed": finite(measured.surface_changed),
        "added_path_voxels": measured.added_path_voxels,
        "added_path_mm": measured.added_path_mm,
        "mean_dsc": None if np.isnan(measured.mean_dice) else measured.mean_dice,
        "accepted_unchanged": measured.accepted_unchanged and compared_with is not None,
        "draft": compared_with,
        "model_version": annotation.model_version if compared_with else None,
        "seconds": annotation.seconds,
        "sitting_seconds": seconds,  # at work, with pauses left out
        "added_path_by_structure": {name: count for name, count in path.items() if name in judged and count},
    }
    annotation.effort = result
    for item in annotation.structures:
        if item.structure in judged:
            item.edited_voxels = edited[item.structure]
            item.edits, item.surface_changed = edits[item.structure], surface[item.structure]
            item.dsc = dice[item.structure] if compared_with else None
            item.drafted_by = drafted_by.get(item.structure)


def _mixed_versions(presegmentation: Presegmentation | None, judged: set[str]) -> dict[str, str]:
    """The model version that each structure of a mixed draft is from; empty if it has one source."""
    if presegmentation is None or "mixture" not in details_of(presegmentation):
        return {}
    return {name: version_of(presegmentation, name) for name in judged}


def _judged_part(
    scheme: LabelScheme, presegmentation: NDArray[np.integer[Any]], judged: set[str]
) -> NDArray[np.integer[Any]]:
    """Remove from a pre-segmentation (X, Y, Z) the structures that the reader did not judge: this is no edit."""
    keep = np.zeros(len(scheme) + 1, dtype=presegmentation.dtype)
    for structure in scheme:
        if structure.name in judged:
            keep[structure.id] = structure.id
    part: NDArray[np.integer[Any]] = keep[presegmentation]
    return part
