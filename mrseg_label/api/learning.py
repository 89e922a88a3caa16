"""``/progress``, ``/overview`` and ``/metrics``: progress, the learning curve, the readers' effort."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.learning import EffortPoint, LearningPoint, ProgressOut
from mrseg_label.reports.documents.overview import OverviewOut
from mrseg_label.reports.overview import read_overview
from mrseg_label.reports.performance import read_effort, read_learning_curve
from mrseg_label.reports.progress import read_progress


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/progress`` and ``/metrics``."""
    routes = APIRouter(tags=["progress"])

    @routes.get("/progress", summary="Get the progress of the workspace")
    def get_progress() -> ProgressOut:
        return read_progress(workspace)

    @routes.get("/metrics/learning-curve", summary="How good each model version is, newest first")
    def learning_curve(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[LearningPoint]:
        return read_learning_curve(workspace.catalog, limit, cursor)

    @routes.get("/metrics/effort", summary="What readers changed in each version's pre-segmentations, newest first")
    def effort(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[EffortPoint]:
        return read_effort(workspace.catalog, limit, cursor)

    @routes.get("/overview", summary="Where the study stands, and what an administrator should look at (admin)")
    def get_overview() -> OverviewOut:
        return read_overview(workspace)

    return routes
