"""The server: one FastAPI application with the MONAI Label protocol at the root and REST under /api/v1."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

import mrseg_label
from mrseg_label import api, web
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import ConfigurationError
from mrseg_label.http import paths, problems
from mrseg_label.http.browsers import accepts_html
from mrseg_label.http.middleware import middleware_stack
from mrseg_label.http.permission_table import permission_table
from mrseg_label.http.public_address import public_prefix
from mrseg_label.private import keep_private
from mrseg_monailabel import routes
from mrseg_monailabel.processes import RequestsOnly, ServerProcesses
from mrseg_monailabel.protocol_app import ProtocolApp

WORKSPACE_VARIABLE = "MRSEG_WORKSPACE"


def create_app() -> FastAPI:
    """Build the application of the workspace in ``$MRSEG_WORKSPACE``; uvicorn's factory.

    Raises
    ------
    ConfigurationError
        The variable is not set, or there is no workspace in the folder that it names.
    """
    return build(_open_app())


def create_further_app() -> FastAPI:
    """Build the same application for a further process of a server, which has no workers of its own."""
    return build(_open_app(), is_first=False)


def _open_app() -> ProtocolApp:
    keep_private()
    folder = os.environ.get(WORKSPACE_VARIABLE)
    if not folder:
        raise ConfigurationError(
            f"{WORKSPACE_VARIABLE} must name the folder of a workspace; start the server with: mrseg-label serve"
        )
    return ProtocolApp(open_workspace(Path(folder)))


def build(app: ProtocolApp, *, is_first: bool = True) -> FastAPI:
    """Build the application over an app object; it is the same under both launchers.

    Parameters
    ----------
    is_first : whether the first, or only, process of the server runs it: that one has the workers, too.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        processes = ServerProcesses(app) if is_first else RequestsOnly(app)
        processes.handle_signals()
        await anyio.to_thread.run_sync(processes.start)
        yield
        await anyio.to_thread.run_sync(processes.stop)

    workspace = app.workspace
    permissions = permission_table()
    prefix = public_prefix(workspace.settings)
    application = FastAPI(
        title="mrseg-label",
        version=mrseg_label.__version__,
        description="Annotation server for whole-body MR segmentation: MONAI Label protocol at the root, REST under /api/v1.",
        docs_url=None,  # its pages would load scripts from the network; ours does not
        redoc_url=None,
        redirect_slashes=False,  # the middleware redirects, to the public address
        servers=[{"url": prefix}] if prefix else None,
        lifespan=lifespan,
        middleware=middleware_stack(
            workspace.settings, workspace.catalog, app.sign_in, permissions, error_page=web.error_page
        ),
    )
    application.include_router(routes.router(app))

    @application.get("/", include_in_schema=False)
    def describe_server(request: Request) -> Response:
        if accepts_html(request.headers):
            return RedirectResponse(prefix + paths.DASHBOARD, 303)
        what = "annotation server: enter this address in the MONAI Label module of 3D Slicer"
        description = {
            "name": app.name,
            "what": what,
            "rest": prefix + paths.REST,
            "openapi": f"{prefix}/openapi.json",
            "docs": prefix + paths.API_DOCS,
            "dashboard": prefix + paths.DASHBOARD,
        }
        return JSONResponse(description, headers={"Vary": "Accept"})

    application.include_router(web.assets_router())
    application.include_router(web.dashboard_router(workspace))
    application.include_router(web.api_docs_router())
    application.include_router(web.router(workspace.settings, workspace.catalog, app.sign_in))
    application.include_router(api.root_router(workspace))
    application.include_router(api.router(workspace, app.streams))
    problems.install(application, web.error_page)
    without_permissions = application.openapi

    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            permissions.add_to_openapi(without_permissions(), prefix)
        return application.openapi_schema or {}

    application.openapi = openapi  # type: ignore[method-assign]
    return application
