"""``/dashboard/mine``: a reader's own open cases, what came back, and what is finished."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH, Reader
from mrseg_label.catalog.types import ANONYMOUS
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.cases import read_acquisition_id
from mrseg_label.reports.mine import read_mine
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, redirect, sentence
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.requests import Purpose, request_case

PER_PAGE = 20
_Client = Annotated[str, Form(max_length=MAX_CLIENT_LENGTH)]  # without sign-in, the reader's name


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the page and its forms."""
    catalog = workspace.catalog

    def mine_page(
        request: Request,
        reader: Reader,
        status: int = 200,
        *,
        cursor: str | None = None,
        note: str = "",
        message: str = "",
    ) -> Response:
        nameless = reader.account is None and reader.client == ANONYMOUS
        values: dict[str, Any] = {
            "mine": None if nameless else read_mine(workspace, reader, PER_PAGE, cursor),
            "client": "" if reader.account is not None or nameless else reader.name,
            "signs_in": reader.account is not None,
            "first": cursor is None,
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/mine.html", status, **values)

    def done(request: Request, reader: Reader, note: str) -> Response:
        query = {"note": note} | ({} if reader.account is not None else {"client": reader.name})
        return redirect(request, f"{paths.MINE}?{urlencode(query)}")

    @routes.get(paths.MINE)
    def get_mine(
        request: Request,
        reader: CurrentReader,
        client: Annotated[str, Query(max_length=MAX_CLIENT_LENGTH)] = "",
        cursor: Annotated[str | None, Query(max_length=400)] = None,
        note: str = "",
    ) -> Response:
        if client.strip() and client.isprintable():
            reader = with_client_name(reader, client.strip())
        return mine_page(request, reader, cursor=cursor, note=note)

    def act(request: Request, reader: Reader, client: str, examination: str, note: str, action: Any) -> Response:
        named = with_client_name(reader, client.strip() or None)
        try:
            action(named, read_acquisition_id(catalog, examination))
        except (Conflict, Forbidden, InvalidInput, NotFound) as error:
            return mine_page(request, named, error.http_status, message=sentence(error))
        return done(request, named, note)

    @routes.post(paths.OPEN_MINE, dependencies=forms.checks)
    def open_next(request: Request, examination: str, reader: CurrentReader, client: _Client = "") -> Response:
        def ask(named: Reader, acquisition: str) -> None:
            request_case(workspace, named, Purpose.CORRECT, acquisition)

        return act(request, reader, client, examination, "next", ask)

    @routes.post(paths.RETURN_MINE, dependencies=forms.checks)
    def return_case(request: Request, examination: str, reader: CurrentReader, client: _Client = "") -> Response:
        def give_back(named: Reader, acquisition: str) -> None:
            worklist.return_to_queue(catalog, named, acquisition)

        return act(request, reader, client, examination, "returned", give_back)

    @routes.post(paths.UNUSABLE_MINE, dependencies=forms.checks)
    def mark_unusable(
        request: Request,
        examination: str,
        reader: CurrentReader,
        reason: Annotated[str, Form(max_length=1000)] = "",
        client: _Client = "",
    ) -> Response:
        def mark(named: Reader, acquisition: str) -> None:
            worklist.mark_unusable(catalog, named, acquisition, reason)

        return act(request, reader, client, examination, "unusable", mark)
