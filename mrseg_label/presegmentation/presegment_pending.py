"""Pre-segment cases before they are assigned: the job after an import, a promotion, a round or a submission."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import models, participants, presegmentations
from mrseg_label.config import Settings, load_settings
from mrseg_label.jobs import JobContext
from mrseg_label.presegmentation.service import enqueue_presegmentation


def run(context: JobContext) -> None:
    """Enqueue pre-segmentations by the current model for the waiting cases that will be assigned next."""
    settings = load_settings(context.workspace.root)
    with context.publish() as session:
        enqueue_pending_presegmentations(session, settings, context.catalog.now(session))


def enqueue_pending_presegmentations(session: Session, settings: Settings, moment: datetime) -> int:
    """Enqueue pre-segmentations within a transaction until PREPARE_AHEAD cases are ready.

    Returns
    -------
    Number of pre-segmentations that were enqueued.
    """
    # The order of assignment depends on which participants are held out.
    participants.decide_held_out(session)
    version = models.current(session).version
    missing = settings.presegmentations_ahead - presegmentations.count_ready(session, version, moment)
    pending = presegmentations.waiting_without(session, version, moment, missing) if missing > 0 else []
    for acquisition_id in pending:
        enqueue_presegmentation(session, acquisition_id, version)
    return len(pending)
