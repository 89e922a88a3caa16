"""``/agreement`` and ``/suspicious``: how far readers agree, and which masks somebody should look at."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.api import paging
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.http.readers import CurrentReader
from mrseg_label.reports.agreement import read_agreement, read_own_agreement
from mrseg_label.reports.documents.agreement import OwnAgreementOut, ReaderAgreementOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.suspicious import SuspiciousMaskOut
from mrseg_label.reports.suspicious import read_suspicious


def router(workspace: OpenedWorkspace) -> APIRouter:
    """Assemble the routes."""
    routes = APIRouter(tags=["annotations"])

    @routes.get("/agreement", summary="How far independent readings of the same cases agree, by structure and reader")
    def get_agreement(reader: paging.Filter = None) -> ReaderAgreementOut:
        return read_agreement(workspace, reader)

    @routes.get("/agreement/mine", summary="How far your readings agree with those of others, by structure")
    def get_own_agreement(reader: CurrentReader) -> OwnAgreementOut:
        return read_own_agreement(workspace, reader.name)

    @routes.get(
        "/suspicious", summary="List masks that somebody should look at, with the reasons, the most suspicious first"
    )
    def list_suspicious(
        kind: SuspicionKind | None = None, limit: paging.Limit = paging.LIMIT, cursor: paging.Cursor = None
    ) -> Page[SuspiciousMaskOut]:
        return read_suspicious(workspace.catalog, limit, cursor, kind)

    return routes
