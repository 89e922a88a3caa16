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
from mrseg_label.reports.attention import is_for
from mrseg_label.reports.charts.models import MOST_VERSIONS, effort_chart, minutes_chart, quality_chart
from mrseg_label.reports.overview import read_overview
from mrseg_label.reports.performance import read_performance
from mrseg_label.web.charts import send_chart, split_name
from mrseg_label.web.pages import page

# The first is the picture that says whether the loop works: what a case costs from round to round.
_CHARTS = {"effort": effort_chart, "minutes": minutes_chart, "quality": quality_chart}


def add_routes(routes: APIRouter, workspace: OpenedWorkspace) -> None:
    """Add the page."""

    @routes.get(paths.DASHBOARD)
    def get_overview(request: Request, identity: CurrentIdentity) -> Response:
        only_own = identity is not None and identity.role is Role.RADIOLOGIST
        found = read_overview(workspace, identity.name if identity is not None and only_own else None)
        charts = {name: chart for name, make in _CHARTS.items() if (chart := make(found.performance)) is not None}
        values: dict[str, Any] = {
            "overview": found,
            "charts": charts,
            "only_own": only_own,
            "attention": [item for item in found.attention if identity is None or is_for(item.kind, identity.role)],
        }
        return page(request, "dashboard/overview.html", script=True, **values)

    @routes.get(paths.CHART)
    def get_chart(file: str) -> Response:
        name, ending = split_name(file)
        make = _CHARTS.get(name)
        chart = None if make is None else make(read_performance(workspace.catalog, MOST_VERSIONS).items)
        return send_chart(chart, name, ending)
