"""Debian's Chromium, as `.ci/run` installs it, and a server in this process for it to look at."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window. Where it is not installed, the test is skipped, or fails with REQUIRE_CHROMIUM (`.ci/run`)."""
    program = shutil.which("chromium")
    if program is None and os.environ.get("REQUIRE_CHROMIUM"):
        pytest.fail("Chromium is not installed, and REQUIRE_CHROMIUM is set: apt-get install chromium")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def another(browser: Browser, *arguments: str) -> Iterator[Browser]:
    """Another Chromium, with more arguments on its command line."""
    program = shutil.which("chromium")
    started = browser.browser_type.launch(executable_path=program, args=["--no-sandbox", *arguments])
    try:
        yield started
    finally:
        started.close()


@contextmanager
def serve_in_thread(workspace: OpenedWorkspace) -> Iterator[str]:
    """The application of a workspace, without its worker processes; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = ProtocolApp(workspace)
        application = build(app)
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            app.stop_waiting()  # as a server does that is told to end
            thread.join()
