"""The audit trail."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit
from mrseg_label.reports.documents.audit import AuditOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.paging import decode_number, encode_cursor, split_page


def router(workspace: OpenedWorkspace) -> APIRouter:
    """``/audit``."""
    routes = APIRouter(prefix="/audit", tags=["audit"])

    @routes.get("", summary="Who did what, newest first (admin)")
    def list_events(
        actor: paging.Filter = None,
        action: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AuditOut]:
        with workspace.catalog.read() as session:
            found = audit.page(session, limit + 1, decode_number(cursor), actor, action)
        shown, last = split_page(found, limit)
        return Page(items=[AuditOut.of(row) for row in shown], next=encode_cursor(last.id) if last else None)

    return routes
