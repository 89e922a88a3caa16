"""``/info/``: models, labels, strategies, progress."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.params import reader_of
from mrseg_monailabel.protocol_app import ProtocolApp


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the route that Slicer calls when it connects and after every submission."""
    routes = APIRouter(prefix="/info", tags=["MONAI Label"])

    @routes.get("/", summary="Get models, labels, strategies and progress")
    def info(identity: CurrentIdentity) -> dict[str, Any]:
        return app.info(reader_of(None, identity))

    return routes
