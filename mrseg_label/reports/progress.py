"""Read how far a workspace is."""

from __future__ import annotations

from mrseg_label.catalog.channel_types import Labelled
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, jobs, models, reviews, rounds
from mrseg_label.config import load_settings
from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.rounds.counting import count_towards_round


def read_progress(workspace: OpenedWorkspace) -> ProgressOut:
    """Read how many cases are annotated, waiting and assigned, and how far it is to the next round."""
    settings = load_settings(workspace.root)  # read again: an admin may have changed them since the start
    with workspace.catalog.read() as session:
        counts = acquisitions.counts(session, workspace.catalog.now(session))
        labelled = acquisitions.labelled(session)
        active = rounds.active(session)
        return ProgressOut(
            annotated_total=counts.annotated_total,
            examinations_drawn=labelled[Labelled.DRAWN],
            examinations_propagated=labelled[Labelled.PROPAGATED],
            annotated_since_round=count_towards_round(session, settings),
            round_size=settings.round_size,
            round_counts=settings.round_counts,
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
    """Read how much is newly annotated and how much starts a round; cheaper than :func:`read_progress`."""
    settings = load_settings(workspace.root)
    with workspace.catalog.read() as session:
        return count_towards_round(session, settings), settings.round_size
