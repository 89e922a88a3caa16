"""``/models``: model versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile, status
from fastapi.responses import FileResponse

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.locations import Locate, located
from mrseg_label.http.readers import CurrentReader
from mrseg_label.registry import service
from mrseg_label.registry.receiving import import_sent
from mrseg_label.registry.trials import start_trial
from mrseg_label.reports.comparison import read_comparison
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.comparison import ComparisonOut
from mrseg_label.reports.documents.models import CardOut, ModelDetail, ModelOut
from mrseg_label.reports.models import read_card, read_current_model, read_model, read_model_detail, read_models


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/models``."""
    routes = APIRouter(prefix="/models", tags=["models"], form_limits=FORM_LIMITS)

    @routes.get("", summary="List model versions, newest first")
    def list_models(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[ModelOut]:
        return read_models(workspace.catalog, limit, cursor)

    @routes.post(
        "",
        status_code=status.HTTP_201_CREATED,
        responses=located(201),
        summary="Import the zip of a trained nnU-Net; a worker tries it before it can be promoted (admin)",
    )
    def import_model(
        reader: CurrentReader,
        locate: Locate,
        file: Annotated[UploadFile, File(description="as `models import` takes it; loading it runs code")],
        orientation: Annotated[str, Form(max_length=20, description="axis codes, such as LPS")] = "",
        labels: Annotated[UploadFile | None, File(description="lines LABEL = STRUCTURE")] = None,
        licence: Annotated[str, Form(max_length=1000)] = "",
    ) -> ModelOut:
        row = import_sent(
            workspace,
            (file.filename or "", file.file),
            actor=reader.name,
            orientation=orientation,
            labels=(labels.filename or "", labels.file) if labels is not None else None,
            licence=licence,
        )
        locate(f"/models/{row.version}")
        return read_model(workspace.catalog, row.version)

    @routes.get("/current", summary="Get the version that makes pre-segmentations now")
    def current_model() -> ModelOut:
        return read_current_model(workspace.catalog)

    @routes.post("/rollback", summary="Roll back to the version that was promoted before (admin)")
    def roll_back(reader: CurrentReader) -> ModelOut:
        return ModelOut.of(service.rollback(workspace, actor=reader.name))

    @routes.get("/{version}", summary="Get a model version")
    def get_model(version: str) -> ModelDetail:
        return read_model_detail(workspace, version)

    @routes.get("/{version}/card", summary="Get the card of the data set that a version was trained on")
    def get_card(version: str) -> CardOut:
        return read_card(workspace.catalog, version)

    @routes.get("/{version}/compare/{other}", summary="Compare two versions on the held-out cases that both have")
    def compare_models(version: str, other: str) -> ComparisonOut:
        return read_comparison(workspace, version, other)

    @routes.head("/{version}/archive", include_in_schema=False)
    @routes.get(
        "/{version}/archive",
        summary="Download a version as a zip that nnUNetv2_install_pretrained_model_from_zip installs",
        response_class=FileResponse,
        responses={200: {"content": {"application/zip": {}}, "description": "The archive"}},
    )
    def get_archive(version: str) -> FileResponse:
        file = service.archive(workspace, version)
        return FileResponse(file, media_type="application/zip", filename=f"{version}.zip")

    @routes.post(
        "/{version}/try",
        status_code=status.HTTP_202_ACCEPTED,
        responses=located(202),
        summary="Have a worker try a version once more, after the cause of a failure is gone (admin)",
    )
    def try_model(version: str, reader: CurrentReader, locate: Locate) -> ModelOut:
        start_trial(workspace, version, actor=reader.name)
        locate(f"/models/{version}")
        return read_model(workspace.catalog, version)

    @routes.post("/{version}/promote", summary="Promote a version: it makes the pre-segmentations from now on (admin)")
    def promote_model(version: str, reader: CurrentReader) -> ModelOut:
        return ModelOut.of(service.promote(workspace, version, actor=reader.name))

    return routes
