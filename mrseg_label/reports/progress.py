"""Read how far a workspace is."""

from __future__ import annotations

from mrseg_label.catalog.channel_types import Labelled
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, jobs, models, reviews, rounds
from mrseg_label.catalog.queries.blind_readings import BlindCounts
from mrseg_label.catalog.reader import Reader
from mrseg_label.config import Settings, load_settings
from mrseg_label.reports.blinding import read_own_blind
from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.rounds.counting import count_towards_round


def read_progress(workspace: OpenedWorkspace, reader: Reader | None = None) -> ProgressOut:
    """Read how many cases are annotated, waiting and assigned, and how far it is to the next round.

    Parameters
    ----------
    reader : as whom it is read: a radiologist may not find out which cases are gold or repeated ones.
    """
    own = read_own_blind(workspace, reader)
    settings = load_settings(workspace.root)  # read again: an admin may have changed them since the start
    with workspace.catalog.read() as session:
        counts = acquisitions.counts(session, workspace.catalog.now(session))
        labelled = acquisitions.labelled(session)
        active = rounds.active(session)
        return ProgressOut(
            annotated_total=counts.annotated_total + own.annotated,
            examinations_drawn=labelled[Labelled.DRAWN] + own.drawn,
            examinations_propagated=labelled[Labelled.PROPAGATED] + own.propagated,
            annotated_since_round=count_towards_round(session, settings) + _new(own, settings),
            round_size=settings.round_size,
            round_counts=settings.round_counts,
            auto_round=settings.auto_round,
            waiting=max(0, counts.waiting - own.assigned - own.read - own.excluded),
            assigned=counts.assigned + own.assigned,
            handed_out=counts.assigned + own.assigned,
            awaiting_review=counts.awaiting_review,
            annotations_awaiting_review=reviews.count_awaiting(session),
            excluded=counts.excluded + own.excluded,
            current_model=models.current(session).version,
            round=active.number if active else None,
            round_state=active.state if active else None,
            queues=jobs.queue_lengths(session),
        )


def read_progress_to_round(workspace: OpenedWorkspace, reader: Reader | None = None) -> tuple[int, int]:
    """Read how much is newly annotated and how much starts a round; cheaper than :func:`read_progress`, and as read by the same."""
    own = read_own_blind(workspace, reader)
    settings = load_settings(workspace.root)
    with workspace.catalog.read() as session:
        return count_towards_round(session, settings) + _new(own, settings), settings.round_size


def _new(own: BlindCounts, settings: Settings) -> int:
    return own.new_images if settings.round_counts == "examinations" else own.new_cases
