"""Pre-segment cases before they are assigned: the job after an import, a promotion, a round or an assignment.

Drafts are made along the order of assignment (:mod:`mrseg_label.catalog.queries.upcoming`), the first case first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, assignments, models, presegmentations, uncertain
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries.upcoming import BALANCED, UNCERTAINTY, Order, first_upcoming
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState
from mrseg_label.config import Settings, load_settings
from mrseg_label.jobs import JobContext, request_cancel
from mrseg_label.jobs.draft_jobs import enqueue_presegmentation
from mrseg_label.jobs.queue import AHEAD_PRIORITY, ASSIGNED_PRIORITY


def run(context: JobContext) -> None:
    """Enqueue pre-segmentations by the current model for the waiting cases that will be assigned next."""
    settings = load_settings(context.workspace.root)
    with context.publish() as session:
        enqueue_pending_presegmentations(session, settings, context.catalog.now(session))


def enqueue_pending_presegmentations(
    session: Session, settings: Settings, moment: datetime, count: int | None = None
) -> int:
    """Enqueue pre-segmentations of the cases that are assigned next, within a transaction.

    Those that are queued already are put in the present order of assignment. Those of cases that do not come next any
    more, and that nobody has, are cancelled.

    Parameters
    ----------
    count : enqueue only those of the first so many cases; by default of PREPARE_AHEAD cases.

    Returns
    -------
    Number of pre-segmentations that were enqueued.
    """
    version = models.current(session).version
    ahead = upcoming_ids(session, settings, moment, settings.presegmentations_ahead)
    places = {acquisition_id: place for place, acquisition_id in enumerate(ahead)}
    active = job_rows.active_presegmentations(session)
    _put_in_order(session, active, version, places, moment)
    being_made = {job.payload["acquisition"] for job in active if job.payload["model_version"] == version}
    lacking = presegmentations.lacking(session, ahead[:count], version)
    new = [acquisition_id for acquisition_id in lacking if acquisition_id not in being_made]
    for acquisition_id in new:
        enqueue_presegmentation(session, acquisition_id, version, AHEAD_PRIORITY - places[acquisition_id])
    return len(new)


def first_are_ready(session: Session, settings: Settings, moment: datetime, count: int) -> bool:
    """Whether each of the first ``count`` cases that are assigned next has a pre-segmentation or is the next to get one.

    They are not where others are queued before them: in the order of another strategy, or for a reader who has submitted
    or given back the case in the meantime.
    """
    version = models.current(session).version
    lacking = presegmentations.lacking(session, upcoming_ids(session, settings, moment, count), version)
    active = job_rows.active_presegmentations(session)
    queued = [job for job in active if job.state is JobState.QUEUED and job.priority <= ASSIGNED_PRIORITY]
    queued.sort(key=lambda job: -job.priority)
    begun = {job.key for job in active if job not in queued}
    wanted = [key for key in (presegmentations.job_key(one, version) for one in lacking) if key not in begun]
    awaited = acquisitions.being_annotated(session, [job.payload["acquisition"] for job in queued], moment)
    following = [job.key for job in queued if job.payload["acquisition"] not in awaited]
    return following[: len(wanted)] == wanted


def upcoming_ids(session: Session, settings: Settings, moment: datetime, count: int) -> list[str]:
    """Ids of the acquisitions that readers get next: those reserved for one, then by the strategies in use."""
    reserved = assignments.reserved_cases(session, moment)[:count]
    orders = []
    for strategy in assignments.strategies_in_use(session) or [BALANCED]:
        ranking = uncertain.ranking(session, moment) if strategy == UNCERTAINTY else ()
        orders.append(Order(strategy, settings.round_size, ranking))
    following = first_upcoming(session, moment, orders, count - len(reserved))
    return [*reserved, *(case.acquisition_id for case in following if case.acquisition_id not in reserved)]


def _put_in_order(
    session: Session, active: Sequence[Job], version: str, places: dict[str, int], moment: datetime
) -> None:
    """Change the priority of queued pre-segmentations that no reader waits for, or cancel them."""
    # Those of assigned cases too, which may be submitted or back in the queue by now.
    ahead = [job for job in active if job.state is JobState.QUEUED and job.priority <= ASSIGNED_PRIORITY]
    begun = acquisitions.being_annotated(session, [job.payload["acquisition"] for job in ahead], moment)
    for job in ahead:
        acquisition_id = job.payload["acquisition"]
        place = places.get(acquisition_id)
        if job.payload["model_version"] != version:
            request_cancel(job)
        elif acquisition_id in begun:
            job.priority = ASSIGNED_PRIORITY
        elif place is None:
            request_cancel(job)
        else:
            job.priority = AHEAD_PRIORITY - place
