"""``/info/``: models, labels, strategies, progress."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mrseg_monailabel.loop import LoopApp


def router(app: LoopApp) -> APIRouter:
    """What Slicer asks for when it connects and after every submission."""
    routes = APIRouter(prefix="/info", tags=["MONAI Label"])

    @routes.get("/", summary="Models, labels, strategies, progress")
    def info() -> dict[str, Any]:
        return app.info()

    return routes
