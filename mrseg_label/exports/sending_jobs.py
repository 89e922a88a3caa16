"""Send annotations to the archive as a job, which REST starts."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.dicomweb import Query
from mrseg_label.dicomweb.for_jobs import configured_server, forget_query, keep_query, read_query
from mrseg_label.errors import Unavailable
from mrseg_label.exports.dataset import MaskChoice, Selection, choose
from mrseg_label.exports.sending import send_annotations
from mrseg_label.jobs import JobContext, queue

_MAX_LISTED = 200  # refused annotations in the result of a job


def start(workspace: OpenedWorkspace, query: Query, selection: Selection, *, actor: str, dry_run: bool = False) -> str:
    """Enqueue the sending of the annotations of the images that a query finds; returns the id of the job.

    Raises
    ------
    Conflict
        No archive is configured.
    InvalidInput, NotFound
        Nothing is annotated, or a participant has no annotation.
    """
    configured_server(workspace).close()
    choose(workspace, selection)
    name = keep_query(workspace, query)
    payload = {
        "query": name,
        "state": selection.masks.value,
        "participants": list(selection.codes),
        "dry_run": dry_run,
        "actor": actor,
    }
    with workspace.catalog.begin() as session:
        job = queue.enqueue(session, queue.SEND_ANNOTATIONS, payload, key=name)
        audit.record(session, actor, "annotations.send", job.id, dry_run=dry_run)
        return job.id


def run(context: JobContext) -> None:
    """Send annotations, as a ``send_annotations`` job; where the archive goes away, another attempt goes on.

    The result has numbers (``sent``, ``present``, ``refused``) and, in ``refusals``, the first annotations with reasons.

    Raises
    ------
    NotFound
        The file with the query is not there any more, or a participant has no annotation any more.
    InvalidInput
        No annotated image is known to come from DICOM.
    Unavailable
        The archive does not answer.
    """
    workspace, payload = context.workspace, context.payload
    query = read_query(workspace, str(payload["query"]))
    selection = Selection(MaskChoice(payload["state"]), tuple(payload["participants"]))
    server = configured_server(workspace, context.check)
    try:
        report = send_annotations(
            workspace,
            server,
            query,
            selection,
            actor=payload["actor"],
            dry_run=payload["dry_run"],
            progress=context.advance,
        )
    finally:
        server.close()
    if report.stopped:
        raise Unavailable(report.stopped)
    result = {
        "archive": server.name,
        "dry_run": payload["dry_run"],
        "sent": len(report.sent),
        "present": len(report.present),
        "refused": len(report.refused),
        "refusals": dict(report.refused[:_MAX_LISTED]),
    }
    with context.publish(result):
        pass
    forget_query(workspace, str(payload["query"]))
