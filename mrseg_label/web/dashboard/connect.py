"""``/dashboard/connect``: how a radiologist who has never done it opens a case in 3D Slicer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http import paths
from mrseg_label.http.public_address import public_address
from mrseg_label.web.pages import page


def add_routes(routes: APIRouter, workspace: OpenedWorkspace) -> None:
    """Add the page."""
    settings = workspace.settings

    @routes.get(paths.CONNECT)
    def get_connect(request: Request) -> Response:
        values: dict[str, Any] = {
            "address": public_address(settings, request),
            "lease_hours": settings.lease_hours,
            "by_provider": settings.oidc_issuer is not None,
        }
        return page(request, "dashboard/connect.html", **values)
