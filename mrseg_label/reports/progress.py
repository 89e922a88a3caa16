"""Read how far a workspace is."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, jobs, models, reviews, rounds
from mrseg_label.config import load_settings
from mrseg_label.reports.documents.learning import ProgressOut


def read_progress(workspace: OpenedWorkspace) -> ProgressOut:
    """Read how many cases are annotated, waiting and assigned, and how far it is to the next round."""
    settings = load_settings(workspace.root)  # read again: an admin may have changed them since the start
    with workspace.catalog.read() as session:
        counts = acquisitions.counts(session, workspace.catalog.now(session))
        active = rounds.active(session)
        return ProgressOut(
            annotated_total=counts.annotated_total,
            annotated_since_round=counts.annotated_since_round,
            round_size=settings.round_size,
            auto_round=settings.auto_round,
            waiting=counts.waiting,
            assigned=counts.assigned,
            handed_out=counts.assigned,
            awaiting_review=counts.awaiting_review,
            annotations_awaiting_review=reviews.count_awaiting(session),
            excluded=counts.excluded,
            current_model=models.current(session).version,
            round=active.number if active else None,
            round_state=active.state if active else None,
            queues=jobs.queue_lengths(session),
        )


def read_progress_to_round(workspace: OpenedWorkspace) -> tuple[int, int]:
    """Read how many cases are newly annotated and how many start a round; cheaper than :func:`read_progress`."""
    with workspace.catalog.read() as session:
        return acquisitions.annotated_since_round(session), load_settings(workspace.root).round_size
