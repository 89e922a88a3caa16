"""``/examinations``: read them and their annotations; request a case, return it, mark it unusable."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status
from fastapi.responses import FileResponse, Response
from starlette.requests import Request

from mrseg_label.api import paging
from mrseg_label.api.requests import AssignmentRequest, CaseActionRequest, EditRequest, ReaderRequest, UnusableRequest
from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.types import CaseState, Priority, SwapState
from mrseg_label.http.downloads import (
    DICOM,
    FILE_RESPONSES,
    ImageFormat,
    MaskFormat,
    send_made,
    send_recorded,
    send_zip,
)
from mrseg_label.http.locations import Locate, located
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.reports.blinding import as_seen_by, check_sees_states, hides_cases
from mrseg_label.reports.cases import (
    read_acquisition_id,
    read_annotations_of,
    read_examination,
)
from mrseg_label.reports.dicom_files import make_current_segmentation_file, stream_series
from mrseg_label.reports.documents.annotations import AnnotationOut, AssignmentOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.drafts import ExaminationDetail
from mrseg_label.reports.documents.examinations import CasesChangedOut, EditOut, ExaminationOut
from mrseg_label.reports.documents.stations import StationOut
from mrseg_label.reports.downloads import find_current_mask, find_image
from mrseg_label.reports.examinations import describe_changes, find_cases, find_cases_of, parse_sort, read_examinations
from mrseg_label.reports.stations import read_stations
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.requests import Purpose, request_case


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/examinations``."""
    routes = APIRouter(prefix="/examinations", tags=["examinations"])
    catalog = workspace.catalog

    @routes.get("", summary="List examinations, newest first unless sorted otherwise")
    def list_examinations(
        reader: CurrentReader,
        station: paging.Filter = None,
        sequence: paging.Filter = None,
        annotated: bool | None = None,
        excluded: bool | None = None,
        state: CaseState | None = None,
        swap: SwapState | None = None,
        misregistration: Misregistration | None = None,
        priority: Priority | None = None,
        sort: Annotated[
            str, Query(max_length=40, description="stored, station or sequence; with - in front the other way round")
        ] = "-stored",
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[ExaminationOut]:
        # No filter by participant: nothing that identifies a person belongs in an address.
        wanted = ExaminationFilter(
            station, sequence, annotated, excluded, state, swap=swap, priority=priority, misregistration=misregistration
        )
        if state is not None or annotated is not None or excluded is not None:
            check_sees_states(workspace, reader)
        found = read_examinations(catalog, wanted, limit, cursor, reader.role, parse_sort(sort))
        return as_seen_by(workspace, reader, found)

    @routes.post(
        "/assign",
        status_code=status.HTTP_201_CREATED,
        responses=located(201),
        summary="Reserve a case for a reader: to correct it again, for a second reading, or for a review",
    )
    def assign(reader: CurrentReader, request: AssignmentRequest, locate: Locate) -> AssignmentOut:
        if request.purpose is Purpose.REVIEW:
            reader.check_may_review()
        acquisition = None if request.examination is None else read_acquisition_id(catalog, request.examination)
        named = with_client_name(reader, request.client)
        case = request_case(workspace, named, request.purpose, acquisition)
        document = AssignmentOut.of(case)
        if hides_cases(workspace, reader) and request.examination is not None:
            document = document.model_copy(update={"examination": request.examination})
        locate(f"/examinations/{document.examination}")
        return document

    @routes.post(
        "/hand-out",
        status_code=status.HTTP_201_CREATED,
        summary="Reserve a case for a reader; use /examinations/assign instead",
        deprecated=True,
    )
    def hand_out(reader: CurrentReader, request: AssignmentRequest, locate: Locate) -> AssignmentOut:
        return assign(reader, request, locate)

    @routes.post("/actions", summary="Exclude, include, assign, return or prioritise the cases of many examinations")
    def act(reader: CurrentReader, request: CaseActionRequest) -> CasesChangedOut:
        if request.matching is not None:
            cases = find_cases(catalog, request.matching.wanted(), request.matching.expected)
        else:
            cases = find_cases_of(catalog, request.examinations or [])
        return describe_changes(catalog, request.act().perform(workspace, cases, reader.name))

    @routes.get("/{examination}", summary="Get an examination, with the draft of its case")
    def get_examination(examination: str, reader: CurrentReader) -> ExaminationDetail:
        return as_seen_by(workspace, reader, read_examination(catalog, examination, reader.role))

    @routes.patch(
        "/{examination}",
        summary="Correct participant, session, station and sequence, and sex and age of the participant",
    )
    def edit(examination: str, reader: CurrentReader, request: EditRequest) -> EditOut:
        (edit,) = edit_examinations(catalog, [examination], request.values(), actor=reader.name, alone=request.alone)
        return EditOut.of(edit, read_examination(catalog, examination, reader.role))

    @routes.head("/{examination}/image", include_in_schema=False)
    @routes.get(
        "/{examination}/image",
        summary="Download the image of an examination: NIfTI, or a zip of the DICOM series that segmentations refer to",
        response_class=FileResponse,
        responses=FILE_RESPONSES,
    )
    def get_image(
        examination: str, reader: CurrentReader, request: Request, format: ImageFormat = ImageFormat.NIFTI
    ) -> Response:
        if format is ImageFormat.DICOM:
            return send_zip(request, catalog, reader, f"{examination}.zip", stream_series(workspace, examination))
        return send_recorded(request, catalog, reader, find_image(workspace, examination))

    @routes.head("/{examination}/mask", include_in_schema=False)
    @routes.get(
        "/{examination}/mask",
        summary="Download the mask of an examination: the newest accepted annotation of its acquisition",
        response_class=FileResponse,
        responses=FILE_RESPONSES,
    )
    def get_mask(
        examination: str, reader: CurrentReader, request: Request, format: MaskFormat = MaskFormat.NIFTI
    ) -> Response:
        if format is MaskFormat.DICOM_SEG:
            made = make_current_segmentation_file(workspace, examination, reader)
            return send_made(request, catalog, reader, made.name, made.data, DICOM)
        return send_recorded(request, catalog, reader, find_current_mask(workspace, examination, reader))

    @routes.get("/{examination}/stations", summary="List the stations of its session, from head to foot")
    def list_stations(examination: str, reader: CurrentReader) -> Page[StationOut]:
        return Page(items=read_stations(workspace, examination, reader), next=None)

    @routes.get("/{examination}/annotations", summary="List the annotations of its acquisition, newest first")
    def list_annotations(
        examination: str,
        reader: CurrentReader,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AnnotationOut]:
        found = read_annotations_of(catalog, examination, limit, cursor, reader.sees_annotations_of)
        # Which case an annotation of his is of, he may not know: he would find some of no case, and two of another.
        return found.model_copy(update={"items": [], "next": None}) if hides_cases(workspace, reader) else found

    @routes.post("/{examination}/return", summary="Return a case to the queue without an annotation")
    def return_to_queue(examination: str, reader: CurrentReader, request: ReaderRequest) -> ExaminationOut:
        named = with_client_name(reader, request.client)
        acquisition = read_acquisition_id(catalog, examination)
        worklist.return_to_queue(catalog, named, acquisition)
        return as_seen_by(workspace, reader, read_examination(catalog, examination, reader.role))

    @routes.post(
        "/{examination}/release",
        summary="Return a case to the queue; use /examinations/{examination}/return instead",
        deprecated=True,
    )
    def release(examination: str, reader: CurrentReader, request: ReaderRequest) -> ExaminationOut:
        return return_to_queue(examination, reader, request)

    @routes.post(
        "/{examination}/unusable", summary="Mark a case unusable: nobody is assigned it, and it does not count"
    )
    def mark_unusable(examination: str, reader: CurrentReader, request: UnusableRequest) -> ExaminationOut:
        acquisition = read_acquisition_id(catalog, examination)
        worklist.mark_unusable(catalog, with_client_name(reader, request.client), acquisition, request.reason)
        return as_seen_by(workspace, reader, read_examination(catalog, examination, reader.role))

    return routes
