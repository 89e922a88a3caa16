"""``/mine``: a reader's own work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.documents.mine import MineOut
from mrseg_label.reports.mine import read_mine

_Client = Annotated[str | None, Query(max_length=MAX_CLIENT_LENGTH, description="without sign-in, the reader's name")]


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the route."""
    routes = APIRouter(tags=["assignments"])

    @routes.get("/mine", summary="Get your own work: open cases, what came back, and a page of what is finished")
    def get_mine(
        reader: CurrentReader, client: _Client = None, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> MineOut:
        return read_mine(workspace, with_client_name(reader, client), limit, cursor)

    return routes
