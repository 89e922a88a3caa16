"""Progress, the learning curve and the readers' effort."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.learning import (
    EffortPoint,
    LearningPoint,
    ProgressOut,
    effort_points,
    learning_points,
)
from mrseg_label.reports.paging import decode_position, encode_cursor
from mrseg_label.reports.progress import read_progress, read_sums


def router(workspace: OpenedWorkspace) -> APIRouter:
    """``/progress`` and ``/metrics``."""
    routes = APIRouter(tags=["progress"])

    @routes.get("/progress", summary="How far the workspace is")
    def get_progress() -> ProgressOut:
        return read_progress(workspace)

    @routes.get("/metrics/learning-curve", summary="How good each model version is, newest first")
    def learning_curve(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[LearningPoint]:
        rows, sums, last = read_sums(workspace.catalog, limit, decode_position(cursor))
        return Page(items=learning_points(rows, sums), next=encode_cursor(*last) if last else None)

    @routes.get("/metrics/effort", summary="What readers changed in each model version's drafts, newest first")
    def effort(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[EffortPoint]:
        rows, sums, last = read_sums(workspace.catalog, limit, decode_position(cursor))
        return Page(items=effort_points(rows, sums), next=encode_cursor(*last) if last else None)

    return routes
