"""``/rounds``: retraining rounds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, status
from fastapi.responses import PlainTextResponse

from mrseg_label.api import paging
from mrseg_label.api.requests import RoundRequest
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.locations import Locate, located
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.rounds import CaseOut, FoldDetail, RoundDetail, RoundOut
from mrseg_label.reports.rounds import read_fold, read_log, read_round, read_round_cases, read_rounds
from mrseg_label.rounds import service

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of the round")]
Fold = Annotated[int, Path(ge=0, le=2**31 - 1, description="number of the fold, from 0")]
FoldOfLog = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="only the log of this fold")]


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/rounds``."""
    routes = APIRouter(prefix="/rounds", tags=["rounds"])
    catalog = workspace.catalog

    @routes.get("", summary="List rounds, newest first")
    def list_rounds(limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[RoundOut]:
        return read_rounds(catalog, limit, cursor)

    @routes.post(
        "",
        status_code=status.HTTP_201_CREATED,
        responses=located(201),
        summary="Start a round on all annotated cases (admin)",
    )
    def start_round(reader: CurrentReader, locate: Locate, request: RoundRequest | None = None) -> RoundDetail:
        wanted = request or RoundRequest()
        number = service.start(
            workspace,
            actor=reader.name,
            final=wanted.final,
            include_held_out=wanted.include_held_out,
            pretrain=wanted.pretrain,
        )
        locate(f"/rounds/{number}")
        return read_round(catalog, number)

    @routes.get("/{number}", summary="Get a round with its folds and the cases of its snapshot")
    def get_round(number: Number) -> RoundDetail:
        return read_round(catalog, number)

    @routes.get("/{number}/cases", summary="List the cases of a round's snapshot")
    def list_cases(number: Number, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None) -> Page[CaseOut]:
        return read_round_cases(catalog, number, limit, cursor)

    @routes.get("/{number}/folds/{fold}", summary="Get a fold of a round with its curve by epoch")
    def get_fold(number: Number, fold: Fold) -> FoldDetail:
        return read_fold(catalog, number, fold)

    @routes.post(
        "/{number}/cancel",
        status_code=status.HTTP_202_ACCEPTED,
        responses=located(202),
        summary="Cancel a round (admin)",
    )
    def cancel_round(number: Number, reader: CurrentReader, locate: Locate) -> RoundDetail:
        service.cancel(workspace, number, actor=reader.name)
        locate(f"/rounds/{number}")
        return read_round(catalog, number)

    @routes.post(
        "/{number}/retry",
        status_code=status.HTTP_202_ACCEPTED,
        responses=located(202),
        summary="Retry a failed or cancelled round (admin)",
    )
    def retry_round(number: Number, reader: CurrentReader, locate: Locate) -> RoundDetail:
        service.retry(workspace, number, actor=reader.name)
        locate(f"/rounds/{number}")
        return read_round(catalog, number)

    @routes.get(
        "/{number}/log",
        response_class=PlainTextResponse,
        summary="Read the log of a round's training, at most its last megabyte (admin)",
    )
    def get_log(number: Number, fold: FoldOfLog = None) -> PlainTextResponse:
        return PlainTextResponse(read_log(workspace, number, fold))

    return routes
