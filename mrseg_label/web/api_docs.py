"""``/docs``: the description of the routes as a page, in which they can be tried. Nothing is loaded from elsewhere.

Script and style are those of Swagger UI, as the package fastapi-offline brings them.
https://github.com/swagger-api/swagger-ui
"""

from __future__ import annotations

from functools import partial
from importlib import resources
from pathlib import PurePosixPath

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.http import paths
from mrseg_label.web.pages import page

# The page's own script is a file too, so that no script in a page is ever permitted.
_FILES = (
    ("fastapi_offline", "static/swagger-ui.css"),
    ("fastapi_offline", "static/swagger-ui-bundle.js"),
    (__package__, "api_docs.js"),
)
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
# Its icons are "data:" addresses in the style; "Try it out" sends requests to this server alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def api_docs_router() -> APIRouter:
    """Return the routes of the page and its files."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(paths.API_DOCS)
    def get_page(request: Request) -> Response:
        reply = page(request, "api_docs.html")
        reply.headers["Content-Security-Policy"] = _POLICY
        return reply

    for path, (package, file) in zip(paths.API_DOCS_FILES, _FILES, strict=True):
        content = (resources.files(package) / file).read_bytes()
        routes.add_api_route(path, partial(_send, content, _MEDIA_TYPES[PurePosixPath(path).suffix]), methods=["GET"])
    return routes


def _send(content: bytes, media_type: str) -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})
