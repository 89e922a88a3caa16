"""``/train/``: the progress of a round; nothing is started or stopped (see :mod:`mrseg_monailabel.train`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from mrseg_label.errors import NotFound
from mrseg_label.http.readers import CurrentIdentity
from mrseg_monailabel.params import READER, reader_of
from mrseg_monailabel.protocol_app import MODEL, ProtocolApp


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the routes that show rounds as MONAI Label's training."""
    routes = APIRouter(prefix="/train", tags=["MONAI Label"])

    @routes.get("/", summary="Get the status of the newest round; with check_if_running 404 where none is running")
    def status(identity: CurrentIdentity, check_if_running: bool = False, all: bool = False) -> Any:
        if check_if_running and not app.trainer().running():
            raise NotFound("no round is queued or running")
        answer = app.trainer().status(reader_of(None, identity))
        return [answer] if all else answer

    @routes.post("/", summary="Get the status; nothing is started", include_in_schema=False)
    def run_all(
        identity: CurrentIdentity,
        params: Annotated[dict[str, Any] | None, Body()] = None,  # noqa: ARG001 - checked to be an object
    ) -> dict[str, Any]:
        return {MODEL: {"result": app.train({"model": MODEL, READER: reader_of(None, identity)}), "detail": None}}

    @routes.post("/{model}", summary="Get the status; nothing is started, since rounds start automatically")
    def run(
        model: str, identity: CurrentIdentity, params: Annotated[dict[str, Any] | None, Body()] = None
    ) -> dict[str, Any]:
        return app.train({**(params or {}), "model": model, READER: reader_of(None, identity)})

    @routes.delete("/", summary="Get the status; nothing is stopped, since only an admin cancels a round")
    def stop(identity: CurrentIdentity) -> dict[str, Any]:
        return app.trainer().stop(reader_of(None, identity))

    return routes
