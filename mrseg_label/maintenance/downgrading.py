"""Bring the database of a workspace back to an older migration, for an older version of mrseg-label."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import heartbeats, rounds, workers
from mrseg_label.errors import Conflict
from mrseg_label.workspace import Workspace

ALIVE_SECONDS = 150.0


def downgrade(root: Path, migration: str) -> None:
    """Undo the migrations after one; what the older schema cannot hold is lost.

    Raises
    ------
    InvalidInput
        There is no such migration, or the database is not past it.
    Conflict
        A server or a worker is at work, a round is in progress, or the older version would take what the database holds for
        something else, such as blind readings for annotations.
    """
    workspace = Workspace.open(root)
    with closing(Catalog(workspace.database_url)) as catalog:
        if catalog.is_current():  # an older one has other tables, and was gone back to from here
            with catalog.read() as session:
                _check_quiet(catalog, session)
        catalog.downgrade(migration)


def is_at_work(catalog: Catalog, session: Session) -> bool:
    """Whether a server or a worker of this workspace was alive a moment ago."""
    since = catalog.now(session) - timedelta(seconds=ALIVE_SECONDS)
    server = heartbeats.latest(session)
    return (server is not None and server.seen_at > since) or any(
        worker.seen_at > since for worker in workers.all_of(session)
    )


def _check_quiet(catalog: Catalog, session: Session) -> None:
    if is_at_work(catalog, session):
        raise Conflict(
            f"a server or a worker of this workspace was alive within the last {ALIVE_SECONDS:.0f} seconds; stop them all, "
            "and try again then"
        )
    if (present := rounds.active(session)) is not None:
        raise Conflict(
            f"round {present.number} is in progress; let it end, or run: mrseg-label rounds cancel {present.number}"
        )
