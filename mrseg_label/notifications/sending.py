"""Send what is due, and try again with growing pauses while a receiver is down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import notifications
from mrseg_label.catalog.tables import Delivery, Notification
from mrseg_label.catalog.types import Channel
from mrseg_label.clock import now
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.ids import new_id
from mrseg_label.notification_settings import NotificationSettings, check_notification_settings
from mrseg_label.notifications import mail, webhook
from mrseg_label.notifications.message import Message

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=7)
TEST_KIND = "test"
_SEND: dict[Channel, Callable[[NotificationSettings, Message], None]] = {
    Channel.WEBHOOK: webhook.send,
    Channel.EMAIL: mail.send,
}
log = logging.getLogger("mrseg_label.notifications")


def configured_channels(settings: NotificationSettings) -> list[Channel]:
    """Return the channels that the settings name."""
    return [
        *([Channel.WEBHOOK] if settings.notify_webhook is not None else []),
        *([Channel.EMAIL] if settings.recipients else []),
    ]


def send_due(workspace: OpenedWorkspace, settings: Settings, may_go_on: Callable[[], bool]) -> int:
    """Send what is due through the channels of the settings.

    An attempt is counted before it is made. If this process is killed between sending and recording, the next one
    sends once more, with the same id, and nothing is lost.

    Parameters
    ----------
    may_go_on : asked before each attempt, such as whether this process still has the lease.

    Returns
    -------
    Number of notifications that were sent.
    """
    catalog = workspace.catalog
    with catalog.read() as session:
        moment = catalog.now(session)
        found = notifications.due(session, configured_channels(settings), moment)
        keys = [(row.notification_id, row.channel) for row in found]
    sent = 0
    for key in keys:
        if not may_go_on():
            break
        with catalog.begin() as session:
            row = session.get_one(Delivery, key)
            row.attempts += 1
            row.due_at = catalog.now(session) + min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 12), LONGEST_PAUSE)
            message = Message.of(session.get_one(Notification, key[0]), settings.public_url)
        problem = _try(settings, key[1], message)
        with catalog.begin() as session:
            row, moment = session.get_one(Delivery, key), catalog.now(session)
            row.error = problem
            if problem is None:
                row.sent_at = moment
                sent += 1
            elif moment > message.created + GIVE_UP_AFTER:
                row.given_up_at = moment
                log.error(
                    "notification %s was not sent by %s within %d days: %s", key[0], key[1], GIVE_UP_AFTER.days, problem
                )
            elif row.attempts == 1:
                log.warning("notification %s was not sent by %s and is tried again: %s", key[0], key[1], problem)
    return sent


def send_test(settings: Settings) -> dict[Channel, str | None]:
    """Send a test through each channel of the settings, at once.

    Returns
    -------
    For each channel why it failed; None where it did not.

    Raises
    ------
    ConfigurationError
        There is no channel, or a setting cannot work.
    """
    check_notification_settings(settings)
    channels = configured_channels(settings)
    if not channels:
        raise ConfigurationError(
            "no notification is sent: set NOTIFY_WEBHOOK, or NOTIFY_EMAIL and SMTP_HOST; docs/notifications.md shows how"
        )
    message = Message(new_id("nt"), TEST_KIND, "This is a test. Notifications of mrseg-label arrive here.", now())
    return {channel: _try(settings, channel, message) for channel in channels}


def _try(settings: Settings, channel: Channel, message: Message) -> str | None:
    try:
        _SEND[channel](settings, message)
    except (Unavailable, ConfigurationError) as error:
        return str(error)
    return None
