"""``/dashboard``: where the study stands, and what needs attention."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import Role
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentIdentity
from mrseg_label.reports.charts.models import effort_chart, minutes_chart, quality_chart
from mrseg_label.reports.overview import read_overview
from mrseg_label.web.pages import page


def add_routes(routes: APIRouter, workspace: OpenedWorkspace) -> None:
    """Add the page."""

    @routes.get(paths.DASHBOARD)
    def get_overview(request: Request, identity: CurrentIdentity) -> Response:
        only_own = identity is not None and identity.role is Role.RADIOLOGIST
        found = read_overview(workspace, identity.name if identity is not None and only_own else None)
        charts = (effort_chart(found.performance), minutes_chart(found.performance), quality_chart(found.performance))
        values: dict[str, Any] = {
            "overview": found,
            "charts": [chart for chart in charts if chart is not None],
            "only_own": only_own,
            "shows_attention": identity is None or identity.role is Role.ADMIN,
        }
        return page(request, "dashboard/overview.html", script=True, **values)
