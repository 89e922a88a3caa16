"""``/dashboard/examinations``: find an examination; its draft, its annotations with the effort, and excluding it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.types import CaseState
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader
from mrseg_label.intake.exclusion import exclude, include
from mrseg_label.reports.audit import read_audit_of_examination
from mrseg_label.reports.cases import (
    read_annotations_of,
    read_channels,
    read_drafts,
    read_examination,
    read_examinations,
)
from mrseg_label.reports.slices import PlaneName
from mrseg_label.reports.viewing import may_open, read_view, read_visible_annotation_ids
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.navigation import may
from mrseg_label.web.pages import page, redirect, sentence

PER_PAGE = 50
OF_A_PARTICIPANT = 500  # at most, on the one page that a search shows
ANNOTATIONS = 100  # of a case, at most
DRAFTS = 20  # of a case, at most
EVENTS = 50  # of the audit trail, at most
_Word = Annotated[str, Query(max_length=255)]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the pages and forms of examinations."""
    catalog = workspace.catalog

    def examination_page(
        request: Request,
        reader: CurrentReader,
        examination: str,
        status: int = 200,
        *,
        note: str = "",
        message: str = "",
    ) -> Response:
        found = read_examination(catalog, examination, reader.role)
        every = read_annotations_of(catalog, examination, ANNOTATIONS, None, reader.sees_annotations_of).items
        visible = read_visible_annotation_ids(catalog, examination, reader)
        values: dict[str, Any] = {
            "examination": found,
            "channels": read_channels(catalog, examination),
            "drafts": read_drafts(catalog, examination, DRAFTS),
            "annotations": [annotation for annotation in every if annotation.id in visible],
            "hidden": any(annotation.id not in visible for annotation in every),
            "view": read_view(workspace, examination, reader) if may_open(workspace, examination, reader) else None,
            "events": read_audit_of_examination(catalog, examination, EVENTS)
            if may(request, "GET", paths.AUDIT)
            else [],
            "events_most": EVENTS,
            "planes": list(PlaneName),
            "only_own": reader.sees_annotations_of is not None,
            "note": note,
            "message": message,
        }
        return page(request, "dashboard/examination.html", status, **values)

    @routes.get(paths.EXAMINATIONS)
    def list_examinations(
        request: Request,
        reader: CurrentReader,
        station: _Word = "",
        sequence: _Word = "",
        state: CaseState | None = None,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> Response:
        # No filter by participant: nothing that identifies a person belongs in an address.
        wanted = ExaminationFilter(station or None, sequence or None, state=state)
        filters = {"station": station, "sequence": sequence, "state": state.value if state else ""}
        values: dict[str, Any] = {
            "found": read_examinations(catalog, wanted, PER_PAGE, cursor, reader.role),
            "filters": filters,
            "query": urlencode({name: value for name, value in filters.items() if value}),
            "states": list(CaseState),
            "first": cursor is None,
            "participant": "",
        }
        return page(request, "dashboard/examinations.html", **values)

    @routes.post(paths.SEARCH_PARTICIPANT, dependencies=forms.checks)
    def search_participant(
        request: Request, reader: CurrentReader, participant: Annotated[str, Form(max_length=255)] = ""
    ) -> Response:
        code = participant.strip()
        wanted = ExaminationFilter(participant=code if code.isprintable() else "")
        values: dict[str, Any] = {
            "found": read_examinations(catalog, wanted, OF_A_PARTICIPANT, None, reader.role),
            "filters": {"station": "", "sequence": "", "state": ""},
            "query": "",
            "states": list(CaseState),
            "first": True,
            "participant": code,
        }
        return page(request, "dashboard/examinations.html", **values)

    @routes.get(paths.EXAMINATION)
    def get_examination(request: Request, reader: CurrentReader, examination: str, note: str = "") -> Response:
        return examination_page(request, reader, examination, note=note)

    @routes.post(paths.EXCLUDE, dependencies=forms.checks)
    def exclude_case(
        request: Request,
        reader: CurrentReader,
        examination: str,
        reason: Annotated[str, Form(max_length=1000)] = "",
    ) -> Response:
        found = read_examination(
            catalog, examination
        )  # by its own id alone: the code of a participant excludes them all
        try:
            exclude(catalog, found.id, reason=reason, actor=reader.name)
        except (Conflict, InvalidInput) as error:
            return examination_page(request, reader, examination, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.EXAMINATION.format(examination=found.id)}?note=excluded")

    @routes.post(paths.INCLUDE, dependencies=forms.checks)
    def include_case(request: Request, reader: CurrentReader, examination: str) -> Response:
        found = read_examination(catalog, examination)
        try:
            include(catalog, found.id, actor=reader.name)
        except Conflict as error:
            return examination_page(request, reader, examination, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.EXAMINATION.format(examination=found.id)}?note=included")
