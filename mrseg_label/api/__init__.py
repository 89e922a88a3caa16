"""FastAPI routers: ``/api/v1``, and health and metrics at the root."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import annotation, audit, examinations, health, learning, models, rounds
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http import paths, problems

__all__ = ["root_router", "router"]


def router(workspace: OpenedWorkspace) -> APIRouter:
    """The routes under ``/api/v1``."""
    whole = APIRouter(prefix=paths.REST, responses=problems.RESPONSES)
    for part in (models, rounds, examinations, annotation, learning, audit):
        whole.include_router(part.router(workspace))
    return whole


def root_router(workspace: OpenedWorkspace) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    return health.router(workspace)
