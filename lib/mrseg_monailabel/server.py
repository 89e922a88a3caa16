"""The server: one FastAPI application with the MONAI Label protocol at the root and the REST interface under /api/v1."""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import mrseg_label
from mrseg_label import api, web
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.api.door import Door
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import ConfigurationError
from mrseg_label.jobs import recover_local
from mrseg_label.worker.supervise import WorkerPool
from mrseg_label.workspace import Workspace
from mrseg_monailabel import routes
from mrseg_monailabel.access import access
from mrseg_monailabel.guard import LocalOnly
from mrseg_monailabel.limits import Limits, SecurityHeaders
from mrseg_monailabel.loop import LoopApp

log = logging.getLogger("mrseg_monailabel")
WORKSPACE_VARIABLE = "MRSEG_WORKSPACE"
REQUEST_FOLDERS = ("upload-", "infer-")  # of the routes
DAY_SECONDS = 24 * 3600


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
    workspace, catalog = open_workspace(Path(folder))
    return build(LoopApp(workspace, catalog))


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
        remove_leftovers(self._app.workspace)
        self.pool.start()

    def hear_signals(self) -> None:
        """Answer those who wait for a draft as soon as the server is told to end; called in the main thread.

        uvicorn first waits for the requests under way, which would wait for drafts, and then drops them.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, partial(self._told_to_end, before))

    def _told_to_end(
        self, before: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None
    ) -> None:
        self._app.stop_waiting()
        before(number, frame)

    def stop(self) -> None:
        """End the workers and close the catalogue."""
        self._app.stop_waiting()
        self.pool.stop()
        self._app.catalog.close()


def remove_leftovers(workspace: Workspace) -> None:
    """Remove what requests of a killed server left in the temporary folder."""
    for folder in workspace.path("tmp").iterdir():
        if folder.name.startswith(REQUEST_FOLDERS) and time.time() - folder.stat().st_mtime > DAY_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def build(app: LoopApp) -> FastAPI:
    """The application over an app object; the same under both launchers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = Background(app)
        background.hear_signals()
        await anyio.to_thread.run_sync(background.start)
        yield
        await anyio.to_thread.run_sync(background.stop)

    application = FastAPI(
        title="mrseg-label",
        version=mrseg_label.__version__,
        description="Annotation server for whole-body MR segmentation: MONAI Label protocol at the root, REST under /api/v1.",
        docs_url=None,  # its pages would load scripts from the network
        redoc_url=None,
        lifespan=lifespan,
        middleware=middleware(app),
    )
    rules = access()
    application.include_router(routes.router(app))

    @application.get("/", include_in_schema=False)
    def hello() -> dict[str, Any]:
        what = "annotation server: enter this address in 3D Slicer's MONAI Label module"
        return {"name": app.name, "what": what, "rest": api.PREFIX, "openapi": "/openapi.json"}

    application.include_router(
        web.router(app.workspace.settings, app.catalog, app.sign_in), form_limits=routes.FORM_LIMITS
    )
    application.include_router(api.root_router(app.workspace, app.catalog))
    application.include_router(api.router(app.workspace, app.catalog))
    api.problems.install(application)
    plain = application.openapi

    def openapi() -> dict[str, Any]:
        if application.openapi_schema is None:
            rules.describe(plain())
        return application.openapi_schema or {}

    application.openapi = openapi  # type: ignore[method-assign]
    return application


def middleware(app: LoopApp) -> list[Middleware]:
    """What a request passes before any route sees it, the outermost first."""
    rules = access()
    settings = app.workspace.settings
    door = (
        Middleware(LocalOnly)
        if app.sign_in is None
        else Middleware(Door, catalog=app.catalog, sign_in=app.sign_in, access=rules)
    )
    proxies = trusted_proxies(settings.trusted_proxies)
    forwarded = [Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)] if proxies and app.sign_in else []
    secure = web.secure(settings)
    state = [Middleware(web.StateCookie, signing_secret(app.catalog), secure)] if app.sign_in else []
    return [
        *forwarded,
        Middleware(SecurityHeaders),
        door,
        *state,
        Middleware(Limits, access=rules, megabytes=settings.max_upload_mb, idle_seconds=settings.request_idle_seconds),
    ]


def trusted_proxies(text: str) -> list[str]:
    """Addresses and networks of proxies.

    Raises
    ------
    ConfigurationError
        One is neither, or stands for everybody, who could then say who they are.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        try:
            network = ipaddress.ip_network(part)
        except ValueError as error:
            raise ConfigurationError(
                f"TRUSTED_PROXIES: {part!r} is no address or network such as 10.1.2.3 or 10.1.2.0/24 ({error})"
            ) from error
        if network.prefixlen == 0:
            raise ConfigurationError(f"TRUSTED_PROXIES: {part!r} is everybody; name the proxies")
    return found
