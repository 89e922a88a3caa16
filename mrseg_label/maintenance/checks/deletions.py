"""Check that no deletion of participants was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import deleted
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.workspace import Workspace


def check_deletions(workspace: Workspace) -> Iterator[Check]:
    """Show that participants are not deleted everywhere yet, or how many were deleted."""
    with closing(Catalog(workspace.database_url)) as catalog, catalog.read() as session:
        waiting = deleted.unfinished(session)
        people = len(deleted.all_rows(session))
    if waiting:
        detail = f"a deletion of participants that began at {waiting[0].started_at:%Y-%m-%d %H:%M} UTC is not finished"
        advice = "unless it runs now, finish it: mrseg-label participants delete --apply"
        yield Check("deletions", State.FAILED, detail, advice)
    elif people:
        yield Check("deletions", State.OK, f"{people} participants were deleted on request or announced as withdrawn")
