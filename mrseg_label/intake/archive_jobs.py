"""Import from an archive as a job, which the dashboard and REST start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.dicomweb import DicomwebServer, Query
from mrseg_label.errors import ConfigurationError, Conflict, NotFound, Unavailable
from mrseg_label.files import make_folder, write_durably
from mrseg_label.ids import new_id
from mrseg_label.intake.dicomweb import ListedStudy, check_archive_options, import_studies, list_studies
from mrseg_label.intake.job_results import result_of
from mrseg_label.intake.options import ImportOptions
from mrseg_label.jobs import JobContext, queue
from mrseg_label.workspace import Workspace

MAX_SEARCHED = 100  # studies that a search shows
_FOLDER = "inbox"
_KEPT_SECONDS = 14 * 24 * 3600.0
_PROGRESS_SECONDS = 2.0
_OPTIONS = ("participant", "licence", "cohort", "evaluation_only", "propagate")


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    studies : the first of them.
    more : whether there are more.
    """

    archive: str
    studies: Sequence[ListedStudy]
    more: bool


def search(workspace: OpenedWorkspace, query: Query) -> Found:
    """List the first studies of a query in the archive of the settings.

    Raises
    ------
    Conflict, InvalidInput, Unavailable
        No archive is configured, the query finds too much, or the archive does not answer.
    """
    server = _server(workspace, lambda: None)
    try:
        studies = list(islice(list_studies(workspace, server, query), MAX_SEARCHED + 1))
    finally:
        server.close()
    return Found(server.name, studies[:MAX_SEARCHED], len(studies) > MAX_SEARCHED)


def start(workspace: OpenedWorkspace, query: Query, options: ImportOptions) -> str:
    """Enqueue the import of the studies of a query; returns the id of the job.

    The query may name people by their accession numbers. So it waits in a file of its own, and the job has only the file's name.

    Raises
    ------
    Conflict, InvalidInput, Unavailable
        No archive is configured, or an option cannot be used.
    """
    check_archive_options(options)
    _server(workspace, lambda: None).close()
    _forget_old(workspace)
    name = new_id("qr")
    make_folder(workspace.root / _FOLDER)
    write_durably(_file(workspace, name), json.dumps(asdict(query)).encode())
    usual = ImportOptions()
    chosen = {key: getattr(options, key) for key in _OPTIONS if getattr(options, key) != getattr(usual, key)}
    with workspace.catalog.begin() as session:
        payload = {"entry": "DICOM archive", "query": name, "options": chosen, "actor": options.actor}
        job = queue.enqueue(session, queue.IMPORT_IMAGES, payload, key=name)
        audit.record(session, options.actor, "import.start", "DICOM archive")
        return job.id


def run(context: JobContext) -> None:
    """Import the studies of a query, as an ``import_images`` job; where the archive goes away, another attempt goes on.

    Raises
    ------
    NotFound
        The file with the query is not there any more.
    Unavailable
        The archive does not answer.
    """
    workspace, file = context.workspace, _file(context.workspace, str(context.payload["query"]))
    if not file.is_file():
        raise NotFound("the query of this import is not there any more; start the import again")
    stored = json.loads(file.read_text())
    query = Query(**{**stored, **{key: tuple(stored[key]) for key in ("modalities", "identifiers")}})
    options = ImportOptions(**context.payload["options"], actor=context.payload["actor"])
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        context.check()
        if time.monotonic() - told >= _PROGRESS_SECONDS:
            told = time.monotonic()
            context.progress(done=done, total=total)

    server = _server(workspace, context.check)
    try:
        outcome = import_studies(workspace, server, query, options, tell)
    finally:
        server.close()
    if outcome.stopped:
        raise Unavailable(outcome.stopped)
    with context.publish(result_of(outcome.report)):
        pass
    file.unlink(missing_ok=True)


def _server(workspace: Workspace, pulse: Callable[[], None]) -> DicomwebServer:
    try:
        return DicomwebServer(workspace.settings, pulse=pulse)
    except ConfigurationError as error:  # over HTTP it is no failure of the server, but of what it is asked for
        raise Conflict(str(error)) from error


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.root / _FOLDER / f".{name}.json"


def _forget_old(workspace: Workspace) -> None:
    """Remove queries of imports that failed long ago."""
    for file in (workspace.root / _FOLDER).glob(".qr-*.json"):
        if file.stat().st_mtime < time.time() - _KEPT_SECONDS:
            file.unlink(missing_ok=True)
