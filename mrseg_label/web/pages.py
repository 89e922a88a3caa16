"""Pages: filled in from templates, with a style of their own and no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mrseg_label.errors import MrsegError, TooManyRequests
from mrseg_label.http import paths
from mrseg_label.http.browsers import accepts_html


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template of this package."""
    html = _environment().get_template(template).render(**values)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": _policy()})


def error_page(error: MrsegError) -> HTMLResponse:
    """An error as somebody reads it who did nothing wrong."""
    title = "Not now" if error.http_status >= 500 else "That did not work"
    return page("error.html", error.http_status, title=title, message=sentence(error))


def sentence(error: MrsegError) -> str:
    """The message of an error as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def wait(reply: Response, error: MrsegError) -> Response:
    """Tell the client when the next attempt is due."""
    if isinstance(error, TooManyRequests):
        reply.headers["Retry-After"] = str(error.retry_after)
    return reply


class PageRoute(APIRoute):
    """A route whose errors are pages for browsers, and remain what they are for programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler with errors turned into pages."""
        plain = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await plain(request)
            except MrsegError as error:
                if not accepts_html(request.headers):
                    raise
                return error_page(error)

        return handler


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mrseg_label.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"style": Markup(_style()), "paths": paths}
    environment.filters["day"] = _day
    return environment


@cache
def _style() -> str:
    return (resources.files("mrseg_label.web") / "style.css").read_text(encoding="utf-8").strip()


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
