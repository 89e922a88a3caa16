"""``/progress``, ``/overview`` and ``/metrics``: progress, the learning curve, the readers' effort."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.effort import Dimension, EffortFilter
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.blinding import check_sees_states
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.effort import EffortOut
from mrseg_label.reports.documents.learning import EffortPoint, LearningPoint, ProgressOut
from mrseg_label.reports.documents.learning_curve import CurveDimension, LearningCurveOut
from mrseg_label.reports.documents.overview import OverviewOut
from mrseg_label.reports.effort import read_effort_by
from mrseg_label.reports.learning_curve import read_curve
from mrseg_label.reports.overview import read_overview
from mrseg_label.reports.performance import read_effort, read_learning_curve
from mrseg_label.reports.progress import read_progress


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/progress`` and ``/metrics``."""
    routes = APIRouter(tags=["progress"])

    @routes.get("/progress", summary="Get the progress of the workspace")
    def get_progress(reader: CurrentReader) -> ProgressOut:
        return read_progress(workspace, reader)

    @routes.get("/metrics/learning-curve", summary="How good each model version is, newest first")
    def learning_curve(
        reader: CurrentReader, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[LearningPoint]:
        check_sees_states(workspace, reader)
        return read_learning_curve(workspace.catalog, limit, cursor)

    @routes.get(
        "/metrics/learning-curve/groups", summary="The learning curve with intervals, and what another round brings"
    )
    def learning_curve_groups(reader: CurrentReader, by: CurveDimension | None = None) -> LearningCurveOut:
        check_sees_states(workspace, reader)
        return read_curve(workspace, by)

    @routes.get("/metrics/effort", summary="What readers changed in each version's pre-segmentations, newest first")
    def effort(
        reader: CurrentReader, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[EffortPoint]:
        check_sees_states(workspace, reader)
        return read_effort(workspace.catalog, limit, cursor)

    @routes.get("/metrics/effort/groups", summary="What readers changed in drafts, by reader, round, station and more")
    def effort_groups(
        by: Annotated[list[Dimension] | None, Query(description="up to three; by default the round")] = None,
        structure: paging.Filter = None,
        reader: paging.Filter = None,
        round_number: Annotated[int | None, Query(alias="round", ge=0, le=2**31 - 1)] = None,
        model_version: paging.Filter = None,
        station: paging.Filter = None,
        sequence: paging.Filter = None,
    ) -> EffortOut:
        wanted = EffortFilter(structure, reader, round_number, model_version, station, sequence)
        return read_effort_by(workspace, [Dimension.ROUND] if by is None else by, wanted)

    @routes.get("/overview", summary="Where the study stands, and what an administrator should look at (admin)")
    def get_overview() -> OverviewOut:
        return read_overview(workspace)

    return routes
