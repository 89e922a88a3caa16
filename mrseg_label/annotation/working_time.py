"""Tell how long a reader worked on a case from what they were seen to do, with pauses left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy.orm import Session

from mrseg_label.annotation.record import STARTED_FROM
from mrseg_label.catalog.queries import annotations as rows
from mrseg_label.catalog.queries import assignments, work
from mrseg_label.catalog.tables import Annotation

LOOKED_BACK = timedelta(days=30)  # no work on a case lasts longer

Event = tuple[datetime, str, bool]  # moment, case, and whether it is a submission


def seconds_at_work(session: Session, annotation: Annotation, pause_minutes: float) -> float | None:
    """Seconds that the author worked on an annotation; None where nothing shows it. The rule: :func:`time_at_work`."""
    since, opened = _begin(session, annotation)
    events = work.signs_of(session, annotation, since)
    if opened and events[0][0] > since:
        events.insert(0, (since, annotation.acquisition_id, False))
    return time_at_work(events, pause_minutes * 60.0)


def time_at_work(events: Sequence[Event], pause_seconds: float) -> float | None:
    """Add up the time that belongs to the case of the last event, its submission.

    The time from one event of a reader to the next belongs to the case of the first, which they have open since. After a
    submission nothing is open; the time belongs to the next case only if that is then submitted without having been opened
    anew. A time above ``pause_seconds`` is a pause and is left out.

    Parameters
    ----------
    events : what one reader did, in the order of time: opened or viewed a case, requested its image or draft, or submitted it.

    Returns
    -------
    None where the submission came after a pause: how much of it was work, nobody can say. Also where nothing was seen before
    the submission.
    """
    case = events[-1][1]
    total, seen = 0.0, False
    for k, ((start, opened, submitted), (end, following, ends)) in enumerate(pairwise(events)):
        of = following if submitted and ends else None if submitted and opened != case else opened
        if of != case:
            continue
        seconds = (end - start).total_seconds()
        if seconds <= pause_seconds:
            total, seen = total + seconds, True
        elif k == len(events) - 2:
            return None
    return total if seen else None


def _begin(session: Session, annotation: Annotation) -> tuple[datetime, bool]:
    """When the work may have begun, and whether the reader is known to have opened the case then.

    It begins with the assignment, with that of the reader's earlier annotation where they continued this one, or else after their
    last submission of the case.
    """
    earliest = annotation.created_at - LOOKED_BACK
    first = annotation
    while (earlier := _continued(session, first)) is not None:
        first = earlier
    assignment = assignments.get(session, first.assignment_id) if first.assignment_id else None
    if assignment is not None:
        # What somebody else assigned was opened at some later time.
        return max(
            assignment.created_at, earliest
        ), assignment.assigned_by is None and assignment.created_at >= earliest
    before = work.submitted_before(session, annotation)
    return (earliest, False) if before is None else (max(before, earliest), False)


def _continued(session: Session, annotation: Annotation) -> Annotation | None:
    """The earlier annotation of the case by the same reader that this one continues, if it does."""
    earlier_id = (annotation.report or {}).get(STARTED_FROM)
    earlier = rows.get(session, earlier_id) if earlier_id else None
    if earlier is None or earlier.author != annotation.author or earlier.created_at >= annotation.created_at:
        return None
    return earlier
