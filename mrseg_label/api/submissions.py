"""Submissions: look at them, decide on them, compare two."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from mrseg_label.annotation import review
from mrseg_label.annotation.readings import compare
from mrseg_label.api import paging
from mrseg_label.api.caller import Actor, CallerRole, check_own, own_only, reader
from mrseg_label.api.documents.annotations import Decision, Named, ReadingsOut
from mrseg_label.api.documents.base import Page
from mrseg_label.api.documents.examinations import AnnotationOut
from mrseg_label.api.reading import annotation_file, read_annotation, read_submissions
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.types import ANONYMOUS, RevisionState
from mrseg_label.workspace import Workspace


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/annotations``."""
    routes = APIRouter(prefix="/annotations", tags=["annotations"])

    @routes.get("", summary="Submissions for all examinations, newest first")
    def list_submissions(
        state: RevisionState | None = None,
        author: paging.Filter = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
        actor: Actor = ANONYMOUS,
        role: CallerRole = None,
    ) -> Page[AnnotationOut]:
        author = own_only(actor, role) or author
        found = read_submissions(catalog, state, author, limit + 1, paging.decode_position(cursor))
        shown, last = paging.page(found, limit)
        return Page(items=list(shown), next=paging.encode(last.created, last.id) if last else None)

    @routes.get("/{annotation}", summary="A submission")
    def get_annotation(annotation: str, actor: Actor, role: CallerRole) -> AnnotationOut:
        found = read_annotation(catalog, annotation)
        check_own(actor, role, found.author)
        return found

    @routes.get(
        "/{annotation}/mask",
        summary="Its mask as it is stored, NIfTI with the scheme's ids",
        response_class=FileResponse,
        responses={200: {"content": {"application/gzip": {}}, "description": "the mask"}},
    )
    def get_mask(annotation: str, actor: Actor, role: CallerRole) -> FileResponse:
        check_own(actor, role, read_annotation(catalog, annotation).author)
        path = annotation_file(workspace, catalog, annotation)
        return FileResponse(path, media_type="application/gzip", filename=f"{annotation}.nii.gz")

    @routes.get("/{annotation}/compare/{other}", summary="DSC and HD95 of two readings of one case, per structure")
    def compare_readings(annotation: str, other: str) -> ReadingsOut:
        return ReadingsOut.of(annotation, other, compare(workspace, catalog, annotation, other))

    @routes.post("/{annotation}/accept", summary="Confirm it as a second reader: it counts from now on")
    def accept(annotation: str, actor: Actor, decision: Decision) -> AnnotationOut:
        review.accept(catalog, annotation, reviewer=reader(actor, decision.client), comment=decision.comment)
        return read_annotation(catalog, annotation)

    @routes.post("/{annotation}/reject", summary="Send it back to its author, with a comment")
    def reject(annotation: str, actor: Actor, decision: Decision) -> AnnotationOut:
        review.reject(catalog, annotation, reviewer=reader(actor, decision.client), comment=decision.comment)
        return read_annotation(catalog, annotation)

    @routes.post("/{annotation}/withdraw", summary="Take it out of use; nothing is deleted")
    def withdraw(annotation: str, actor: Actor, role: CallerRole, decision: Decision) -> AnnotationOut:
        check_own(actor, role, read_annotation(catalog, annotation).author)
        review.withdraw(catalog, annotation, actor=reader(actor, decision.client), comment=decision.comment)
        return read_annotation(catalog, annotation)

    @routes.post("/{annotation}/restore", summary="Make its mask the case's mask again, as a new revision")
    def restore(annotation: str, actor: Actor, named: Named) -> AnnotationOut:
        made = review.restore(workspace, catalog, annotation, actor=reader(actor, named.client))
        return read_annotation(catalog, made.revision_id)

    return routes
