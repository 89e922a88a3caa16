"""Several processes of one server answer at one address, share nothing but the database, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.cli import main
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.server import free_port
from mrseg_label.workspace import Workspace
from tests.integration.conftest import write_image
from tests.support.process_trees import any_running, children_of, descendants_of, is_running

CASES = 12
PROCESSES = 3
SECONDS = 60.0
PASSWORD, NEXT_PASSWORD = "a long enough password", "another one that is as long"
Found = TypeVar("Found")


@pytest.mark.sqlite
def test_sqlite_is_served_by_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--workspace", str(tmp_path / "ws"), "--processes", "2"])
    assert ended.value.code == 2
    assert "--processes 2 needs PostgreSQL" in capsys.readouterr().err


@pytest.mark.postgresql
def test_several_processes_answer_and_end_together(tmp_path: Path) -> None:
    root = prepare(tmp_path, 'AUTH = "off"\n')
    with serving(root) as (url, first):
        further = wait_for(lambda: further_of(first))
        os.kill(first.pid, signal.SIGSTOP)  # the others take what it does not
        assert [ask(url) for _ in range(5)] == [200] * 5
        os.kill(first.pid, signal.SIGCONT)
        with ThreadPoolExecutor(CASES) as readers:
            cases = list(readers.map(lambda number: next_case(url, f"reader-{number}"), range(CASES)))
        assert len(set(cases)) == CASES  # nobody got another reader's case
        os.kill(further[0], signal.SIGKILL)
        wait_for(lambda: further_of(first) and further[0] not in further_of(first))
        assert [ask(url) for _ in range(20)] == [200] * 20
        family = [first.pid, *descendants_of(first.pid)]
        first.terminate()
        assert first.wait(SECONDS) == -signal.SIGTERM  # uvicorn ends by the signal that it was sent
        assert not any_running(family)
    with serving(root) as (_, first):
        further = wait_for(lambda: further_of(first))
        first.kill()
        wait_for(lambda: not any(is_running(pid) for pid in further))


@pytest.mark.postgresql
def test_sign_in_is_one_for_all_processes(tmp_path: Path) -> None:
    root = prepare(tmp_path, "")
    workspace = open_workspace(root)
    accounts.add(workspace.catalog, "ada", Role.ADMIN, password=PASSWORD, actor="test")
    accounts.add(workspace.catalog, "root", Role.ADMIN, password=PASSWORD, actor="test")  # the last one stays
    accounts.add(workspace.catalog, "figures", Role.SERVICE, password=None, actor="test")
    made, key = credentials.make(workspace.catalog, "figures", CredentialKind.API_KEY, "test", actor="test")
    with serving(root) as (url, first):
        wait_for(lambda: further_of(first))
        token = sign_in(url, PASSWORD).json()["access_token"]
        # A token of one process is one for all.
        assert answers(url, token) == answers(url, key, "/api/v1/models") == {200}
        # What ends anywhere, here in a process beside the server, ends for all at once: none keeps what it knew.
        credentials.revoke(workspace.catalog, made.id, actor="test")
        assert answers(url, key, "/api/v1/models") == {401}
        accounts.set_password(workspace.catalog, "ada", NEXT_PASSWORD, actor="test")
        assert answers(url, token) == {401}
        token = sign_in(url, NEXT_PASSWORD).json()["access_token"]
        accounts.set_role(workspace.catalog, "ada", Role.RADIOLOGIST, actor="test")
        assert answers(url, token, "/api/v1/audit") == {403}
        workspace.close()
        guesses = [sign_in(url, f"guess number {number}").status_code for number in range(12)]
        # Counted apart, all twelve would have been free; counted together, five are, and one more after each wait.
        assert guesses[:5] == [401] * 5 and guesses[5] == 429 and set(guesses) == {401, 429}


@pytest.mark.postgresql
def test_requests_are_counted_over_all_processes(tmp_path: Path) -> None:
    root = prepare(tmp_path, 'AUTH = "off"\n')
    with serving(root) as (url, first):
        family = [first.pid, *wait_for(lambda: further_of(first))]
        for answering in family:
            others = [pid for pid in family if pid != answering]
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            for _ in range(4):
                assert httpx.get(f"{url}/api/v1/rounds/7", timeout=SECONDS).status_code == 404
            for pid in others:
                os.kill(pid, signal.SIGCONT)
        # Whichever answers says the same of all, and of one that is gone as well: a counter never falls.
        assert {counted(url) for _ in range(12)} == {(12.0, 12.0)}
        os.kill(family[1], signal.SIGKILL)
        wait_for(lambda: further_of(first) and family[1] not in further_of(first))
        wait_for(lambda: all(ask(url) == 200 for _ in range(20)))
        assert httpx.get(f"{url}/api/v1/rounds/7", timeout=SECONDS).status_code == 404
        assert {counted(url) for _ in range(12)} == {(13.0, 13.0)}


def prepare(folder: Path, settings: str) -> Path:
    """Make a workspace with a few images."""
    Workspace.init(folder / "ws", settings_text=f"{settings}WORKERS = 0\n")
    workspace = open_workspace(folder / "ws")
    import_paths(workspace, [write_image(folder / f"p{number}.nii.gz", number) for number in range(CASES)])
    workspace.close()
    return folder / "ws"


@contextmanager
def serving(root: Path, processes: int = PROCESSES) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the command; kill whatever of it is left."""
    port = free_port()
    command = [sys.executable, "-m", "mrseg_label.cli", "serve", "--workspace", str(root), "--port", str(port)]
    with (root / "serve.log").open("ab") as log:
        first = subprocess.Popen([*command, "--processes", str(processes)], stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: first.poll() is None and ask(url) == 200)
        yield url, first
    finally:
        first.kill()
        first.wait()


def further_of(first: subprocess.Popen[bytes]) -> list[int]:
    """Ids of the further processes; empty until all run."""
    found = children_of(first.pid)
    return found if len(found) == PROCESSES - 1 else []


def ask(url: str) -> int:
    """Ask on a connection of its own; 0 without an answer."""
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code
    except httpx.TransportError:
        return 0


def counted(url: str) -> tuple[float, float]:
    """How many requests for a round were answered with 404, and how many were timed, as one scrape has it."""
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=SECONDS).text)
        for sample in family.samples
        if sample.labels.get("route") == "/api/v1/rounds/{number}" and "le" not in sample.labels
    }
    return found["mrseg_http_requests_total"], found["mrseg_http_request_seconds_count"]


def answers(url: str, token: str, path: str = "/info/") -> set[int]:
    """Statuses of requests that come to all processes, since each has a connection of its own."""
    headers = {"Authorization": f"Bearer {token}"}
    return {httpx.get(f"{url}{path}", headers=headers, timeout=SECONDS).status_code for _ in range(12)}


def next_case(url: str, reader: str) -> str:
    """Request the next case."""
    answer = httpx.post(f"{url}/activelearning/random", json={"client_id": reader}, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def sign_in(url: str, password: str) -> httpx.Response:
    """Sign in as a reader does."""
    return httpx.post(f"{url}/auth/token", data={"username": "ada", "password": password}, timeout=SECONDS)


def wait_for(found: Callable[[], Found]) -> Found:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.1)
    return value
