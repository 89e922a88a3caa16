"""``/dashboard/readers``: gold cases, agreement of readers with them, qualification, and what drafts change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.annotation.blind_readings import mark_gold, set_qualified, unmark_gold
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.blind_readings import read_draft_bias, read_gold
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, redirect, sentence


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the page and its forms."""
    catalog = workspace.catalog

    def readers_page(request: Request, status: int = 200, *, note: str = "", message: str = "") -> Response:
        settings = workspace.settings
        values: dict[str, Any] = {
            "gold": read_gold(workspace),
            "bias": read_draft_bias(workspace),
            "shares": {
                "gold cases": settings.gold_share,
                "repeated cases": settings.repeat_share,
                "cases without a draft": settings.without_draft_share,
            },
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/readers.html", status, **values)

    def act(request: Request, note: str, action: Callable[[], None]) -> Response:
        try:
            action()
        except (Conflict, NotFound) as error:
            return readers_page(request, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.READERS}?note={note}")

    @routes.get(paths.READERS)
    def get_readers(request: Request, note: str = "") -> Response:
        return readers_page(request, note=note)

    @routes.post(paths.MARK_GOLD, dependencies=forms.checks)
    def mark(request: Request, reader: CurrentReader, annotation: Annotated[str, Form(max_length=64)] = "") -> Response:
        return act(request, "marked", lambda: mark_gold(catalog, annotation.strip(), actor=reader.name))

    @routes.post(paths.UNMARK_GOLD, dependencies=forms.checks)
    def unmark(request: Request, annotation: str, reader: CurrentReader) -> Response:
        return act(request, "unmarked", lambda: unmark_gold(catalog, annotation, actor=reader.name))

    @routes.post(paths.QUALIFY, dependencies=forms.checks)
    def qualify(request: Request, name: str, reader: CurrentReader) -> Response:
        return act(request, "qualified", lambda: set_qualified(catalog, name, actor=reader.name))

    @routes.post(paths.DISQUALIFY, dependencies=forms.checks)
    def disqualify(request: Request, name: str, reader: CurrentReader) -> Response:
        return act(request, "disqualified", lambda: set_qualified(catalog, name, actor=reader.name, qualified=False))
