"""Pages rendered from templates. No script or style stands in a page itself, and a policy forbids any that would."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mrseg_label.errors import InvalidInput, MrsegError, NotFound
from mrseg_label.http import paths
from mrseg_label.http.browsers import accepts_html
from mrseg_label.http.event_topics import permitted_topics
from mrseg_label.http.public_address import public_path
from mrseg_label.http.readers import identity_of
from mrseg_label.web import formats
from mrseg_label.web.assets import versioned
from mrseg_label.web.navigation import entries, may

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_POLICY_WITH_SCRIPT = f"{_POLICY}; script-src 'self'; connect-src 'self'"


def page(request: Request, template: str, status: int = 200, *, script: bool = False, **values: Any) -> HTMLResponse:
    """Render a template of this package as a page.

    Parameters
    ----------
    script : whether the page has the scripts that ask for its parts anew, and read values off its charts.
    """
    link = partial(public_path, request)
    frame = {
        "link": link,
        "asset": lambda path: link(versioned(path)),
        "identity": identity_of(request),
        "navigation": entries(request),
        "may": partial(may, request),
        "here": request.url.path,
        "form_token": getattr(request.state, "form_token", ""),
        "script": script,
        "live": partial(_live, request),
    }
    html = render(template, **frame | values)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": _POLICY_WITH_SCRIPT if script else _POLICY})


def render(template: str, **values: Any) -> str:
    """Render a template of this package."""
    return _templates().get_template(template).render(values)


def _live(request: Request, path: str, *topics: str) -> Markup:
    """Make the attributes of the part of a page that asks for itself anew when something of these topics changes.

    There is one such part, at most, on a page. Where no change reaches it, it asks once a minute.
    """
    identity = identity_of(request)
    permitted = permitted_topics(None if identity is None else identity.role)
    told = [topic for topic in topics if topic in permitted]
    stream = public_path(request, f"{paths.EVENTS}?topics={','.join(told)}")
    return Markup(
        'id="live" hx-get="{}" hx-trigger="news, every 60s" hx-select="#live" hx-swap="outerHTML" data-events="{}" data-topics="{}"'
    ).format(public_path(request, path), stream, " ".join(told))


def redirect(request: Request, path: str) -> Response:
    """Redirect a browser to one of the server's own pages."""
    return RedirectResponse(public_path(request, path), 303)


def error_page(request: Request, error: MrsegError) -> Response:
    """Render an error as a page."""
    title = (
        "Temporarily unavailable" if error.http_status >= 500 else _TITLES.get(error.http_status, "That did not work")
    )
    return add_retry_after(page(request, "error.html", error.http_status, title=title, message=sentence(error)), error)


_TITLES = {401: "Sign in first", 403: "Not permitted", 404: "Not found"}


def sentence(error: MrsegError) -> str:
    """Return the message of an error as a sentence: with a capital and a full stop."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def add_retry_after(reply: Response, error: MrsegError) -> Response:
    """Add the header that tells when the next attempt may succeed, if the error says so."""
    if error.retry_after is not None:
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
            except (MrsegError, RequestValidationError) as error:
                if not accepts_html(request.headers):
                    raise
                return error_page(request, error if isinstance(error, MrsegError) else _explain(error))

        return handler_with_pages


def _explain(error: RequestValidationError) -> MrsegError:
    """Explain an invalid request: an address that names nothing, or a field of a form."""
    wrong = error.errors()[0]
    if wrong["loc"][0] == "path":
        return NotFound("this server has no page at this address")
    return InvalidInput(f"{wrong['loc'][-1]}: {wrong['msg']}")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("mrseg_label.web"),
        autoescape=select_autoescape(("html", "svg")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"paths": paths}
    for name in ("date", "moment", "duration", "hours", "dsc", "signed", "number", "percent", "words"):
        environment.filters[name] = getattr(formats, name)
    return environment
