"""Check of the numbers of cases that the database keeps while cases change."""

from __future__ import annotations

from contextlib import closing

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import case_counts
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.text import listed
from mrseg_label.workspace import Workspace

_SHOWN = 5


def check_counts(workspace: Workspace, *, mend: bool = False) -> Check:
    """Count the cases, and compare with what is kept; ``mend`` stores what was counted."""
    with closing(Catalog(workspace.database_url)) as catalog:
        with catalog.read() as session:
            found = case_counts.find_differences(session)
        if not found:
            return Check("counts", State.OK, "the kept numbers of cases are those that are counted")
        differences = listed(found, _SHOWN)
        if mend:
            case_counts.recount(catalog)
            return Check("counts", State.OK, f"counted anew; before, {differences}")
    return Check(
        "counts",
        State.FAILED,
        f"the kept numbers of cases differ from those that are counted: {differences}",
        "count them anew: mrseg-label doctor --mend",
    )
