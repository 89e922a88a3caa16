"""Rank cases by how far the two newest models disagree about them."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.errors import MrsegError


def ranked(workspace: OpenedWorkspace) -> list[str]:
    """Rank waiting acquisitions with pre-segmentations by two models, those that the models agree on least first."""
    with workspace.catalog.read() as session:
        pairs = presegmentations.waiting_with_two(session, workspace.catalog.now(session))
    structures = len(workspace.scheme)
    scores = {}
    for acquisition_id, newer, older in pairs:
        # A draft whose file is damaged is made again when it is requested; until then its case has no rank.
        with suppress(MrsegError, OSError):
            scores[acquisition_id] = disagreement(workspace.path(newer), workspace.path(older), structures)
    return sorted(scores, key=lambda acquisition_id: -scores[acquisition_id])


@lru_cache(maxsize=4096)
def disagreement(newer: Path, older: Path, structures: int) -> float:
    """Compute one minus the mean DSC of two stored label maps on one grid, over structures of which either has enough.

    A few stray voxels are no disagreement (:func:`mrseg_label.metrics.scoring.agreement`).
    Results are cached: stored files never change.
    """
    import numpy as np  # imported here: this strategy alone reads masks

    from mrseg_label.metrics import agreement
    from mrseg_label.segments.files import read_label_map

    scores = agreement(read_label_map(newer)[0], read_label_map(older)[0], structures)
    present = scores[~np.isnan(scores)]
    return 1.0 - float(present.mean()) if present.size else 0.0
