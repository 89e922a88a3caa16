"""``/agreement`` and ``/suspicious``: how far readers agree, and which masks somebody should look at."""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.annotation import dismissal
from mrseg_label.api import paging
from mrseg_label.api.requests import DismissalRequest, ReaderRequest
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.http.readers import CurrentReader, with_client_name
from mrseg_label.reports.agreement import read_agreement, read_own_agreement
from mrseg_label.reports.documents.agreement import OwnAgreementOut, ReaderAgreementOut
from mrseg_label.reports.documents.base import Page
from mrseg_label.reports.documents.suspicious import SuspiciousMaskOut
from mrseg_label.reports.suspicious import read_suspicious, read_suspicious_mask


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
        kind: SuspicionKind | None = None,
        dismissed: bool = False,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[SuspiciousMaskOut]:
        return read_suspicious(workspace.catalog, limit, cursor, kind, dismissed=dismissed)

    @routes.post("/suspicious/{mask}/dismiss", summary="Dismiss a suspicious mask that is in order, with the reason")
    def dismiss_mask(mask: str, reader: CurrentReader, request: DismissalRequest) -> SuspiciousMaskOut:
        named = with_client_name(reader, request.client)
        dismissal.dismiss(workspace.catalog, mask, actor=named.name, comment=request.reason)
        return read_suspicious_mask(workspace.catalog, mask)

    @routes.post("/suspicious/{mask}/restore", summary="List a dismissed mask again")
    def restore_mask(mask: str, reader: CurrentReader, request: ReaderRequest | None = None) -> SuspiciousMaskOut:
        named = with_client_name(reader, request.client if request else None)
        dismissal.restore(workspace.catalog, mask, actor=named.name)
        return read_suspicious_mask(workspace.catalog, mask)

    return routes
