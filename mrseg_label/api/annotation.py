"""``/annotations``: read them, review them, compare two."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.requests import Request

from mrseg_label.annotation import review
from mrseg_label.api import paging
from mrseg_label.api.requests import ReaderRequest, ReviewRequest, SendBackRequest
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.http.downloads import DICOM, FILE_RESPONSES, MaskFormat, send_made, send_recorded
from mrseg_label.http.locations import Locate
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.blinding import as_seen_by
from mrseg_label.reports.cases import read_annotation, read_annotations, read_readings
from mrseg_label.reports.dicom_files import make_segmentation_file
from mrseg_label.reports.documents.annotations import AnnotationOut, ReadingsOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.downloads import find_mask


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes under ``/annotations``."""
    routes = APIRouter(prefix="/annotations", tags=["annotations"])
    catalog = workspace.catalog

    @routes.get("", summary="List the annotations of all examinations, newest first")
    def list_annotations(
        reader: CurrentReader,
        state: AnnotationState | None = None,
        author: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AnnotationOut]:
        wanted = reader.sees_annotations_of or author
        return as_seen_by(workspace, reader, read_annotations(catalog, state, wanted, limit, cursor))

    @routes.get("/{annotation}", summary="Get an annotation")
    def get_annotation(annotation: str, reader: CurrentReader) -> AnnotationOut:
        found = read_annotation(catalog, annotation)
        reader.check_may_see_annotations_of(found.author)
        return as_seen_by(workspace, reader, found)

    @routes.head("/{annotation}/mask", include_in_schema=False)
    @routes.get(
        "/{annotation}/mask",
        summary="Download the mask of an annotation: NIfTI with the label ids of the scheme, or a DICOM segmentation",
        response_class=FileResponse,
        responses=FILE_RESPONSES,
    )
    def get_mask(
        annotation: str, reader: CurrentReader, request: Request, format: MaskFormat = MaskFormat.NIFTI
    ) -> Response:
        reader.check_may_see_annotations_of(read_annotation(catalog, annotation).author)
        if format is MaskFormat.DICOM_SEG:
            made = make_segmentation_file(workspace, annotation, reader)
            return send_made(request, catalog, reader, made.name, made.data, DICOM)
        return send_recorded(request, catalog, reader, find_mask(workspace, annotation, reader))

    @routes.get(
        "/{annotation}/compare/{other}", summary="Compare two readings of a case: DSC, NSD and HD95 by structure"
    )
    def compare_readings(annotation: str, other: str) -> ReadingsOut:
        return read_readings(workspace, annotation, other)

    @routes.post("/{annotation}/accept", summary="Accept an annotation: it counts from now on")
    def accept(annotation: str, reader: CurrentReader, request: ReviewRequest) -> AnnotationOut:
        reviewer = with_client_name(reader, request.client).name
        review.accept(catalog, annotation, reviewer=reviewer, comment=request.comment)
        return read_annotation(catalog, annotation)

    @routes.post("/{annotation}/reject", summary="Reject an annotation: it goes back to its author, with a comment")
    def reject(annotation: str, reader: CurrentReader, request: ReviewRequest) -> AnnotationOut:
        reviewer = with_client_name(reader, request.client).name
        review.reject(catalog, annotation, reviewer=reviewer, comment=request.comment)
        return read_annotation(catalog, annotation)

    @routes.post(
        "/{annotation}/send-back",
        summary="Send an annotation back, accepted or not: it no longer counts, and its author or another reader corrects it",
    )
    def send_back(annotation: str, reader: CurrentReader, request: SendBackRequest) -> AnnotationOut:
        actor = with_client_name(reader, request.client).name
        review.send_back(workspace, annotation, actor=actor, comment=request.comment, reader=request.reader)
        return read_annotation(catalog, annotation)

    @routes.post(
        "/{annotation}/withdraw", summary="Withdraw an annotation: it no longer counts, and nothing is deleted"
    )
    def withdraw(annotation: str, reader: CurrentReader, request: ReviewRequest) -> AnnotationOut:
        reader.check_may_see_annotations_of(read_annotation(catalog, annotation).author)
        actor = with_client_name(reader, request.client).name
        review.withdraw(catalog, annotation, actor=actor, comment=request.comment)
        return as_seen_by(workspace, reader, read_annotation(catalog, annotation))

    @routes.post("/{annotation}/restore", summary="Restore an annotation: a new one with the same mask, which counts")
    def restore(annotation: str, reader: CurrentReader, request: ReaderRequest, locate: Locate) -> AnnotationOut:
        made = review.restore(workspace, annotation, actor=with_client_name(reader, request.client).name)
        locate(f"/annotations/{made.annotation_id}")
        return read_annotation(catalog, made.annotation_id)

    return routes
