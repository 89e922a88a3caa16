"""``/dashboard/rounds``: what was trained, how a training goes, and starting, cancelling and retrying a round."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import ENDED_ROUNDS, FoldState, RoundState
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.charts.training import loss_chart, pseudo_dice_chart
from mrseg_label.reports.documents.models import CardOut
from mrseg_label.reports.documents.rounds import FoldDetail, RoundDetail
from mrseg_label.reports.models import read_card
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.rounds import read_end_of_log, read_folds, read_round, read_rounds
from mrseg_label.rounds import service
from mrseg_label.web.charts import send_chart, split_name
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.navigation import may
from mrseg_label.web.pages import page, redirect, sentence

PER_PAGE = 20
LOG_LINES = 200
# The stages of a round in their order, as its page shows them.
STAGES = (RoundState.QUEUED, RoundState.SNAPSHOT, RoundState.PLANNING, RoundState.PREPROCESSING, RoundState.TRAINING,
          RoundState.EVALUATING, RoundState.DONE)  # fmt: skip
_CHARTS = {"pseudo-dice": pseudo_dice_chart, "loss": loss_chart}
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Kind(StrEnum):
    """What a round is started as."""

    ORDINARY = "ordinary"
    FINAL = "final"
    PRETRAIN = "pretrain"


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the pages and forms of rounds."""
    catalog = workspace.catalog

    def list_page(
        request: Request, reader: Reader, status: int = 200, *, cursor: str | None = None, message: str = ""
    ) -> Response:
        found = read_rounds(catalog, PER_PAGE, cursor)
        progress = read_progress(workspace, reader)
        values: dict[str, Any] = {"rounds": found, "progress": progress, "first": cursor is None, "message": message}
        return page(request, "dashboard/rounds.html", status, script=True, **values)

    def round_page(request: Request, number: int, status: int = 200, *, note: str = "", message: str = "") -> Response:
        found = read_round(catalog, number)
        folds = read_folds(catalog, number)
        charts = {name: chart for name, make in _CHARTS.items() if (chart := make(folds)) is not None}
        reply = page(
            request,
            "dashboard/round.html",
            status,
            script=True,
            round=found,
            folds=folds,
            stages=STAGES,
            charts=charts,
            card=_card(workspace, found),
            log=read_end_of_log(workspace, number, LOG_LINES) if may(request, "GET", paths.LOG_OF_ROUND) else "",
            log_lines=LOG_LINES,
            can_retry=_can_retry(found, folds),
            is_active=found.state not in ENDED_ROUNDS,
            note=note,
            message=message,
        )
        if "hx-request" in request.headers and found.state in ENDED_ROUNDS:
            reply.headers["HX-Refresh"] = "true"  # it has ended since the page was loaded: show all of it anew
        return reply

    @routes.get(paths.ROUNDS)
    def get_rounds(request: Request, reader: CurrentReader, cursor: str | None = None) -> Response:
        return list_page(request, reader, cursor=cursor)

    @routes.post(paths.ROUNDS, dependencies=forms.checks)
    def start_round(
        request: Request,
        reader: CurrentReader,
        kind: Annotated[Kind, Form()] = Kind.ORDINARY,
        include_held_out: Annotated[bool, Form()] = False,
    ) -> Response:
        try:
            number = service.start(
                workspace,
                actor=reader.name,
                final=kind is Kind.FINAL,
                include_held_out=include_held_out,
                pretrain=kind is Kind.PRETRAIN,
            )
        except (Conflict, InvalidInput) as error:
            return list_page(request, reader, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.ROUND.format(number=number)}?note=started")

    @routes.get(paths.ROUND)
    def get_round(request: Request, number: Number, note: str = "") -> Response:
        return round_page(request, number, note=note)

    @routes.get(paths.CHART_OF_ROUND)
    def get_chart(number: Number, file: str) -> Response:
        read_round(catalog, number)  # there is such a round
        name, ending = split_name(file)
        make = _CHARTS.get(name)
        chart = None if make is None else make(read_folds(catalog, number))
        return send_chart(chart, f"round-{number}-{name}", ending)

    @routes.post(paths.CANCEL_ROUND, dependencies=forms.checks)
    def cancel_round(request: Request, number: Number, reader: CurrentReader) -> Response:
        try:
            service.cancel(workspace, number, actor=reader.name)
        except Conflict as error:
            return round_page(request, number, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.ROUND.format(number=number)}?note=cancelled")

    @routes.post(paths.RETRY_ROUND, dependencies=forms.checks)
    def retry_round(request: Request, number: Number, reader: CurrentReader) -> Response:
        try:
            service.retry(workspace, number, actor=reader.name)
        except Conflict as error:
            return round_page(request, number, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.ROUND.format(number=number)}?note=retried")


def _card(workspace: OpenedWorkspace, found: RoundDetail) -> CardOut | None:
    """The card of what the round learned from; None before it has registered a version with one."""
    if found.model_version is None:
        return None
    try:
        return read_card(workspace.catalog, found.model_version)
    except NotFound:
        return None


def _can_retry(found: RoundDetail, folds: list[FoldDetail]) -> bool:
    """As the service decides: it failed, was cancelled, or lacks a fold."""
    incomplete = len(folds) > 1 and any(fold.state is not FoldState.DONE for fold in folds)
    return found.state in (RoundState.FAILED, RoundState.CANCELLED) or (found.state is RoundState.DONE and incomplete)
