"""The dashboard: where a study stands, and its rounds and model versions."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.web.dashboard import connect, models, overview, rounds
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import PageRoute


def dashboard_router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the pages under ``/dashboard``."""
    forms = FormTokens(workspace.catalog)
    routes = APIRouter(
        include_in_schema=False, route_class=PageRoute, form_limits=FORM_LIMITS, dependencies=[forms.remember]
    )
    overview.add_routes(routes, workspace)
    connect.add_routes(routes, workspace)
    models.add_routes(routes, workspace, forms)
    rounds.add_routes(routes, workspace, forms)
    return routes
