"""Measure the sources that BOOTSTRAP_SOURCES joins on a case that was annotated before a round: the job after its submission.

So the annotations of round 0 tell already which source needs least correction. Later the evaluation of each round measures
the sources, on held-out cases.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError
from mrseg_label.jobs import JobContext, enqueue, queue
from mrseg_label.presegmentation.sources import parse_sources
from mrseg_label.presegmentation.sparing import spare


def enqueue_measuring(session: Session, settings: Settings, annotation_id: str) -> None:
    """Enqueue the measuring on an annotation within a transaction, behind all drafts, where several sources are joined."""
    if settings.presegmentation == "off" or models.current(session).version != BOOTSTRAP:
        return
    try:
        sources = parse_sources(settings.bootstrap_sources)
    except ConfigurationError:  # no draft is made with it, and doctor reports it; a round may still start
        return
    if any(len(joined) > 1 for joined in sources.values()):
        payload = {"annotation": annotation_id}
        enqueue(session, queue.MEASURE_SOURCES, payload, key=annotation_id, priority=queue.BACKGROUND_PRIORITY)


def run(context: JobContext) -> None:
    """Measure every source of the sequence on ``payload["annotation"]``, if it is the accepted mask of its case.

    Nothing is done once a round's model makes the drafts.
    """
    from mrseg_label.presegmentation.measuring import measure_sources
    from mrseg_label.presegmentation.presegment import loaded_models_of

    with context.catalog.read() as session:
        annotation = rows.get(session, context.payload["annotation"])
        current = models.current(session)
    if annotation is None or annotation.state is not AnnotationState.ACCEPTED or not annotation.is_final:
        return
    if current.version != BOOTSTRAP or context.workspace.settings.presegmentation == "off":
        return
    context.workspace, _ = spare(context.workspace, context.claim.deaths)
    loaded = loaded_models_of(context)
    count = measure_sources(context.workspace, loaded, current, [annotation], context.check, 1, own=True)
    with context.publish({"sources": count}):
        pass
