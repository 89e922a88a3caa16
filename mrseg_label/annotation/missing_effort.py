"""Measure of the annotations of earlier versions what these did not measure yet, a part at a time."""

from __future__ import annotations

import logging

from mrseg_label.annotation.effort import measure
from mrseg_label.catalog.queries import effort as rows
from mrseg_label.errors import MrsegError
from mrseg_label.jobs import JobContext, queue

log = logging.getLogger("mrseg_label.annotation")
PER_JOB = 50


def run(context: JobContext) -> None:
    """Measure annotations whose effort lacks figures, for a ``measure_missing_effort`` job; the next job goes on behind them.

    What cannot be measured, since a file is missing or damaged, is passed over and shown as not measured.
    """
    with context.catalog.read() as session:
        found = rows.not_measured(session, PER_JOB, context.payload.get("after", ""))
    for annotation in found:
        context.check()
        try:
            measure(context, annotation)
        except (MrsegError, OSError) as error:
            log.warning("the effort of annotation %s cannot be measured: %s", annotation.id, error)
    if len(found) == PER_JOB:
        with context.catalog.begin() as session:
            after = found[-1].id
            queue.enqueue(
                session,
                queue.MEASURE_MISSING_EFFORT,
                {"after": after},
                key=after,
                priority=queue.BACKGROUND_PRIORITY,
            )
