"""Audit the sides and directions of the masks of a snapshot, and report what is doubted. Nothing is left out because of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mrseg_label.catalog.tables import Annotation
from mrseg_label.errors import MrsegError
from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.audit import audit
from mrseg_label.segments.files import read_label_map

DOUBTS_KEY = "doubts"  # of Round.result, and of a card


def audit_masks(masks: Iterable[tuple[Annotation, Path]], anatomy: Anatomy) -> list[dict[str, Any]]:
    """Audit masks as a round uses them, with the structures that were filled.

    Returns
    -------
    ``annotation``, ``examination`` and ``doubts`` (:meth:`mrseg_label.imaging.audit.Doubt.to_json`) of each that is doubtful.
    """
    found = []
    for annotation, path in masks:
        try:
            label_map, geometry = read_label_map(path)
        except MrsegError:
            continue  # a file that cannot be read is reported where it is used
        doubts = [doubt.to_json() for doubt in audit(label_map, geometry, anatomy)]
        if doubts:
            found.append({"annotation": annotation.id, "examination": annotation.examination_id, "doubts": doubts})
    return found


def count_doubts(doubtful: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count doubtful masks for a card, which names no case: how many there are, and by structure."""
    by_structure: dict[str, int] = {}
    for mask in doubtful:
        for structure in {doubt["structure"] or "everything" for doubt in mask["doubts"]}:
            by_structure[structure] = by_structure.get(structure, 0) + 1
    return {"masks": len(doubtful), "by_structure": dict(sorted(by_structure.items()))}


def doubts_warning(doubtful: Sequence[dict[str, Any]], number: int) -> str | None:
    """Tell an administrator that masks of a round are doubtful; None if none is."""
    if not doubtful:
        return None
    first = doubtful[0]
    return (
        f"{len(doubtful)} masks of round {number} may have mixed-up sides or directions, among them annotation {first['annotation']}: "
        f"{first['doubts'][0]['text']}. They were used; look at them: mrseg-label doubts --kind annotation"
    )
