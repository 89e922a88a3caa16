"""The header Location of replies that made something or will: where to read about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.http.paths import REST
from mrseg_label.http.public_address import public_path


def _locate(request: Request, response: Response) -> Callable[[str], None]:
    def locate(path: str) -> None:
        response.headers["Location"] = public_path(request, f"{REST}{path}")

    return locate


Locate = Annotated[Callable[[str], None], Depends(_locate)]  # takes a path below /api/v1


def located(status: int) -> dict[int | str, dict[str, Any]]:
    """Describe the header in the OpenAPI document, for replies with this status."""
    header = {"description": "where to read about it", "schema": {"type": "string"}}
    return {status: {"headers": {"Location": header}}}
