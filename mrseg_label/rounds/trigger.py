"""Follow-up of a submission: start a round if one is due, keep enough pre-segmentations ready, measure their sources."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.config import Settings, load_settings
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.measure_annotated import enqueue_measuring
from mrseg_label.presegmentation.presegment_pending import enqueue_pending_presegmentations, first_are_ready
from mrseg_label.rounds.counting import count_towards_round
from mrseg_label.rounds.service import start_if_due


def run(context: JobContext) -> None:
    """Start a round if it is due, and pre-segment the cases that will be assigned next."""
    settings = load_settings(context.workspace.root)  # read again: an admin may have changed it
    with context.catalog.read() as session:  # nobody waits for it; what changes afterwards has a job of its own
        ready = is_ahead(session, settings, context.catalog.now(session))
    with context.publish() as session:
        start_if_due(session, settings)
        if not ready:
            keep_ahead(session, settings, context.catalog.now(session))
        if not _for_evaluation(session, context.payload["annotation"]):
            enqueue_measuring(session, settings, context.payload["annotation"])


def _for_evaluation(session: Session, annotation_id: str) -> bool:
    """Whether an annotation is of a case that is kept for evaluation alone, from which no draft may learn."""
    annotation = annotation_rows.get(session, annotation_id)
    case = None if annotation is None else acquisitions.get(session, annotation.acquisition_id)
    return case is not None and case.evaluation_only


def _needed(settings: Settings) -> int:
    return min(max(1, settings.round_size // 2), settings.presegmentations_ahead)


def is_ahead(session: Session, settings: Settings, moment: datetime) -> bool:
    """Whether :func:`keep_ahead` has nothing to do; nothing is written to find out."""
    if participants.any_undecided(session):  # the order of assignment depends on it
        return False
    return first_are_ready(session, settings, moment, _needed(settings))


def keep_ahead(session: Session, settings: Settings, moment: datetime) -> int:
    """Enqueue pre-segmentations unless the first half of ROUND_SIZE cases have one, or are the next to get one.
    While a round trains, or is about to start, no more are made than these: its model makes those of the waiting cases
    anew.

    Returns
    -------
    Number of pre-segmentations that were enqueued.
    """
    needed = _needed(settings)
    if first_are_ready(session, settings, moment, needed):
        return 0
    is_renewed_soon = rows.active(session) is not None
    if settings.auto_round and not is_renewed_soon:
        counts = acquisitions.counts(session, moment)
        # In examinations the cases that are annotated now bring at least one each.
        is_renewed_soon = settings.round_size - count_towards_round(session, settings) - counts.being_annotated < needed
    return enqueue_pending_presegmentations(session, settings, moment, needed if is_renewed_soon else None)
