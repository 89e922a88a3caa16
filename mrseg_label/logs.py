"""Logs of servers and workers: lines for people or, with ``LOG_FORMAT=json``, one JSON object a line for programs.

What is logged while a request is answered, or by a job that a request led to, has the request's id. No line has the name of a
reader or of a participant: who did what is in the audit trail, which only administrators read.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

TEXT = "text"
JSON = "json"
OURS = ("mrseg_label", "mrseg_monailabel", "uvicorn")
LINE = "%(asctime)s %(name)s %(levelname)s %(message)s"
_FIELDS = "mrseg_fields"
_request: ContextVar[str | None] = ContextVar("mrseg_request", default=None)


def current_request() -> str | None:
    """Return the id of the request that is being answered, or that led to the present job."""
    return _request.get()


@contextmanager
def about_request(request_id: str | None) -> Iterator[None]:
    """Note in this block, and in threads that it hands work to, what request is being worked for."""
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def with_fields(**fields: Any) -> Mapping[str, Any]:
    """Make the argument ``extra`` of a logging call: fields of the JSON object, beside the message."""
    return {_FIELDS: fields}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        request_id = current_request()
        return text if request_id is None or request_id in text else f"{text} (request {request_id})"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current_request()) is not None:
            content["request_id"] = request_id
        content |= getattr(record, _FIELDS, {})
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


def formatter(form: str) -> logging.Formatter:
    """Make what writes a line of ``text`` or ``json``."""
    return _Json() if form == JSON else _Text(LINE)


def configure(form: str, *, others: int = logging.WARNING) -> None:
    """Write the logs of this process to standard error.

    Parameters
    ----------
    form : ``text`` or ``json``.
    others : level of libraries; what is ours is logged from INFO on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(others)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    for name in ("httpx", "httpcore"):  # they log whole addresses, and with them secrets
        logging.getLogger(name).setLevel(logging.WARNING)
