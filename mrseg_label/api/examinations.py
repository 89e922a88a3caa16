"""Examinations and their annotations; cases that readers request, return or mark unusable."""

from __future__ import annotations

from fastapi import APIRouter, status

from mrseg_label.api import paging
from mrseg_label.api.requests import AssignmentRequest, ReaderRequest, UnusableRequest
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.listings import ExaminationFilter
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.cases import (
    read_acquisition_id,
    read_annotations_of,
    read_examination,
    read_examinations,
)
from mrseg_label.reports.documents.annotations import AssignmentOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.examinations import AnnotationOut, ExaminationOut
from mrseg_label.reports.paging import decode_number, decode_position, encode_cursor, split_page
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.requests import Purpose, request_case


def router(workspace: OpenedWorkspace) -> APIRouter:
    """``/examinations``."""
    routes = APIRouter(prefix="/examinations", tags=["examinations"])
    catalog = workspace.catalog

    @routes.get("", summary="List examinations, newest first")
    def list_examinations(
        reader: CurrentReader,
        station: paging.Filter = None,
        sequence: paging.Filter = None,
        annotated: bool | None = None,
        excluded: bool | None = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[ExaminationOut]:
        # No filter by participant: nothing that names a person belongs in an address.
        wanted = ExaminationFilter(station, sequence, annotated, excluded)
        found = read_examinations(catalog, wanted, limit + 1, decode_position(cursor))
        shown, last = split_page(found, limit)
        items = [item.for_role(reader.role) for item in shown]
        return Page(items=items, next=encode_cursor(last.created, last.id) if last else None)

    @routes.post(
        "/assign",
        status_code=status.HTTP_201_CREATED,
        summary="Reserve a case for a reader: to correct it again, for a second reading, for a review",
    )
    def assign(reader: CurrentReader, request: AssignmentRequest) -> AssignmentOut:
        if request.purpose is Purpose.REVIEW:
            reader.check_may_review()
        acquisition = None if request.examination is None else read_acquisition_id(catalog, request.examination)
        named = with_client_name(reader, request.client)
        return AssignmentOut.of(request_case(workspace, named, request.purpose, acquisition))

    @routes.post(
        "/hand-out",
        status_code=status.HTTP_201_CREATED,
        summary="Reserve a case for a reader (use /examinations/assign)",
        deprecated=True,
    )
    def hand_out(reader: CurrentReader, request: AssignmentRequest) -> AssignmentOut:
        return assign(reader, request)

    @routes.get("/{examination}", summary="Get an examination")
    def get_examination(examination: str, reader: CurrentReader) -> ExaminationOut:
        return read_examination(catalog, examination).for_role(reader.role)

    @routes.get("/{examination}/annotations", summary="List the annotations of its acquisition, newest first")
    def list_annotations(
        examination: str,
        reader: CurrentReader,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AnnotationOut]:
        author = reader.sees_annotations_of
        found = read_annotations_of(catalog, examination, limit + 1, decode_number(cursor), author)
        shown, last = split_page(found, limit)
        return Page(items=list(shown), next=encode_cursor(last.number) if last else None)

    @routes.post("/{examination}/return", summary="Return a case to the queue without an annotation")
    def return_to_queue(examination: str, reader: CurrentReader, request: ReaderRequest) -> ExaminationOut:
        named = with_client_name(reader, request.client)
        worklist.return_to_queue(catalog, named, read_acquisition_id(catalog, examination))
        return read_examination(catalog, examination).for_role(reader.role)

    @routes.post(
        "/{examination}/release",
        summary="Return a case to the queue (use /examinations/{examination}/return)",
        deprecated=True,
    )
    def release(examination: str, reader: CurrentReader, request: ReaderRequest) -> ExaminationOut:
        return return_to_queue(examination, reader, request)

    @routes.post("/{examination}/unusable", summary="Take a case out of queue and count, with the reason")
    def mark_unusable(examination: str, reader: CurrentReader, request: UnusableRequest) -> ExaminationOut:
        acquisition = read_acquisition_id(catalog, examination)
        worklist.mark_unusable(catalog, with_client_name(reader, request.client), acquisition, request.reason)
        return read_examination(catalog, examination).for_role(reader.role)

    return routes
