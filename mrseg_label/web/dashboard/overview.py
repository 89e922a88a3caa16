"""``/dashboard``: where the study stands, and what needs attention."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import Role
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentIdentity, CurrentReader
from mrseg_label.reports.attention import is_for
from mrseg_label.reports.blinding import check_sees_states, hides_cases
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
    def get_overview(request: Request, identity: CurrentIdentity, reader: CurrentReader) -> Response:
        hidden = hides_cases(workspace, reader)
        only_own = identity is not None and identity.role is Role.RADIOLOGIST
        found = read_overview(workspace, identity.name if identity is not None and only_own else None)
        performance = [] if hidden else found.performance
        charts = {name: chart for name, make in _CHARTS.items() if (chart := make(performance)) is not None}
        values: dict[str, Any] = {
            "overview": found,
            "charts": charts,
            "only_own": only_own,
            "hidden": hidden,  # which cases are annotated, from whom must not know which of his own are gold or repeated
            "attention": [item for item in found.attention if identity is None or is_for(item.kind, identity.role)],
        }
        return page(request, "dashboard/overview.html", script=True, **values)

    @routes.get(paths.CHART)
    def get_chart(file: str, reader: CurrentReader) -> Response:
        check_sees_states(workspace, reader)
        name, ending = split_name(file)
        make = _CHARTS.get(name)
        chart = None if make is None else make(read_performance(workspace.catalog, MOST_VERSIONS).items)
        return send_chart(chart, name, ending)
