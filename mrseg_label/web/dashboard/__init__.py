"""The dashboard: where a study stands, and its examinations, reviews, rounds, models and users."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.web.dashboard import (
    connect,
    effort,
    examination_list,
    examinations,
    imports,
    mine,
    models,
    overview,
    quality,
    readers,
    rounds,
    users,
    viewer,
)
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
    effort.add_routes(routes, workspace)
    mine.add_routes(routes, workspace, forms)
    examination_list.add_routes(routes, workspace, forms)
    examinations.add_routes(routes, workspace, forms)
    viewer.add_routes(routes, workspace)
    quality.add_routes(routes, workspace, forms)
    readers.add_routes(routes, workspace, forms)
    users.add_routes(routes, workspace, forms)
    models.add_routes(routes, workspace, forms)
    rounds.add_routes(routes, workspace, forms)
    routes.include_router(imports.import_router(workspace, forms))
    return routes
