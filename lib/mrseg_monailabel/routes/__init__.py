"""The routes of the MONAI Label protocol. No logic: parse, call the app object, render.

All are plain functions that run in threads, so that a slow one never keeps the others waiting.
"""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.problems import PLAIN_RESPONSES
from mrseg_monailabel.loop import LoopApp
from mrseg_monailabel.routes import activelearning, auth, datastore, infer, info, session, train


def router(app: LoopApp) -> APIRouter:
    """All routes of the protocol over one app object."""
    collected = APIRouter(responses=PLAIN_RESPONSES, form_limits=FORM_LIMITS)
    for module in (auth, info, activelearning, datastore, infer, train, session):
        collected.include_router(module.router(app))
    return collected
