"""Examinations and their annotations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mrseg_label.api import paging
from mrseg_label.api.documents.base import Page
from mrseg_label.api.documents.examinations import AnnotationOut, ExaminationOut
from mrseg_label.api.reading import read_annotations, read_examination, read_examinations
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries.reports import ExaminationFilter
from mrseg_label.workspace import Workspace

Text = Annotated[str | None, Query(max_length=255)]


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/examinations``."""
    routes = APIRouter(prefix="/examinations", tags=["examinations"])

    @routes.get("", summary="Examinations, newest first")
    def list_examinations(
        participant: Text = None,
        station: Text = None,
        sequence: Text = None,
        annotated: bool | None = None,
        excluded: bool | None = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[ExaminationOut]:
        wanted = ExaminationFilter(participant, station, sequence, annotated, excluded)
        found = read_examinations(catalog, wanted, limit + 1, paging.decode_position(cursor))
        shown, last = paging.page(found, limit)
        return Page(items=list(shown), next=paging.encode(last.created, last.id) if last else None)

    @routes.get("/{examination}", summary="An examination")
    def get_examination(examination: str) -> ExaminationOut:
        return read_examination(catalog, examination)

    @routes.get("/{examination}/annotations", summary="Every submission for it or its group, newest first")
    def list_annotations(
        examination: str, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[AnnotationOut]:
        found = read_annotations(catalog, examination, limit + 1, paging.decode_number(cursor))
        shown, last = paging.page(found, limit)
        return Page(items=list(shown), next=paging.encode(last.number) if last else None)

    return routes
