"""Compare model versions. Loads SciPy, which the other documents of models do without."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.registry.compare import compare
from mrseg_label.reports.documents.comparison import ComparisonOut


def read_comparison(workspace: OpenedWorkspace, first: str, second: str) -> ComparisonOut:
    """Compare two model versions on the held-out cases that both were evaluated on.

    Raises
    ------
    NotFound
        One of the versions does not exist.
    """
    with workspace.catalog.read() as session:
        found = compare(
            session, workspace.scheme, first, second, own_drafts=workspace.settings.promotion_draft_advantage
        )
    return ComparisonOut.of(found)
