"""The routes of the MONAI Label protocol. They hold no logic: parse, call the app object, render.

All are plain functions that run in threads, so that a slow one never blocks the others.
"""

from __future__ import annotations

from fastapi import APIRouter

from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.problems import PLAIN_RESPONSES
from mrseg_label.http.queries import only_declared_parameters
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.routes import activelearning, auth, datastore, infer, info, session, train

# What MONAI Label's clients, the old ones too, send to some routes, and what means nothing here: who asks is in the
# params or the token, and nothing that they start is trained.
SENT_BY_CLIENTS = ("client_id", "user", "run_sync", "enqueue")


def router(app: ProtocolApp) -> APIRouter:
    """Assemble all routes of the protocol over one app object."""
    collected = APIRouter(
        responses=PLAIN_RESPONSES, form_limits=FORM_LIMITS, dependencies=[only_declared_parameters(*SENT_BY_CLIENTS)]
    )
    for module in (auth, info, activelearning, datastore, infer, train, session):
        collected.include_router(module.router(app))
    return collected
