"""``/assignments``: who has which case."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.assignments import AssignmentFilter
from mrseg_label.catalog.types import AssignmentOutcome
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.blinding import as_seen_by
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.worklist import ReservationOut
from mrseg_label.reports.worklist import read_assignment, read_assignments

State = Literal["open", "submitted", "returned", "expired", "all"]


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/assignments``."""
    routes = APIRouter(prefix="/assignments", tags=["assignments"])
    catalog = workspace.catalog

    @routes.get("", summary="List assignments, newest first: by default the cases that readers have now")
    def list_assignments(
        current: CurrentReader,
        state: State = "open",
        reader: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[ReservationOut]:
        outcome = AssignmentOutcome(state) if state not in ("open", "all") else None
        wanted = AssignmentFilter(
            current.sees_assignments_of or reader, None, True if state == "open" else None, outcome
        )
        return as_seen_by(workspace, current, read_assignments(catalog, wanted, limit, cursor))

    @routes.get("/{assignment}", summary="Get an assignment")
    def get_assignment(assignment: str, current: CurrentReader) -> ReservationOut:
        found = read_assignment(catalog, assignment)
        current.check_may_see_assignments_of(found.reader)
        return as_seen_by(workspace, current, found)

    return routes
