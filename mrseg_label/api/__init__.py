"""FastAPI routers: ``/api/v1``, and health and figures at the root. They parse, call one function and render."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import (
    annotation,
    audit,
    doubts,
    examinations,
    health,
    jobs,
    learning,
    masks,
    models,
    quality,
    rounds,
    sources,
)
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http import paths, problems
from mrseg_label.http.queries import only_declared_parameters

__all__ = ["root_router", "router"]


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/api/v1``."""
    collected = APIRouter(prefix=paths.REST, responses=problems.RESPONSES, dependencies=[only_declared_parameters()])
    for module in (models, sources, rounds, jobs, examinations, annotation, doubts, quality, masks, learning, audit):
        collected.include_router(module.router(workspace))
    return collected


def root_router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble ``/healthz``, ``/readyz`` and ``/metrics``."""
    return health.router(workspace)
