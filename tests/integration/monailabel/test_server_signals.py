"""A server that is told to end, ends, however often it is told."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.server import free_port
from mrseg_label.workspace import Workspace
from mrseg_monailabel.processes import ServerProcesses
from mrseg_monailabel.protocol_app import ProtocolApp
from tests.integration.conftest import write_image
from tests.integration.monailabel.test_server_kill import forker, start

MANY = 500
# What hits the server, as fast as it goes: the next signal must come while the last is being handled.
BURSTS = {
    "two SIGTERM": [signal.SIGTERM] * 2,
    "two SIGINT": [signal.SIGINT] * 2,
    "SIGTERM, SIGINT": [signal.SIGTERM, signal.SIGINT],
    "SIGINT, SIGTERM": [signal.SIGINT, signal.SIGTERM],
    "many SIGTERM": [signal.SIGTERM] * MANY * 2,
    "many of both": [signal.SIGTERM, signal.SIGINT] * MANY,
}
END_SECONDS = 20.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one image that has no pre-segmentation, and no worker to make one."""
    folder = tmp_path_factory.mktemp("signals")
    Workspace.init(folder / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    workspace = open_workspace(folder / "ws")
    import_paths(workspace, [write_image(folder / "image.nii.gz", 400)])
    workspace.close()
    return folder / "ws"


@pytest.mark.soak
def test_a_server_ends_after_a_burst_of_signals(root: Path) -> None:
    """Each burst hits a server with a request that waits, so that the handler has something to do."""
    port = free_port()
    with forker(root, root.parent / "serve.log") as process, ThreadPoolExecutor(1) as pool:
        for name, burst in BURSTS.items():
            pid, _ = start(process, port)
            waiting = pool.submit(_infer, port)
            time.sleep(0.3)
            for number in burst:
                os.kill(pid, number)
            deadline = time.monotonic() + END_SECONDS
            while not _has_ended(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    pytest.fail(f"the server still ran {END_SECONDS:.0f} s after {name}")
                time.sleep(0.05)
            assert waiting.result(30) in (503, None)
        assert process.stdin is not None
        process.stdin.close()


class SlowEvent(threading.Event):
    """An event for which a signal comes at the worst moment: while setting it holds its lock."""

    def set(self) -> None:
        with self._cond:  # type: ignore[attr-defined]
            if not self.is_set():
                self._flag = True
                signal.raise_signal(signal.SIGTERM)
            self._cond.notify_all()  # type: ignore[attr-defined]


def test_a_signal_may_come_while_the_last_is_being_handled(root: Path) -> None:
    """The handler must take no lock that the code it interrupts may hold: both run in the main thread."""
    app = ProtocolApp(open_workspace(root))
    [task] = app.init_infers().values()
    task.stopping = SlowEvent()
    app._infers = {"mrseg": task}
    received: list[int] = []

    async def serve() -> None:
        ServerProcesses(app).handle_signals()
        signal.raise_signal(signal.SIGTERM)
        while not task.stopping.is_set():
            await asyncio.sleep(0.01)

    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(asyncio.wait_for(serve(), END_SECONDS))
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        app.workspace.close()
    assert received == [signal.SIGTERM, signal.SIGTERM]  # uvicorn's own handler is called each time


def _infer(port: int) -> int | None:
    """Status of a request for a pre-segmentation that does not come; None where the server hung up."""
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            image = http.get("/api/v1/examinations").json()["items"][0]["id"]
            return http.post("/infer/mrseg", params={"image": image}, data={"params": "{}"}).status_code
    except httpx.TransportError:
        return None


def _has_ended(pid: int) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
