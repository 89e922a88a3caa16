"""Model versions."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import listings
from mrseg_label.http.readers import CurrentReader
from mrseg_label.registry import service
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.models import ModelOut
from mrseg_label.reports.paging import decode_position, encode_cursor, split_page


def router(workspace: OpenedWorkspace) -> APIRouter:
    """``/models``."""
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("", summary="Model versions, newest first")
    def list_models(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[ModelOut]:
        with workspace.catalog.read() as session:
            rows = listings.models(session, limit + 1, decode_position(cursor))
        shown, last = split_page(rows, limit)
        following = encode_cursor(last.created_at, last.version) if last else None
        return Page(items=[ModelOut.of(row) for row in shown], next=following)

    @routes.get("/current", summary="The version that makes drafts now")
    def current_model() -> ModelOut:
        with workspace.catalog.read() as session:
            return ModelOut.of(service.current(session))

    @routes.post("/rollback", summary="Go back to the version that was promoted before (admin)")
    def roll_back(reader: CurrentReader) -> ModelOut:
        return ModelOut.of(service.rollback(workspace, actor=reader.name))

    @routes.get("/{version}", summary="A model version")
    def get_model(version: str) -> ModelOut:
        with workspace.catalog.read() as session:
            return ModelOut.of(service.get(session, version))

    @routes.get(
        "/{version}/archive",
        summary="Zip that nnUNetv2_install_pretrained_model_from_zip installs",
        response_class=FileResponse,
        responses={200: {"content": {"application/zip": {}}, "description": "the archive"}},
    )
    def get_archive(version: str) -> FileResponse:
        file = service.archive(workspace, version)
        return FileResponse(file, media_type="application/zip", filename=f"{version}.zip")

    @routes.post("/{version}/promote", summary="Make a version the one that makes drafts (admin)")
    def promote_model(version: str, reader: CurrentReader) -> ModelOut:
        return ModelOut.of(service.promote(workspace, version, actor=reader.name))

    return routes
