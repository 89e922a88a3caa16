"""``/dashboard/effort``: what readers changed in drafts, grouped, and the learning curve with intervals."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.effort import Dimension, EffortFilter
from mrseg_label.http import paths
from mrseg_label.reports.charts.effort import FIGURES, Figure, curve_chart, effort_by_chart, name_of
from mrseg_label.reports.documents.effort import EffortOut
from mrseg_label.reports.documents.learning_curve import CurveDimension, Origin
from mrseg_label.reports.effort import read_effort_by
from mrseg_label.reports.learning_curve import read_curve
from mrseg_label.web.charts import send_chart, split_name
from mrseg_label.web.pages import page

_Name = Annotated[str | None, Query(max_length=255), BeforeValidator(lambda given: given or None)]
_Round = Annotated[int | None, Query(ge=0, le=2**31 - 1), BeforeValidator(lambda given: given or None)]
_Split = Annotated[CurveDimension | None, BeforeValidator(lambda given: given or None)]
ORIGINS = {Origin.OWN: "its own drafts", Origin.OTHER: "another model's drafts", Origin.NOTHING: "no draft"}


@dataclass(frozen=True)
class _Choice:
    """What is shown; an empty field restricts nothing."""

    by: Dimension = Dimension.ROUND
    figure: Figure = Figure.EDITED_ML
    split: _Split = None
    structure: _Name = None
    reader: _Name = None
    round: _Round = None
    model_version: _Name = None
    station: _Name = None
    sequence: _Name = None

    @property
    def wanted(self) -> EffortFilter:
        """The filter."""
        return EffortFilter(**{one.name: getattr(self, one.name) for one in fields(EffortFilter)})

    @property
    def query(self) -> str:
        """The choice as the query of an address."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return urlencode({name: str(value) for name, value in given.items() if value is not None})


Choice = Annotated[_Choice, Depends()]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace) -> None:
    """Add the page and its charts."""

    def effort_of(choice: _Choice) -> EffortOut:
        return read_effort_by(workspace, [choice.by], choice.wanted)

    @routes.get(paths.EFFORT)
    def get_effort(request: Request, choice: Choice) -> Response:
        found, curve = effort_of(choice), read_curve(workspace, choice.split)
        charts = {
            "effort": effort_by_chart(found, choice.figure),
            "curve": curve_chart(curve) if not choice.split else None,
        }
        values: dict[str, Any] = {
            "choice": choice,
            "effort": found,
            "curve": curve,
            "charts": {name: chart for name, chart in charts.items() if chart is not None},
            "dimensions": list(Dimension),
            "splits": list(CurveDimension),
            "figures": {figure: shown.name for figure, shown in FIGURES.items()},
            "structures": workspace.scheme.names,
            "name_of": name_of,
            "origins": ORIGINS,
        }
        return page(request, "dashboard/effort.html", script=True, **values)

    @routes.get(paths.CHART_OF_EFFORT)
    def get_chart(file: str, choice: Choice) -> Response:
        name, ending = split_name(file)
        chart = None
        if name == "effort":
            chart = effort_by_chart(effort_of(choice), choice.figure)
        elif name == "curve":
            chart = curve_chart(read_curve(workspace))
        return send_chart(chart, name, ending)
