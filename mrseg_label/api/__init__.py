"""FastAPI routers: ``/api/v1``, and health and metrics at the root."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import audit, examinations, health, learning, models, problems, rounds, submissions
from mrseg_label.catalog import Catalog
from mrseg_label.workspace import Workspace

PREFIX = "/api/v1"

__all__ = ["PREFIX", "problems", "root_router", "router"]


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """The routes under ``/api/v1``."""
    whole = APIRouter(prefix=PREFIX, responses=problems.RESPONSES)
    for part in (models, rounds, examinations, submissions, learning, audit):
        whole.include_router(part.router(workspace, catalog))
    return whole


def root_router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    return health.router(workspace, catalog)
