"""Store what needs attention, once for each occurrence, with what has to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import notifications
from mrseg_label.catalog.tables import Delivery, Notification
from mrseg_label.catalog.types import AttentionKind, Channel
from mrseg_label.reports.attention import Finding

# What happens again and again is told of at most so often; what happened in between is told then.
QUIET = {
    AttentionKind.JOBS_FAILED: timedelta(hours=1),
    AttentionKind.MASKS_REFUSED: timedelta(hours=1),
    AttentionKind.DISK_ALMOST_FULL: timedelta(hours=6),
    AttentionKind.AWAITING_REVIEW: timedelta(days=1),
    AttentionKind.MODEL_DISAGREES: timedelta(days=1),
}


def store_occurrences(catalog: Catalog, findings: Sequence[Finding], channels: Sequence[Channel]) -> list[str]:
    """Store what is new among the findings and end what is no longer among them, in one transaction.

    Parameters
    ----------
    channels : those through which new notifications are to be sent.

    Returns
    -------
    Ids of the new notifications.
    """
    made = []
    with catalog.begin() as session:
        moment = catalog.now(session)
        present = {(found.kind, found.occurrence): found for found in findings}
        for row in notifications.open_ones(session):
            if present.pop((row.kind, row.occurrence), None) is None:
                row.ended_at = moment
        session.flush()
        for found in present.values():
            last = notifications.newest_of(session, found.kind)
            if last is not None and moment < last + QUIET.get(found.kind, timedelta(0)):
                continue
            row = Notification(kind=found.kind, occurrence=found.occurrence, message=found.notice, round_number=found.round, created_at=moment)  # fmt: skip
            row.deliveries = [Delivery(channel=channel, due_at=moment) for channel in channels]
            session.add(row)
            session.flush()
            made.append(row.id)
    return made
