"""Examinations and their annotations."""

from __future__ import annotations

from fastapi import APIRouter, status

from mrseg_label.api import paging
from mrseg_label.api.caller import Actor, CallerRole, check_decides, names, own_only, reader
from mrseg_label.api.documents.annotations import HandedOutOut, Named, Unusable, Wish
from mrseg_label.api.documents.base import Page
from mrseg_label.api.documents.examinations import AnnotationOut, ExaminationOut
from mrseg_label.api.reading import read_acquisition_id, read_annotations, read_examination, read_examinations
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries.reports import ExaminationFilter
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.asking import Purpose, ask_for
from mrseg_label.workspace import Workspace


def router(workspace: Workspace, catalog: Catalog) -> APIRouter:
    """``/examinations``."""
    routes = APIRouter(prefix="/examinations", tags=["examinations"])

    @routes.get("", summary="Examinations, newest first")
    def list_examinations(
        station: paging.Filter = None,
        sequence: paging.Filter = None,
        annotated: bool | None = None,
        excluded: bool | None = None,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
        role: CallerRole = None,
    ) -> Page[ExaminationOut]:
        # No filter by participant: what names a person does not belong into an address.
        wanted = ExaminationFilter(station, sequence, annotated, excluded)
        found = read_examinations(catalog, wanted, limit + 1, paging.decode_position(cursor))
        shown, last = paging.page(found, limit)
        return Page(
            items=[item.for_role(role) for item in shown], next=paging.encode(last.created, last.id) if last else None
        )

    @routes.post(
        "/hand-out",
        status_code=status.HTTP_201_CREATED,
        summary="Reserve a case: again, for a second reading, a review",
    )
    def hand_out(actor: Actor, role: CallerRole, wish: Wish) -> HandedOutOut:
        if wish.purpose is Purpose.REVIEW:
            check_decides(role)
        acquisition = None if wish.examination is None else read_acquisition_id(catalog, wish.examination)
        client, user = names(actor, wish.client)
        given = ask_for(
            workspace,
            catalog,
            purpose=wish.purpose,
            client=client,
            user=user,
            acquisition_id=acquisition,
            own_only=own_only(actor, role) is not None,
        )
        return HandedOutOut.of(given)

    @routes.get("/{examination}", summary="An examination")
    def get_examination(examination: str, role: CallerRole) -> ExaminationOut:
        return read_examination(catalog, examination).for_role(role)

    @routes.get("/{examination}/annotations", summary="Every submission for it or its group, newest first")
    def list_annotations(
        examination: str,
        actor: Actor,
        role: CallerRole,
        limit: paging.Limit = paging.LIMIT,
        cursor: paging.Cursor = None,
    ) -> Page[AnnotationOut]:
        author = own_only(actor, role)
        found = read_annotations(catalog, examination, limit + 1, paging.decode_number(cursor), author)
        shown, last = paging.page(found, limit)
        return Page(items=list(shown), next=paging.encode(last.number) if last else None)

    @routes.post("/{examination}/release", summary="Give a case back without a submission")
    def release(examination: str, actor: Actor, role: CallerRole, named: Named) -> ExaminationOut:
        client, user = names(actor, named.client)
        worklist.give_back(catalog, acquisition_id=read_acquisition_id(catalog, examination), client=client, user=user)
        return read_examination(catalog, examination).for_role(role)

    @routes.post("/{examination}/unusable", summary="Take a case out of queue and count, with the reason")
    def mark_unusable(examination: str, actor: Actor, role: CallerRole, wish: Unusable) -> ExaminationOut:
        acquisition = read_acquisition_id(catalog, examination)
        worklist.mark_unusable(
            catalog,
            acquisition_id=acquisition,
            reason=wish.reason,
            actor=reader(actor, wish.client),
            only_in_hands_of=own_only(actor, role),
        )
        return read_examination(catalog, examination).for_role(role)

    return routes
