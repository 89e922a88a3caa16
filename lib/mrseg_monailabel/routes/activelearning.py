"""``/activelearning/{strategy}``: the next case."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.params import READER, reader_of
from mrseg_monailabel.protocol_app import ProtocolApp


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the route that assigns cases."""
    routes = APIRouter(prefix="/activelearning", tags=["MONAI Label"])

    @routes.post("/{strategy}", summary="Assign the next case; an empty object when none is left")
    def sample(
        strategy: str, identity: CurrentIdentity, params: Annotated[dict[str, Any] | None, Body()] = None
    ) -> dict[str, Any]:
        return app.next_sample({**(params or {}), "strategy": strategy, READER: reader_of(params, identity)})

    return routes
