"""How far the two newest models disagree about a case."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.workspace import Workspace

CASES_COMPARED = 16


def ranked(workspace: Workspace, catalog: Catalog) -> list[str]:
    """Waiting acquisitions with drafts by two models, those that the models agree on least first."""
    with catalog.read() as session:
        pairs = rows.waiting_with_two_drafts(session, CASES_COMPARED)
    structures = len(workspace.scheme)
    scores = {
        acquisition_id: disagreement(workspace.path(newer), workspace.path(older), structures)
        for acquisition_id, newer, older in pairs
    }
    return sorted(scores, key=lambda acquisition_id: -scores[acquisition_id])


@lru_cache(maxsize=4096)
def disagreement(newer: Path, older: Path, structures: int) -> float:
    """One minus the mean DSC of two stored drafts of one grid, over structures that either has; stored files never change."""
    from mrseg_label.imaging.masks import load_label_map  # SciPy behind both: not before it is needed
    from mrseg_label.metrics import dice

    scores = dice(load_label_map(newer)[0], load_label_map(older)[0], structures)
    present = scores[~np.isnan(scores)]
    return 1.0 - float(present.mean()) if present.size else 0.0
