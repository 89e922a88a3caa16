"""``/masks``: the masks of many cases in one archive."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from starlette.requests import Request

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.annotations import MaskFilter
from mrseg_label.http.downloads import record_download
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.mask_archive import stream_masks

_HEADERS = {"Content-Disposition": 'attachment; filename="masks.zip"'}


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the route."""
    routes = APIRouter(tags=["annotations"])

    @routes.head("/masks", include_in_schema=False)
    @routes.get(
        "/masks",
        summary="Download masks as a zip: NIfTI files, the label scheme, and a manifest with digests",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/zip": {}}, "description": "The archive"}},
    )
    def download_masks(
        reader: CurrentReader,
        request: Request,
        model: Annotated[
            paging.Filter, Query(description="version whose pre-segmentation the reader started from")
        ] = None,
        author: Annotated[paging.Filter, Query(description="the reader who submitted it")] = None,
        since: Annotated[paging.Moment, Query(description="submitted at or after this date or time")] = None,
        until: Annotated[paging.Moment, Query(description="submitted before this date or time")] = None,
        every_annotation: Annotated[
            bool,
            Query(description="not only the current mask of each case: also earlier, rejected and second readings"),
        ] = False,
    ) -> Response:
        if request.method == "HEAD":
            return Response(media_type="application/zip", headers=_HEADERS)
        wanted = MaskFilter(model, author, since, until, every_annotation)
        record_download(workspace.catalog, reader, "masks", query=request.url.query)
        return StreamingResponse(stream_masks(workspace, wanted), media_type="application/zip", headers=_HEADERS)

    return routes
