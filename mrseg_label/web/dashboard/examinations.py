"""``/dashboard/examinations/{examination}``: its draft, its annotations with the effort, and excluding it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentReader
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.exclusion import exclude, include
from mrseg_label.reports.audit import read_audit_of_examination
from mrseg_label.reports.blinding import as_seen_by, hides_cases, without_case
from mrseg_label.reports.cases import (
    read_annotations_of,
    read_channels,
    read_drafts,
    read_examination,
)
from mrseg_label.reports.slices import PlaneName
from mrseg_label.reports.stations import read_stations
from mrseg_label.reports.viewing import may_open, read_view, read_visible_annotation_ids
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.navigation import may
from mrseg_label.web.pages import page, redirect, sentence

ANNOTATIONS = 100  # of a case, at most
DRAFTS = 20  # of a case, at most
EVENTS = 50  # of the audit trail, at most
_Decision = Annotated[str, Form(max_length=20)]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the page of an examination and its forms."""
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
        found = as_seen_by(workspace, reader, read_examination(catalog, examination, reader.role))
        every = read_annotations_of(catalog, examination, ANNOTATIONS, None, reader.sees_annotations_of).items
        channels, reasons = read_channels(catalog, examination)
        hidden = hides_cases(workspace, reader)
        if hidden:  # by his own he would know which of his cases it is, and by others whether one is a gold case
            every, reasons, channels = [], {}, [without_case(one) for one in channels]
        visible = read_visible_annotation_ids(catalog, examination, reader)
        values: dict[str, Any] = {
            "examination": found,
            "channels": channels,
            "reasons": reasons,
            "drafts": read_drafts(catalog, examination, DRAFTS),
            "annotations": [annotation for annotation in every if annotation.id in visible],
            "hidden": any(annotation.id not in visible for annotation in every),
            "view": read_view(workspace, examination, reader)
            if not hidden and may_open(workspace, examination, reader)
            else None,
            "stations": read_stations(workspace, examination, reader),
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

    @routes.post(paths.DECIDE_CHANNEL, dependencies=forms.checks)
    def decide_channel(
        request: Request,
        reader: CurrentReader,
        examination: str,
        swap: _Decision = "",
        misregistration: _Decision = "",
        propagation: _Decision = "",
    ) -> Response:
        found = read_examination(catalog, examination)
        sent = {"swap": swap, "misregistration": misregistration, "propagation": propagation}
        values = {name: value for name, value in sent.items() if value}
        try:
            edit_examinations(catalog, [found.id], values, actor=reader.name)
        except (Conflict, InvalidInput) as error:
            return examination_page(request, reader, examination, error.http_status, message=sentence(error))
        return redirect(request, f"{paths.EXAMINATION.format(examination=found.id)}?note=decided#channels")
