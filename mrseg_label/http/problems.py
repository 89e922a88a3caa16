"""Errors under ``/api/`` as problem documents.

References
----------
RFC 9457, Problem Details for HTTP APIs. https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mrseg_label.errors import MrsegError, TooManyRequests, Unauthorized

log = logging.getLogger("mrseg_label.api")
MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"  # any version


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = Field("about:blank", description="about:blank: the status says what kind of problem it is")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what was wrong, with which value, and what to do")
    instance: str | None = Field(None, description="path of the request")
    errors: list[dict[str, Any]] | None = Field(
        None, description="each part of the request that is wrong: where, message"
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request cannot be carried out", "content": {MEDIA_TYPE: {}}},
    "5XX": {"model": Problem, "description": "The server cannot answer now", "content": {MEDIA_TYPE: {}}},
}


class Refusal(BaseModel):
    """What went wrong, outside of ``/api/``: what MONAI Label's clients show to the radiologist."""

    detail: str = Field(description="what was wrong, with which value, and what to do")


PLAIN_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "The request cannot be carried out", "content": {"application/json": {}}},
    "5XX": {"model": Refusal, "description": "The server cannot answer now", "content": {"application/json": {}}},
}


def problem(request: Request, status: int, detail: str, *, headers: Any = None, **more: Any) -> Response:
    """A problem document under ``/api/``, ``{"detail": ...}`` elsewhere."""
    if not request.url.path.startswith(API_PREFIX):
        return JSONResponse({"detail": detail}, status_code=status, headers=headers)
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, instance=request.url.path, **more)
    body = content.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error with a message, never with a traceback."""
    app.add_exception_handler(MrsegError, _mrseg_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


def _mrseg_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MrsegError)
    return error_response(request, error)


def error_response(request: Request, error: MrsegError) -> Response:
    """What an error looks like over HTTP."""
    if error.http_status >= 500:
        log.error("%s %s: %s", request.method, _route(request), error)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    detail = str(error)
    if error.http_status >= 500 and getattr(request.state, "anonymous", False):
        detail = "the server cannot answer now; the server log says why"  # and names database and workspace
    return problem(request, error.http_status, detail, headers=headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(request, error.status_code, str(error.detail), headers=error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "message": _message_of(item)} for item in error.errors()
    ]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in errors)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def _message_of(item: Mapping[str, Any]) -> str:
    message: str = item["msg"]
    if "Expected UploadFile" not in message:
        return message
    # A part of a form without a file name is text.
    return "no file: it was sent without a file name, whose ending (.nii.gz, .nrrd ...) says what it is"


def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, _route(request), exc_info=error)
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "the server made a mistake; its log says which")


def _route(request: Request) -> str:
    """The address as the route has it: what a client wrote in its place may name a patient or hold a secret."""
    return str(getattr(request.scope.get("route"), "path", "?"))
