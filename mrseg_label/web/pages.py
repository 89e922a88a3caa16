"""Pages rendered from templates, with their own style sheet and no scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache, partial
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
from mrseg_label.http.public_address import public_path


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a template of this package as a page."""
    html = _templates().get_template(template).render(link=partial(public_path, request), **values)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": _content_security_policy()})


def error_page(request: Request, error: MrsegError) -> HTMLResponse:
    """Render an error as a page."""
    title = "Temporarily unavailable" if error.http_status >= 500 else "That did not work"
    return page(request, "error.html", error.http_status, title=title, message=sentence(error))


def sentence(error: MrsegError) -> str:
    """Return the message of an error as a sentence: with a capital and a full stop."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def add_retry_after(reply: Response, error: MrsegError) -> Response:
    """Add the header that tells when the next attempt is permitted, if the error limits attempts."""
    if isinstance(error, TooManyRequests):
        reply.headers["Retry-After"] = str(error.retry_after)
    return reply


class PageRoute(APIRoute):
    """A route that answers errors with a page if the client is a browser; programs get the usual document."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler, with errors turned into pages."""
        handler = super().get_route_handler()

        async def handler_with_pages(request: Request) -> Response:
            try:
                return await handler(request)
            except MrsegError as error:
                if not accepts_html(request.headers):
                    raise
                return error_page(request, error)

        return handler_with_pages


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("mrseg_label.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"style": Markup(_style()), "paths": paths}
    environment.filters["date"] = _date
    return environment


@cache
def _style() -> str:
    return (resources.files("mrseg_label.web") / "style.css").read_text(encoding="utf-8").strip()


@cache
def _content_security_policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _date(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"
