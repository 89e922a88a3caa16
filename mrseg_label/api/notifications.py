"""``/notifications``: what needed attention."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.notifications import NotificationOut
from mrseg_label.reports.notifications import read_notification, read_notifications


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/notifications``."""
    routes = APIRouter(prefix="/notifications", tags=["notifications"])

    @routes.get("", summary="List what needed attention, newest first")
    def list_notifications(
        reader: CurrentReader, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[NotificationOut]:
        return read_notifications(workspace.catalog, limit, cursor, reader)

    @routes.get("/{notification}", summary="Get a notification")
    def get_notification(notification: str, reader: CurrentReader) -> NotificationOut:
        return read_notification(workspace.catalog, notification, reader)

    return routes
