"""Open a workspace with its catalogue."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from mrseg_label.catalog.database import Catalog, open_catalog
from mrseg_label.catalog.queries.models import ensure_bootstrap, get
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.workspace import Workspace


@dataclass(frozen=True)
class OpenedWorkspace(Workspace):
    """A workspace with its catalogue: the value that services take."""

    catalog: Catalog

    @classmethod
    def of(cls, workspace: Workspace, catalog: Catalog) -> OpenedWorkspace:
        """Combine a workspace with a catalogue that was opened separately, at whatever migration."""
        return cls(workspace.root, workspace.settings, catalog)

    def close(self) -> None:
        """Close all connections to the database."""
        self.catalog.close()


def open_workspace(root: Path) -> OpenedWorkspace:
    """Open the workspace in ``root``, and its catalogue, which is upgraded to the newest migration.

    Raises
    ------
    ConfigurationError
        The folder is not a workspace, its settings are invalid, or a newer version made its database.
    """
    workspace = Workspace.open(root)
    opened = OpenedWorkspace.of(workspace, open_catalog(workspace.database_url))
    with opened.catalog.read() as session:
        has_bootstrap = get(session, BOOTSTRAP) is not None
    if not has_bootstrap:
        # PostgreSQL: another process may open the new workspace at the same moment.
        with suppress(IntegrityError), opened.catalog.begin() as session:
            ensure_bootstrap(session)
    return opened
