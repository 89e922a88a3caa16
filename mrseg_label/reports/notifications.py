"""Read notifications, and how their channels do, as documents."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import notifications
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import AttentionKind, Channel, Role
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden, NotFound
from mrseg_label.notification_settings import without_secrets
from mrseg_label.reports.attention import is_for
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.notifications import ChannelOut, NotificationOut
from mrseg_label.reports.paging import decode_position, page_of


def read_notifications(
    catalog: Catalog, limit: int, cursor: str | None = None, reader: Reader | None = None
) -> Page[NotificationOut]:
    """Read a page of notifications, newest first.

    Parameters
    ----------
    reader : only those that this reader is told of; by default all.

    Raises
    ------
    InvalidInput
        The cursor does not come from this list.
    """
    kinds = [kind for kind in AttentionKind if reader is None or may_be_told(reader, kind)]
    with catalog.read() as session:
        rows = notifications.page(session, limit + 1, decode_position(cursor), kinds)
        found = [NotificationOut.of(row) for row in rows]
    return page_of(found, limit, lambda item: (item.created, item.id))


def read_notification(catalog: Catalog, notification_id: str, reader: Reader | None = None) -> NotificationOut:
    """Read a notification.

    Raises
    ------
    NotFound, Forbidden
        There is no such notification, or this reader is not told of it.
    """
    with catalog.read() as session:
        row = notifications.get(session, notification_id) if notification_id.isprintable() else None
        if row is None:
            raise NotFound(
                f"there is no notification {notification_id[:60]!r}; list them with: mrseg-label notifications list"
            )
        if reader is not None and not may_be_told(reader, row.kind):
            raise Forbidden("only admins are told of this")
        return NotificationOut.of(row)


def may_be_told(reader: Reader, kind: AttentionKind) -> bool:
    """Whether a reader is told of such things; programs are told of all that admins are."""
    return reader.role in (None, Role.SERVICE) or is_for(kind, reader.role)


def read_channels(catalog: Catalog, settings: Settings) -> list[ChannelOut]:
    """Read how the channels that the settings name do."""
    targets = {
        Channel.WEBHOOK: without_secrets(settings.notify_webhook) if settings.notify_webhook else "",
        Channel.EMAIL: ", ".join(settings.recipients),
    }
    found = []
    with catalog.read() as session:
        for channel, target in targets.items():
            if target:
                waiting, sent, failed = notifications.of_channel(session, channel)
                problem = failed.error if failed is not None else None
                found.append(
                    ChannelOut(channel=channel, target=target, waiting=waiting, last_sent=sent, problem=problem)
                )
    return found
