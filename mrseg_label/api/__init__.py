"""FastAPI routers: ``/api/v1``, and health and figures at the root. They parse, call one function and render."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import (
    annotation,
    assignments,
    audit,
    blind_readings,
    dicomweb,
    doubts,
    events,
    examinations,
    exports,
    health,
    jobs,
    learning,
    masks,
    mine,
    models,
    notifications,
    quality,
    rounds,
    sources,
)
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http import paths, problems
from mrseg_label.http.event_streams import EventStreams
from mrseg_label.http.queries import only_declared_parameters

__all__ = ["root_router", "router"]


def router(workspace: OpenedWorkspace, streams: EventStreams | None = None) -> APIRouter:
    """Assemble the routes under ``/api/v1``.

    Parameters
    ----------
    streams : those of this server process, which has to end them; by default some of its own.
    """
    collected = APIRouter(prefix=paths.REST, responses=problems.RESPONSES, dependencies=[only_declared_parameters()])
    for module in (
        models,
        sources,
        rounds,
        jobs,
        examinations,
        assignments,
        annotation,
        doubts,
        dicomweb,
        quality,
        mine,
        masks,
        exports,
        learning,
        blind_readings,
        notifications,
        audit,
    ):
        collected.include_router(module.router(workspace))
    collected.include_router(
        events.router(streams or EventStreams(workspace.catalog, blinds_readers=workspace.settings.blinds_readers))
    )
    return collected


def root_router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble ``/healthz``, ``/readyz`` and ``/metrics``."""
    return health.router(workspace)
