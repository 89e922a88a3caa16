"""``/auth/``: the module asks before every request whether it has to sign in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mrseg_monailabel.loop import LoopApp


def router(app: LoopApp) -> APIRouter:
    """The question and its answer."""
    routes = APIRouter(prefix="/auth", tags=["MONAI Label"])

    @routes.get("/", summary="Whether sign-in is on")
    def enabled() -> dict[str, Any]:
        return {"enabled": app.workspace.settings.auth == "on", "client_id": app.name, "realm": ""}

    return routes
