"""Is the server up, can it work, and figures for Prometheus; at the root, without sign-in but for the figures."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from mrseg_label.api.prometheus import registry
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.http.problems import PLAIN_RESPONSES


class Health(BaseModel):
    """The server answers."""

    status: str = "ok"


def router(workspace: OpenedWorkspace) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    routes = APIRouter(tags=["health"], responses=PLAIN_RESPONSES)
    figures = registry(workspace)

    @routes.get("/healthz", summary="The server answers")
    def healthz() -> Health:
        return Health()

    @routes.get("/readyz", summary="Database and workspace answer, too; 503 where they do not")
    def readyz() -> Health:
        check_ready(workspace)
        return Health()

    @routes.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
    def metrics() -> Response:
        return Response(generate_latest(figures), media_type=CONTENT_TYPE_LATEST)

    return routes


def check_ready(workspace: OpenedWorkspace) -> None:
    """Raise :class:`Unavailable` unless the database is at the newest migration and the workspace can be written."""
    with workspace.catalog.read() as session:
        session.connection()
    try:
        workspace.catalog.check_current()
    except ConfigurationError as error:
        raise Unavailable(str(error)) from error
    try:
        with workspace.scratch("ready-") as folder:
            (folder / "probe").write_bytes(b"ready")
    except OSError as error:
        raise Unavailable(f"the workspace {workspace.root} cannot be written: {error.strerror}") from error
