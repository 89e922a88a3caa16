"""Who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

NOBODY = "anonymous"


def _actor(request: Request) -> str:
    # Set by whatever signs requests in; without sign-in nobody has a name.
    return getattr(request.state, "user", None) or NOBODY


Actor = Annotated[str, Depends(_actor)]
