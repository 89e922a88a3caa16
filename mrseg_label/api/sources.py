"""``/sources``: what makes the drafts now."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.sources import SourceOut
from mrseg_label.reports.sources import read_sources


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the route ``/sources``."""
    routes = APIRouter(tags=["models"])

    @routes.get("/sources", summary="List the sources of drafts that are in use, all on one page")
    def list_sources() -> Page[SourceOut]:
        return Page[SourceOut](items=read_sources(workspace), next=None)

    return routes
