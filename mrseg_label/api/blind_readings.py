"""``/gold`` and ``/metrics/draft-bias``: what readers submitted without knowing why; who is qualified."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.annotation.blind_readings import mark_gold, set_qualified, unmark_gold
from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.blind_readings import read_draft_bias, read_gold
from mrseg_label.reports.documents.blind_readings import DraftBiasOut, GoldOut


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes."""
    routes = APIRouter(tags=["annotations"])
    catalog = workspace.catalog

    @routes.get("/gold", summary="Gold cases, and the agreement of each reader with them over time")
    def get_gold(reader: paging.Filter = None) -> GoldOut:
        return read_gold(workspace, reader)

    @routes.post("/annotations/{annotation}/gold", summary="Mark an accepted annotation as gold")
    def mark(annotation: str, reader: CurrentReader) -> GoldOut:
        mark_gold(catalog, annotation, actor=reader.name)
        return read_gold(workspace)

    @routes.delete("/annotations/{annotation}/gold", summary="Stop to assign a gold case; its readings are kept")
    def unmark(annotation: str, reader: CurrentReader) -> GoldOut:
        unmark_gold(catalog, annotation, actor=reader.name)
        return read_gold(workspace)

    @routes.post("/readers/{name}/qualify", summary="Let the annotations of a radiologist count from now on")
    def qualify(name: str, reader: CurrentReader) -> GoldOut:
        set_qualified(catalog, name, actor=reader.name)
        return read_gold(workspace)

    @routes.post("/readers/{name}/disqualify", summary="Let further annotations of a radiologist await review")
    def disqualify(name: str, reader: CurrentReader) -> GoldOut:
        set_qualified(catalog, name, actor=reader.name, qualified=False)
        return read_gold(workspace)

    @routes.get("/metrics/draft-bias", summary="How far drafts influence what readers submit, with intervals")
    def get_draft_bias() -> DraftBiasOut:
        return read_draft_bias(workspace)

    return routes
