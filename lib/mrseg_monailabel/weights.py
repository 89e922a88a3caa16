"""Which weights make the drafts, in words for the radiologist."""

from __future__ import annotations

from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.workspace import Workspace


def weights_in_use(workspace: Workspace, version: str) -> str:
    """Words on the weights behind a model version: a round's own, or TotalSegmentator's (published or stand-in)."""
    return "weights of this workspace's own training" if version != BOOTSTRAP else "TotalSegmentator"
