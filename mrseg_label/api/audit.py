"""The audit trail."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.api.documents.audit import AuditOut
from mrseg_label.api.documents.base import Page
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import audit
from mrseg_label.workspace import Workspace


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/audit``."""
    routes = APIRouter(prefix="/audit", tags=["audit"])

    @routes.get("", summary="Who did what, newest first (admin)")
    def list_events(
        actor: paging.Filter = None,
        action: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AuditOut]:
        with catalog.read() as session:
            found = audit.page(session, limit + 1, paging.decode_number(cursor), actor, action)
        shown, last = paging.page(found, limit)
        return Page(items=[AuditOut.of(row) for row in shown], next=paging.encode(last.id) if last else None)

    return routes
