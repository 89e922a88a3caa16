"""Follow-up of a submission: start a round if one is due, and keep enough pre-segmentations ready."""

from __future__ import annotations

from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.config import load_settings
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.presegment_pending import enqueue_pending_presegmentations
from mrseg_label.rounds.service import start_if_due


def run(context: JobContext) -> None:
    """Start a round if it is due; otherwise pre-segment the cases that will be assigned until the next one."""
    settings = load_settings(context.workspace.root)  # read again: an admin may have changed it
    with context.publish() as session:
        if start_if_due(session, settings) is not None or rows.active(session) is not None:
            return  # the model of that round will pre-segment the waiting cases
        moment = context.catalog.now(session)
        counts = acquisitions.counts(session, moment)
        ready = presegmentations.count_ready(session, models.current(session).version, moment)
        until_round = (
            settings.round_size - counts.annotated_since_round - counts.being_annotated
            if settings.auto_round
            else counts.waiting
        )
        if ready < min(max(1, settings.round_size // 2), max(0, until_round)):
            enqueue_pending_presegmentations(session, settings, moment)
