"""``/train/``: how a round goes. Slicer starts and stops none (see :mod:`mrseg_monailabel.train`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from mrseg_label.errors import NotFound
from mrseg_monailabel.loop import MODEL, LoopApp


def router(app: LoopApp) -> APIRouter:
    """Status of the rounds in MONAI Label's form."""
    routes = APIRouter(prefix="/train", tags=["MONAI Label"])

    @routes.get("/", summary="Status of the newest round; with check_if_running 404 where none runs")
    def status(check_if_running: bool = False, all: bool = False) -> Any:
        if check_if_running and not app.trainer().running():
            raise NotFound("no round is under way")
        answer = app.trainer().status()
        return [answer] if all else answer

    @routes.post("/", summary="Starts nothing; the status", include_in_schema=False)
    def run_all(params: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        return {MODEL: {"result": app.train({"model": MODEL}), "detail": None}}

    @routes.post("/{model}", summary="Starts nothing: rounds start by themselves; the status")
    def run(model: str, params: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        return app.train({**(params or {}), "model": model})

    @routes.delete("/", summary="Stops nothing: an admin cancels a round; the status")
    def stop() -> dict[str, Any]:
        return app.trainer().stop()

    return routes
