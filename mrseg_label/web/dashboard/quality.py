"""``/dashboard/quality``: annotations that await review, with the forms to decide; suspicious masks; agreement between readers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.annotation import dismissal, review
from mrseg_label.annotation.suspicious import RULES, RULES_NEED
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, MrsegError
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.agreement import read_agreement
from mrseg_label.reports.attention import read_awaiting
from mrseg_label.reports.cases import read_acquisition_id, read_annotation, read_annotations
from mrseg_label.reports.suspicious import count_dismissed, count_suspicious, read_suspicious
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, redirect, sentence
from mrseg_label.worklist.requests import Purpose, request_case

PER_PAGE = 20
CASES_SHOWN = 10  # of those that two readers read, least agreement first
_Cursor = Annotated[str | None, Query(max_length=400)]
_Client = Annotated[str, Form(max_length=MAX_CLIENT_LENGTH)]  # without sign-in, the reviewer's name
_Comment = Annotated[str, Form(max_length=4000)]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the page and its forms."""
    catalog = workspace.catalog

    def queue(
        request: Request,
        status: int = 200,
        *,
        cursor: str | None = None,
        kind: SuspicionKind | None = None,
        dismissed: bool = False,
        earlier: str | None = None,
        note: str = "",
        message: str = "",
    ) -> Response:
        found = read_annotations(catalog, AnnotationState.SUBMITTED, None, PER_PAGE, cursor)
        awaiting = read_awaiting(catalog)
        values: dict[str, Any] = {
            "found": found,
            "awaiting": awaiting.number,
            "newest": awaiting.newest,
            "has_new": False,
            "first": cursor is None,
            "suspicious": read_suspicious(catalog, PER_PAGE, earlier, kind, dismissed=dismissed),
            "dismissed": dismissed,
            "dismissed_count": count_dismissed(catalog),
            "first_suspicious": earlier is None,
            "suspicious_counts": count_suspicious(catalog),
            "kind": kind,
            "kinds": RULES,
            "rules_need": RULES_NEED,
            "agreement": read_agreement(workspace),
            "cases_shown": CASES_SHOWN,
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/quality.html", status, script=True, **values)

    def refused(request: Request, error: MrsegError) -> Response:
        return queue(request, error.http_status, message=sentence(error))

    @routes.get(paths.QUALITY)
    def get_quality(
        request: Request,
        cursor: _Cursor = None,
        kind: SuspicionKind | Literal[""] = "",
        dismissed: bool = False,
        earlier: _Cursor = None,
        note: str = "",
    ) -> Response:
        return queue(request, cursor=cursor, kind=kind or None, dismissed=dismissed, earlier=earlier, note=note)

    @routes.get(paths.AWAITING)
    def get_awaiting(request: Request, newest: Annotated[str, Query(max_length=64)] = "") -> Response:
        now = read_awaiting(catalog)
        values: dict[str, Any] = {"awaiting": now.number, "newest": newest, "has_new": now.newest not in ("", newest)}
        return page(request, "dashboard/awaiting.html", script=True, **values)

    @routes.post(paths.ACCEPT, dependencies=forms.checks)
    def accept(
        request: Request, annotation: str, reader: CurrentReader, comment: _Comment = "", client: _Client = ""
    ) -> Response:
        try:
            named = with_client_name(reader, client.strip() or None)
            review.accept(catalog, annotation, reviewer=named.name, comment=comment)
        except (Conflict, Forbidden, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=accepted")

    @routes.post(paths.REJECT, dependencies=forms.checks)
    def reject(
        request: Request, annotation: str, reader: CurrentReader, comment: _Comment = "", client: _Client = ""
    ) -> Response:
        try:
            named = with_client_name(reader, client.strip() or None)
            review.reject(catalog, annotation, reviewer=named.name, comment=comment)
        except (Conflict, Forbidden, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=rejected")

    @routes.post(paths.DISMISS, dependencies=forms.checks)
    def dismiss(
        request: Request,
        mask: str,
        reader: CurrentReader,
        reason: _Comment = "",
        client: _Client = "",
    ) -> Response:
        try:
            named = with_client_name(reader, client.strip() or None)
            dismissal.dismiss(catalog, mask, actor=named.name, comment=reason)
        except (Conflict, Forbidden, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=dismissed")

    @routes.post(paths.RESTORE_SUSPICIOUS, dependencies=forms.checks)
    def restore(request: Request, mask: str, reader: CurrentReader, client: _Client = "") -> Response:
        try:
            dismissal.restore(catalog, mask, actor=with_client_name(reader, client.strip() or None).name)
        except (Conflict, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=listed")

    @routes.post(paths.SEND_BACK, dependencies=forms.checks)
    def send_back(
        request: Request,
        annotation: str,
        reader: CurrentReader,
        comment: _Comment = "",
        to: _Client = "",
        client: _Client = "",
    ) -> Response:
        try:
            actor = with_client_name(reader, client.strip() or None).name
            review.send_back(workspace, annotation, actor=actor, comment=comment, reader=to.strip() or None)
        except (Conflict, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=sent_back#suspicious")

    @routes.post(paths.OPEN_FOR_REVIEW, dependencies=forms.checks)
    def open_for_review(request: Request, annotation: str, reader: CurrentReader, client: _Client = "") -> Response:
        acquisition = read_acquisition_id(catalog, read_annotation(catalog, annotation).examination)
        try:
            request_case(workspace, with_client_name(reader, client.strip() or None), Purpose.REVIEW, acquisition)
        except (Conflict, InvalidInput) as error:
            return refused(request, error)
        return redirect(request, f"{paths.QUALITY}?note=reserved")
