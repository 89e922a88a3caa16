"""The server: one FastAPI application with the MONAI Label protocol at the root and the REST interface under /api/v1."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

import mrseg_label
from mrseg_label import api, web
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import ConfigurationError
from mrseg_label.http import paths, problems
from mrseg_label.http.middleware import middleware_stack
from mrseg_label.http.permission_table import permission_table
from mrseg_label.jobs import recover_local
from mrseg_label.maintenance.sweep import remove_dead_scratch
from mrseg_label.worker.supervise import WorkerPool
from mrseg_monailabel import routes
from mrseg_monailabel.loop import LoopApp

log = logging.getLogger("mrseg_monailabel")
WORKSPACE_VARIABLE = "MRSEG_WORKSPACE"


def create_app() -> FastAPI:
    """The application of the workspace in ``$MRSEG_WORKSPACE``, as uvicorn's factory.

    Raises
    ------
    ConfigurationError
        The variable or the workspace is missing.
    """
    folder = os.environ.get(WORKSPACE_VARIABLE)
    if not folder:
        raise ConfigurationError(
            f"{WORKSPACE_VARIABLE} must name the workspace; start the server with: mrseg-label serve"
        )
    workspace = open_workspace(Path(folder))
    return build(LoopApp(workspace))


class Background:
    """What runs beside the requests: the worker processes of this machine."""

    def __init__(self, app: LoopApp) -> None:
        self._app = app
        self.pool = WorkerPool(app.workspace)

    def start(self) -> None:
        """Free what dead workers held and start new ones."""
        freed = recover_local(self._app.catalog)
        if freed:
            log.info("%d jobs of workers that died go on", freed)
        # Uploads of gigabytes are spooled to the disk of the workspace and not to a /tmp that may be memory.
        tempfile.tempdir = str(self._app.workspace.path("tmp"))
        self._app.sessions().remove_expired()
        remove_dead_scratch(self._app.workspace)
        self.pool.start()

    def handle_signals(self) -> None:
        """Answer those who wait for a draft as soon as the server is told to end; called in the main thread.

        uvicorn first waits for the requests under way, which would wait for drafts, and then drops them.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(self._handle_signal, before))

    def _handle_signal(
        self, before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
    ) -> None:
        self._app.stop_waiting()
        before(number, frame)

    def stop(self) -> None:
        """End the workers and close the catalogue."""
        self._app.stop_waiting()
        self.pool.stop()
        self._app.catalog.close()


def build(app: LoopApp) -> FastAPI:
    """The application over an app object; the same under both launchers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = Background(app)
        background.handle_signals()
        await anyio.to_thread.run_sync(background.start)
        yield
        await anyio.to_thread.run_sync(background.stop)

    permissions = permission_table()
    application = FastAPI(
        title="mrseg-label",
        version=mrseg_label.__version__,
        description="Annotation server for whole-body MR segmentation: MONAI Label protocol at the root, REST under /api/v1.",
        docs_url=None,  # its pages would load scripts from the network
        redoc_url=None,
        lifespan=lifespan,
        middleware=middleware_stack(app.workspace.settings, app.workspace.catalog, app.sign_in, permissions),
    )
    application.include_router(routes.router(app))

    @application.get("/", include_in_schema=False)
    def hello() -> dict[str, Any]:
        what = "annotation server: enter this address in 3D Slicer's MONAI Label module"
        return {"name": app.name, "what": what, "rest": paths.REST, "openapi": "/openapi.json"}

    application.include_router(web.router(app.workspace.settings, app.catalog, app.sign_in))
    application.include_router(api.root_router(app.workspace))
    application.include_router(api.router(app.workspace))
    problems.install(application)
    plain = application.openapi

    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            permissions.describe(plain())
        return application.openapi_schema or {}

    application.openapi = openapi  # type: ignore[method-assign]
    return application
