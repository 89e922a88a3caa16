"""``/export``: the annotated data set in one archive; ``/examinations/ID/whole-body``: one participant's stations, composed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from starlette.requests import Request

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.exports.archive import stream_body, stream_export
from mrseg_label.exports.dataset import MaskChoice, Selection
from mrseg_label.exports.service import NAME, Form, Options
from mrseg_label.exports.whole_body import WholeBodies
from mrseg_label.http.downloads import record_download
from mrseg_label.http.readers import CurrentReader

ARCHIVE: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/zip": {}}, "description": "The archive"},
}


class SentForm(StrEnum):
    """Form of a data set that is sent."""

    BIDS = "bids"
    PARTICIPANTS = "participants"
    DICOM_SEG = "dicom-seg"


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes."""
    routes = APIRouter(tags=["data sets"])

    @routes.head("/export", include_in_schema=False)
    @routes.get(
        "/export",
        summary="Download the annotated data set as a zip: BIDS derivatives, one folder a participant, or DICOM",
        response_class=StreamingResponse,
        responses=ARCHIVE,
    )
    def export(
        reader: CurrentReader,
        request: Request,
        form: Annotated[SentForm, Query(alias="format", description="form of the data set")] = SentForm.PARTICIPANTS,
        state: Annotated[
            MaskChoice, Query(description="accepted annotations alone, or of each case the newest one")
        ] = MaskChoice.ACCEPTED,
        primary_only: Annotated[bool, Query(description="only the channel that readers open")] = False,
        whole_body: Annotated[bool, Query(description="compose the stations of each participant too")] = False,
        match_intensities: Annotated[bool, Query(description="with whole_body, stations equally bright")] = False,
        name: Annotated[str, Query(max_length=100, description="name of the data set, for its card")] = NAME,
    ) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{form}.zip"'}
        if request.method == "HEAD":
            return Response(media_type="application/zip", headers=headers)
        bodies = WholeBodies(whole_body or match_intensities, match_intensities)
        selection = Selection(state, (), primary_only)
        chunks = stream_export(workspace, Options(Form(form), selection, name=name, whole_bodies=bodies))
        record_download(workspace.catalog, reader, "data set", query=request.url.query)
        return StreamingResponse(chunks, media_type="application/zip", headers=headers)

    @routes.head("/examinations/{examination}/whole-body", include_in_schema=False)
    @routes.get(
        "/examinations/{examination}/whole-body",
        summary="Download the stations of an examination's participant in its sequence, composed, as a zip: image, mask, JSON",
        response_class=StreamingResponse,
        responses=ARCHIVE,
    )
    def whole_body(
        examination: str,
        reader: CurrentReader,
        request: Request,
        state: Annotated[
            MaskChoice, Query(description="accepted annotations alone, or of each case the newest one")
        ] = MaskChoice.ACCEPTED,
        match_intensities: Annotated[bool, Query(description="make the stations equally bright; never CT")] = False,
    ) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{examination}-whole-body.zip"'}
        chunks = stream_body(workspace, examination, state, match=match_intensities)
        if request.method == "HEAD":
            return Response(media_type="application/zip", headers=headers)
        record_download(workspace.catalog, reader, f"{examination}-whole-body.zip", query=request.url.query)
        return StreamingResponse(chunks, media_type="application/zip", headers=headers)

    return routes
