"""Check of notifications: where they are sent, and whether they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import notifications
from mrseg_label.catalog.types import Channel
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.notification_settings import without_secrets
from mrseg_label.workspace import Workspace


def check_notifications(workspace: Workspace) -> Iterator[Check]:
    """Show where notifications are sent, and the last failure of each channel."""
    settings = workspace.settings
    targets = {
        Channel.WEBHOOK: without_secrets(settings.notify_webhook) if settings.notify_webhook else "",
        Channel.EMAIL: ", ".join(settings.recipients),
    }
    if not any(targets.values()):
        detail = "shown on the dashboard only; NOTIFY_WEBHOOK and NOTIFY_EMAIL send them"
        yield Check("notifications", State.OK, detail)
        return
    with closing(Catalog(workspace.database_url)) as catalog, catalog.read() as session:
        found = {channel: notifications.of_channel(session, channel) for channel in targets}
    for channel, target in targets.items():
        if not target:
            continue
        waiting, sent, failed = found[channel]
        last = "none was sent yet" if sent is None else f"the last was sent on {sent.astimezone():%Y-%m-%d at %H:%M}"
        if failed is None:
            yield Check("notifications", State.OK, f"{channel} to {target}: {last}")
        else:
            advice = "they are tried again for 7 days; when it is mended, look with: mrseg-label notifications test"
            detail = f"{channel} to {target}: {waiting} wait, {last}; {failed.error}"
            yield Check("notifications", State.WARNING, detail, advice)
