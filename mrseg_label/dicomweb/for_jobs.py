"""What jobs at the archive need: the server that the settings name, and their queries, each in a file of its own.

A query may name people by their accession numbers. So the row of a job has only the name of a file, which the owner of the workspace
alone can read, and which is removed when the job is done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mrseg_label.dicomweb.query import Query
from mrseg_label.dicomweb.server import DicomwebServer
from mrseg_label.errors import ConfigurationError, Conflict, NotFound
from mrseg_label.files import make_folder, write_durably
from mrseg_label.ids import new_id
from mrseg_label.workspace import Workspace

_FOLDER = "inbox"
_KEPT_SECONDS = 14 * 24 * 3600.0


def configured_server(workspace: Workspace, pulse: Callable[[], None] = lambda: None) -> DicomwebServer:
    """Connect with the archive of DICOMWEB_URL.

    Raises
    ------
    Conflict
        None is configured, or its settings cannot be used: over HTTP that is no failure of the server, but of what it is asked for.
    """
    try:
        return DicomwebServer(workspace.settings, pulse=pulse)
    except ConfigurationError as error:
        raise Conflict(str(error)) from error


def keep_query(workspace: Workspace, query: Query) -> str:
    """Write a query to a file; returns its name. Files of jobs that failed long ago are removed."""
    for file in (workspace.root / _FOLDER).glob(".qr-*.json"):
        if file.stat().st_mtime < time.time() - _KEPT_SECONDS:
            file.unlink(missing_ok=True)
    name = new_id("qr")
    make_folder(workspace.root / _FOLDER)
    write_durably(_file(workspace, name), json.dumps(asdict(query)).encode())
    return name


def read_query(workspace: Workspace, name: str) -> Query:
    """Read the query of a job.

    Raises
    ------
    NotFound
        The file is not there any more.
    """
    file = _file(workspace, name)
    if not file.is_file():
        raise NotFound("the query of this job is not there any more; start the import or the sending again")
    stored = json.loads(file.read_text())
    return Query(**{**stored, **{key: tuple(stored[key]) for key in ("modalities", "identifiers")}})


def forget_query(workspace: Workspace, name: str) -> None:
    """Remove the query of a job that is done."""
    _file(workspace, name).unlink(missing_ok=True)


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.root / _FOLDER / f".{name}.json"
