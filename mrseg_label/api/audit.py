"""``/audit``: the audit trail."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.reports.audit import read_audit
from mrseg_label.reports.documents.audit import AuditOut
from mrseg_label.reports.documents.base import Page


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/audit``."""
    routes = APIRouter(prefix="/audit", tags=["audit"])

    @routes.get("", summary="List who did what, newest first (admin)")
    def list_events(
        actor: paging.Filter = None,
        action: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AuditOut]:
        return read_audit(workspace.catalog, limit, cursor, actor, action)

    return routes
