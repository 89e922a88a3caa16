"""``/doubts``: drafts and annotations whose sides or directions are doubtful."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.doubts import DoubtfulMaskOut
from mrseg_label.reports.doubts import read_doubts


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/doubts``."""
    routes = APIRouter(prefix="/doubts", tags=["annotations"])

    @routes.get(
        "",
        summary="List masks whose sides or directions are doubtful, and images that the import suspects, newest first",
    )
    def list_doubts(
        kind: MaskKind | None = None, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[DoubtfulMaskOut]:
        return read_doubts(workspace.catalog, limit, cursor, kind)

    return routes
