"""The job after a submission: is a round due, and do readers soon run out of drafts?"""

from __future__ import annotations

from mrseg_label.catalog.queries import acquisitions, models, presegmentations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.config import load_settings
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.ahead import presegment_ahead
from mrseg_label.rounds.service import start_if_due


def run(context: JobContext) -> None:
    """Start a round if it is due; else see to the drafts of the cases until then."""
    settings = load_settings(context.workspace.root)  # read anew: an admin may have changed it
    with context.publish() as session:
        if start_if_due(session, settings) is not None or rows.active(session) is not None:
            return  # the drafts of its model are better; they are ordered when it ends
        moment = context.catalog.now(session)
        counts = acquisitions.counts(session, moment)
        ready = presegmentations.count_ready(session, models.current(session).version, moment)
        until_round = (
            settings.round_size - counts.annotated_since_round - counts.being_annotated
            if settings.auto_round
            else counts.waiting
        )
        if ready < min(max(1, settings.round_size // 2), max(0, until_round)):
            presegment_ahead(session, settings, moment)
