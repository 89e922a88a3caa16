"""Drafts ahead of the readers: the job after an import, a promotion, a round or a submission."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import drafts, models, participants
from mrseg_label.config import Settings, load_settings
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.service import enqueue_draft


def run(context: JobContext) -> None:
    """Order drafts by the current model for the waiting cases that readers get next."""
    settings = load_settings(context.workspace.root)
    with context.publish() as session:
        order_ahead(session, settings)


def order_ahead(session: Session, settings: Settings) -> int:
    """Order drafts in the caller's transaction until PREPARE_AHEAD cases are ready; returns how many were ordered."""
    # Who is held out decides who comes next.
    participants.decide_held_out(session)
    version = models.current(session).version
    missing = settings.drafts_ahead - drafts.count_ready(session, version)
    wanted = drafts.without_draft(session, version, missing) if missing > 0 else []
    for acquisition_id in wanted:
        enqueue_draft(session, acquisition_id, version)
    return len(wanted)
