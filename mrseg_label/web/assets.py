"""Style sheet, script and icon of the pages: files of this package, so that nothing comes from another host."""

from __future__ import annotations

import hashlib
from functools import cache, partial
from importlib import resources
from pathlib import PurePosixPath

from fastapi import APIRouter
from starlette.responses import Response

from mrseg_label.http import paths

# htmx 2.0.11 (https://htmx.org) asks for parts of a page anew; NiiVue 0.69.0 (https://niivue.com) draws volumes with WebGL2.
# Both are as their makers publish them, with their licences beside them.
_FILES = {
    paths.STYLE: "style.css",
    paths.SCRIPT: "htmx.min.js",
    paths.LIVE_SCRIPT: "live.js",
    paths.CHART_SCRIPT: "charts.js",
    paths.UPLOAD_SCRIPT: "upload.js",
    paths.ICON: "icon.svg",
    paths.NIIVUE: "niivue.umd.js",
    paths.VIEWER: "viewer.js",
}
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# An address names the version of its file, so that a browser need not ask again.
_CACHING = {"Cache-Control": "public, max-age=31536000, immutable"}


def assets_router() -> APIRouter:
    """Return the routes of the files."""
    routes = APIRouter(include_in_schema=False)
    for path, name in _FILES.items():
        media_type = _MEDIA_TYPES[PurePosixPath(name).suffix]
        routes.add_api_route(path, partial(_send, _read(name), media_type), methods=["GET"])
    return routes


@cache
def versioned(path: str) -> str:
    """Return the path of a file with the version of its content."""
    return f"{path}?v={hashlib.sha256(_read(_FILES[path])).hexdigest()[:12]}"


@cache
def _read(name: str) -> bytes:
    return (resources.files("mrseg_label.web") / "static" / name).read_bytes()


def _send(content: bytes, media_type: str) -> Response:
    return Response(content, media_type=media_type, headers=_CACHING)
