"""Complete ids and names at the shell: ``mrseg-label --install-completion`` once, then the Tab key.

Participants are not completed: their codes do not belong into the history of a shell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

_SHOWN = 200  # of a million examinations nobody reads more
Completion = Callable[[typer.Context, str], list[tuple[str, str]]]


def completes(what: str) -> Completion:
    """Return what completes names of a kind, which is a function of :mod:`mrseg_label.catalog.queries.completion`."""

    def complete(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return _read(what, context.params, incomplete)
        except Exception:  # noqa: BLE001 - a shell that waits for a word shows nothing rather than a traceback
            return []

    return complete


def _read(what: str, given: dict[str, object], start: str) -> list[tuple[str, str]]:
    """Read the names from the workspace, whose database is neither made nor upgraded."""
    from mrseg_label.catalog import Catalog
    from mrseg_label.catalog.queries import completion
    from mrseg_label.workspace import Workspace

    folder = given.get("folder") or given.get("workspace") or "."
    url = Workspace.open(Path(str(folder))).database_url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return []
    catalog = Catalog(url)
    try:
        with catalog.read() as session:
            found: list[tuple[str, str]] = getattr(completion, what)(session, start, _SHOWN)
        return found
    finally:
        catalog.close()


EXAMINATIONS = completes("examinations")
ANNOTATIONS = completes("annotation_ids")
VERSIONS = completes("versions")
ROUNDS = completes("rounds")
ACCOUNTS = completes("accounts")
FAILED_JOBS = completes("failed_jobs")
