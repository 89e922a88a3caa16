"""Retraining rounds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status
from fastapi.responses import PlainTextResponse

from mrseg_label.api import paging
from mrseg_label.api.caller import Actor
from mrseg_label.api.documents.base import Page
from mrseg_label.api.documents.rounds import RoundDetail, RoundOut, RoundRequest
from mrseg_label.api.reading import read_log, read_round, read_rounds
from mrseg_label.catalog import Catalog
from mrseg_label.rounds import service
from mrseg_label.workspace import Workspace

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the round")]


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/rounds``."""
    routes = APIRouter(prefix="/rounds", tags=["rounds"])

    @routes.get("", summary="Rounds, newest first")
    def list_rounds(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[RoundOut]:
        rounds = read_rounds(catalog, limit + 1, paging.decode_number(cursor))
        shown, last = paging.page(rounds, limit)
        return Page(items=list(shown), next=paging.encode(last.number) if last else None)

    @routes.post("", status_code=status.HTTP_201_CREATED, summary="Start a round on all that is annotated (admin)")
    def start_round(actor: Actor, wanted: RoundRequest | None = None) -> RoundDetail:
        final = wanted.final if wanted else False
        return read_round(catalog, service.start(workspace, catalog, actor=actor, final=final))

    @routes.get("/{number}", summary="A round with the cases of its snapshot")
    def get_round(number: Number) -> RoundDetail:
        return read_round(catalog, number)

    @routes.post("/{number}/cancel", status_code=status.HTTP_202_ACCEPTED, summary="Ask for the end of a round (admin)")
    def cancel_round(number: Number, actor: Actor) -> RoundDetail:
        service.cancel(workspace, catalog, number, actor=actor)
        return read_round(catalog, number)

    @routes.post(
        "/{number}/retry",
        status_code=status.HTTP_202_ACCEPTED,
        summary="Take a failed or cancelled round up again (admin)",
    )
    def retry_round(number: Number, actor: Actor) -> RoundDetail:
        service.retry(workspace, catalog, number, actor=actor)
        return read_round(catalog, number)

    @routes.get(
        "/{number}/log",
        response_class=PlainTextResponse,
        summary="What its training wrote, the end of it if it is long",
    )
    def get_log(number: Number) -> PlainTextResponse:
        read_round(catalog, number)
        return PlainTextResponse(read_log(workspace, number))

    return routes
