"""Errors as HTTP replies: problem documents under ``/api/``, ``{"detail": ...}`` elsewhere.

References
----------
RFC 9457, Problem Details for HTTP APIs. https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mrseg_label.errors import MrsegError, NotFound, Unauthorized
from mrseg_label.failures import explain
from mrseg_label.http.browsers import wants_page
from mrseg_label.http.public_address import public_path
from mrseg_label.http.request_ids import HEADER, describe_request, request_id_of

log = logging.getLogger("mrseg_label.http")
MEDIA_TYPE = "application/problem+json"
ErrorPage = Callable[[Request, MrsegError], Response]
API_PREFIX = "/api/"  # any version


class InvalidPart(BaseModel):
    """A part of a request that is invalid."""

    where: str = Field(description="such as query.limit or body.purpose")
    message: str


class Problem(BaseModel):
    """What went wrong, and what to do (RFC 9457)."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "type": "about:blank", "title": "Not Found", "status": 404,
                    "detail": "there is no round 12; list the rounds with: mrseg-label rounds list",
                    "instance": "/api/v1/rounds/12", "request_id": "7f3a09c25d1be684",
                }
            ]
        }
    }  # fmt: skip
    type: str = Field("about:blank", description="about:blank: the status tells the kind of problem")
    title: str = Field(description="the status as text")
    status: int
    detail: str = Field(description="what went wrong, with which value, and what to do")
    instance: str | None = Field(None, description="path of the request")
    request_id: str | None = Field(None, description="id of the request, as in X-Request-ID and in the server log")
    errors: list[InvalidPart] | None = Field(
        None, description="for each invalid part of the request: where it is, and a message"
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request was refused", "content": {MEDIA_TYPE: {}}},
    "5XX": {"model": Problem, "description": "The server failed to answer", "content": {MEDIA_TYPE: {}}},
}


class Refusal(BaseModel):
    """What went wrong, outside ``/api/``: the text that MONAI Label's clients show to the radiologist."""

    detail: str = Field(description="what went wrong, with which value, and what to do")


PLAIN_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "The request was refused", "content": {"application/json": {}}},
    "5XX": {"model": Refusal, "description": "The server failed to answer", "content": {"application/json": {}}},
}


def problem(request: Request, status: int, detail: str, *, headers: Any = None, **more: Any) -> Response:
    """Make an error reply: a problem document under ``/api/``, ``{"detail": ...}`` elsewhere.

    Parameters
    ----------
    more : further fields of the problem document.
    """
    if not request.url.path.startswith(API_PREFIX):
        return JSONResponse({"detail": detail}, status_code=status, headers=headers)
    instance = public_path(request, request.url.path)
    title, request_id = HTTPStatus(status).phrase, request_id_of(request)
    content = Problem(title=title, status=status, detail=detail, instance=instance, request_id=request_id, **more)
    body = content.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, error_page: ErrorPage | None = None) -> None:
    """Register handlers that answer every error with a message, never with a traceback.

    Parameters
    ----------
    error_page : renders for browsers that a page does not exist.
    """

    def answer_http_error(request: Request, error: Exception) -> Response:
        missing = isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND
        if missing and error_page is not None and wants_page(request.url.path, request.headers):
            return error_page(request, NotFound("this server has no page at this address"))
        return _answer_http_error(request, error)

    _describe_media_type(app)
    app.add_exception_handler(MrsegError, _answer_mrseg_error)
    app.add_exception_handler(OSError, _answer_system_error)
    app.add_exception_handler(MemoryError, _answer_system_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(Exception, _answer_unexpected_error)


def _describe_media_type(app: FastAPI) -> None:
    """Name the media type of problem documents in the OpenAPI document, where FastAPI names that of the reply."""
    without_it = app.openapi

    def openapi() -> dict[str, Any]:
        known = app.openapi_schema is not None
        document = without_it()
        for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
            for answer in () if known else operation["responses"].values():
                content = answer.get("content", {})
                if MEDIA_TYPE in content:
                    answer["content"] = {MEDIA_TYPE: next(part for part in content.values() if part)}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _answer_mrseg_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MrsegError)
    return error_response(request, explain(error) or error)


def _answer_system_error(request: Request, error: Exception) -> Response:
    explained = explain(error)
    if explained is None:
        raise error
    return error_response(request, explained)


def error_response(request: Request, error: MrsegError) -> Response:
    """Make the reply to an error of ours; server errors are logged, and an anonymous client learns only the request id."""
    if error.http_status >= 500:
        log.error("%s: %s", describe_request(request), error)
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    detail = str(error)
    if error.http_status >= 500 and getattr(request.state, "anonymous", False):
        # The message may name the database and the workspace.
        detail = (
            f"The server cannot answer now. The server log has the reason under request id {request_id_of(request)}."
        )
    return problem(request, error.http_status, detail, headers=headers)


def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    explained = explain(error)  # FastAPI calls a full disk, on which no body can be kept, an error in the body
    if explained is not None:
        return error_response(request, explained)
    return problem(request, error.status_code, str(error.detail), headers=error.headers)


def _answer_invalid_request(request: Request, error: Exception) -> Response:
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
    return "not a file: send it with a file name that ends in its format, such as .nii.gz or .nrrd"


def _answer_unexpected_error(request: Request, _error: Exception) -> Response:
    # RequestIdMiddleware has logged it. This reply is made outside of it, and has to carry the header by itself.
    request_id = request_id_of(request)
    detail = f"Internal error. The server log has the details under request id {request_id}."
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers={HEADER: request_id})
