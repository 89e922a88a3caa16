"""``/dashboard/models``: model versions, what is known of each, comparisons of two, promoting and rolling back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.errors import Conflict, InvalidInput, NotFound, TooLarge
from mrseg_label.http import paths
from mrseg_label.http.downloads import send_recorded
from mrseg_label.http.readers import CurrentReader
from mrseg_label.registry import service
from mrseg_label.registry.receiving import SentFile, import_sent
from mrseg_label.registry.trials import queue_of_trials, start_trial
from mrseg_label.reports.blinding import hides_cases
from mrseg_label.reports.charts.comparison import comparison_rows
from mrseg_label.reports.charts.models import MOST_VERSIONS, quality_chart
from mrseg_label.reports.comparison import read_comparison
from mrseg_label.reports.documents.models import CardOut
from mrseg_label.reports.models import read_card, read_model, read_model_detail, read_models
from mrseg_label.reports.performance import read_performance
from mrseg_label.reports.sources import read_sources_if_configured
from mrseg_label.reports.stored_report import find_stored_report, read_stored_report
from mrseg_label.reports.workers import is_served
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, redirect, sentence

PER_PAGE = 20
CHOICES = 200  # versions that the form of a comparison offers: the newest


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the pages and forms of model versions."""
    catalog = workspace.catalog

    def list_page(
        request: Request,
        reader: Reader,
        status: int = 200,
        *,
        cursor: str | None = None,
        note: str = "",
        message: str = "",
    ) -> Response:
        found = read_models(catalog, PER_PAGE, cursor)
        drawn = cursor is None and not hides_cases(workspace, reader)
        values: dict[str, Any] = {
            "models": found,
            "choices": _choices(workspace),
            "chart": quality_chart(read_performance(catalog, MOST_VERSIONS).items) if drawn else None,
            "first": cursor is None,
            "sources": read_sources_if_configured(workspace) if cursor is None else [],
            "max_mb": workspace.settings.max_upload_mb,
            "report": read_stored_report(workspace),
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/models.html", status, script=True, **values)

    def model_page(request: Request, version: str, status: int = 200, *, note: str = "", message: str = "") -> Response:
        found = read_model_detail(workspace, version)
        values: dict[str, Any] = {
            "model": found,
            "card": _card(workspace, version),
            "choices": [name for name in _choices(workspace) if name != version],
            "is_current": found.status is ModelStatus.CURRENT,
            "has_archive": version != BOOTSTRAP,
            "works": version == BOOTSTRAP or (found.tried is not None and found.problem is None),
            "no_worker": found.being_tried and not is_served(catalog, queue_of_trials(workspace.settings)),
            "note": note,
            "message": message,
        }
        reply = page(request, "dashboard/model.html", status, script=found.being_tried, **values)
        if "hx-request" in request.headers and not found.being_tried:
            reply.headers["HX-Refresh"] = "true"  # its trial has ended since the page was loaded: show all of it anew
        return reply

    @routes.get(paths.STUDY_REPORT)
    def get_study_report(request: Request, reader: CurrentReader) -> Response:
        return send_recorded(request, catalog, reader, find_stored_report(workspace))

    @routes.get(paths.MODELS)
    def get_models(request: Request, reader: CurrentReader, cursor: str | None = None, note: str = "") -> Response:
        return list_page(request, reader, cursor=cursor, note=note)

    @routes.post(paths.ROLL_BACK, dependencies=forms.checks)
    def roll_back(request: Request, reader: CurrentReader) -> Response:
        try:
            service.rollback(workspace, actor=reader.name)
        except Conflict as error:
            return list_page(request, reader, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.MODELS}?note=rolled-back")

    @routes.post(paths.IMPORT_MODEL, dependencies=forms.checks)
    def import_model(
        request: Request,
        reader: CurrentReader,
        file: Annotated[UploadFile | str, File()] = "",  # a text where nothing was chosen
        labels: Annotated[UploadFile | str, File()] = "",
        orientation: Annotated[str, Form(max_length=20)] = "",
        licence: Annotated[str, Form(max_length=1000)] = "",
    ) -> Response:
        try:
            row = import_sent(
                workspace,
                _sent(file),
                actor=reader.name,
                orientation=orientation,
                labels=_sent(labels),
                licence=licence,
            )
        except (InvalidInput, Conflict, TooLarge) as error:
            return list_page(request, reader, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.MODEL.format(version=row.version)}?note=imported")

    @routes.get(paths.CHOOSE_COMPARISON)
    def choose_comparison(
        request: Request, first: Annotated[str, Query(max_length=64)], second: Annotated[str, Query(max_length=64)]
    ) -> Response:
        # Named as they are stored: an address is made of them.
        names = [read_model(catalog, name).version for name in (first, second)]
        return redirect(request, paths.COMPARE.format(version=names[0], other=names[1]))

    @routes.get(paths.MODEL)
    def get_model(request: Request, version: str, note: str = "") -> Response:
        return model_page(request, version, note=note)

    @routes.post(paths.PROMOTE, dependencies=forms.checks)
    def promote(request: Request, version: str, reader: CurrentReader) -> Response:
        try:
            service.promote(workspace, version, actor=reader.name)
        except Conflict as error:
            return model_page(request, version, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.MODEL.format(version=version)}?note=promoted")

    @routes.post(paths.TRY_MODEL, dependencies=forms.checks)
    def try_model(request: Request, version: str, reader: CurrentReader) -> Response:
        try:
            start_trial(workspace, version, actor=reader.name)
        except Conflict as error:
            return model_page(request, version, error.http_status, message=sentence(error))
        return redirect(request, paths.MODEL.format(version=version))

    @routes.get(paths.COMPARE)
    def compare(request: Request, version: str, other: str) -> Response:
        found = read_comparison(workspace, version, other)
        values: dict[str, Any] = {"comparison": found, "rows": comparison_rows(found), "choices": _choices(workspace)}
        return page(request, "dashboard/compare.html", **values)


def _choices(workspace: OpenedWorkspace) -> list[str]:
    return [model.version for model in read_models(workspace.catalog, CHOICES).items]


def _sent(file: UploadFile | str) -> SentFile | None:
    return None if isinstance(file, str) or not file.filename else (file.filename, file.file)


def _card(workspace: OpenedWorkspace, version: str) -> CardOut | None:
    try:
        return read_card(workspace.catalog, version)
    except NotFound:
        return None
