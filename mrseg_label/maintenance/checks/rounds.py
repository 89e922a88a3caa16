"""Check of the rounds: what the training of the newest one had to do without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import rounds
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.workspace import Workspace


def check_newest_round(workspace: Workspace) -> Iterator[Check]:
    """Show the warnings of the newest round that is done, such as a CPU in the place of a GPU."""
    with closing(Catalog(workspace.database_url)) as catalog, catalog.read() as session:
        done = rounds.newest_done(session)
        warnings = [] if done is None else [str(text) for text in done.result.get("warnings", [])]
    if done is None:
        return
    if warnings:
        advice = f"mend it, then start a new round; mrseg-label rounds show {done.number} and rounds log {done.number} say more"
        yield Check("newest round", State.WARNING, f"round {done.number}: {'; '.join(warnings)}", advice)
    else:
        yield Check("newest round", State.OK, f"round {done.number} was trained as it was meant to be")
