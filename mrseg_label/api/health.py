"""``/healthz``, ``/readyz`` and ``/metrics`` at the root; only the figures need sign-in."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mrseg_label.api.prometheus import registry
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.problems import PLAIN_RESPONSES
from mrseg_label.reports.documents.status import Health
from mrseg_label.reports.status import check_ready


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble ``/healthz``, ``/readyz`` and ``/metrics``."""
    routes = APIRouter(tags=["health"], responses=PLAIN_RESPONSES)
    figures = registry(workspace)

    @routes.get("/healthz", summary="Check that the server answers")
    def healthz() -> Health:
        return Health()

    @routes.get("/readyz", summary="Check that database and workspace can be used; 503 if not")
    def readyz() -> Health:
        check_ready(workspace)
        return Health()

    @routes.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
    def metrics() -> Response:
        return Response(generate_latest(figures), media_type=CONTENT_TYPE_LATEST)

    return routes
