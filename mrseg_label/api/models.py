"""Model versions."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from mrseg_label.api import paging
from mrseg_label.api.caller import Actor
from mrseg_label.api.documents.base import Page
from mrseg_label.api.documents.models import ModelOut
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import reports
from mrseg_label.registry import service
from mrseg_label.workspace import Workspace


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/models``."""
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("", summary="Model versions, newest first")
    def list_models(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[ModelOut]:
        with catalog.read() as session:
            rows = reports.models_page(session, limit + 1, paging.decode_position(cursor))
        shown, last = paging.page(rows, limit)
        following = paging.encode(last.created_at, last.version) if last else None
        return Page(items=[ModelOut.of(row) for row in shown], next=following)

    @routes.get("/current", summary="The version that makes drafts now")
    def current_model() -> ModelOut:
        with catalog.read() as session:
            return ModelOut.of(service.current(session))

    @routes.post("/rollback", summary="Go back to the version that was promoted before (admin)")
    def roll_back(actor: Actor) -> ModelOut:
        return ModelOut.of(service.rollback(workspace, catalog, actor=actor))

    @routes.get("/{version}", summary="A model version")
    def get_model(version: str) -> ModelOut:
        with catalog.read() as session:
            return ModelOut.of(service.get(session, version))

    @routes.get(
        "/{version}/archive",
        summary="Zip that nnUNetv2_install_pretrained_model_from_zip installs",
        response_class=FileResponse,
        responses={200: {"content": {"application/zip": {}}, "description": "the archive"}},
    )
    def get_archive(version: str) -> FileResponse:
        file = service.archive(workspace, catalog, version)
        return FileResponse(file, media_type="application/zip", filename=f"{version}.zip")

    @routes.post("/{version}/promote", summary="Make a version the one that makes drafts (admin)")
    def promote_model(version: str, actor: Actor) -> ModelOut:
        return ModelOut.of(service.promote(workspace, catalog, version, actor=actor))

    return routes
