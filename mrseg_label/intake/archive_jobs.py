"""Import from an archive as a job, which the dashboard and REST start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.dicomweb import Query
from mrseg_label.dicomweb.for_jobs import configured_server, forget_query, keep_query, read_query
from mrseg_label.errors import Unavailable
from mrseg_label.intake.dicomweb import ListedStudy, check_archive_options, import_studies, list_studies
from mrseg_label.intake.job_results import result_of
from mrseg_label.intake.options import ImportOptions
from mrseg_label.jobs import JobContext, queue

MAX_SEARCHED = 100  # studies that a search shows
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
    server = configured_server(workspace)
    try:
        studies = list(islice(list_studies(workspace, server, query), MAX_SEARCHED + 1))
    finally:
        server.close()
    return Found(server.name, studies[:MAX_SEARCHED], len(studies) > MAX_SEARCHED)


def start(workspace: OpenedWorkspace, query: Query, options: ImportOptions) -> str:
    """Enqueue the import of the studies of a query; returns the id of the job.

    Raises
    ------
    Conflict, InvalidInput, Unavailable
        No archive is configured, or an option cannot be used.
    """
    check_archive_options(options)
    configured_server(workspace).close()
    name = keep_query(workspace, query)
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
    workspace, name = context.workspace, str(context.payload["query"])
    query = read_query(workspace, name)
    options = ImportOptions(**context.payload["options"], actor=context.payload["actor"])
    server = configured_server(workspace, context.check)
    try:
        outcome = import_studies(workspace, server, query, options, context.advance)
    finally:
        server.close()
    if outcome.stopped:
        raise Unavailable(outcome.stopped)
    with context.publish(result_of(outcome.report)):
        pass
    forget_query(workspace, name)
