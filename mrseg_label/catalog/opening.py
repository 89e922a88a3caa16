"""Open a workspace with its catalogue."""

from __future__ import annotations

from pathlib import Path

from mrseg_label.catalog.database import Catalog, open_catalog
from mrseg_label.catalog.queries.models import ensure_bootstrap, get
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.workspace import Workspace


def open_workspace(root: Path) -> tuple[Workspace, Catalog]:
    """Open the workspace in ``root`` and its catalogue, brought to the newest migration."""
    workspace = Workspace.open(root)
    catalog = open_catalog(workspace.database_url)
    with catalog.read() as session:
        made = get(session, BOOTSTRAP) is not None
    if not made:
        with catalog.begin() as session:
            ensure_bootstrap(session)
    return workspace, catalog
