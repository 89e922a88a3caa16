"""What hospitals do to software: the database dies and comes back, the clock is set back, and a machine is turned off."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Annotation, Job
from mrseg_label.catalog.types import JobState
from mrseg_label.simulation.server import Server
from tests.integration.conftest import Running, serving
from tests.integration.maintenance.test_backup import submit
from tests.support.postgresql import Deadly, new_database, require_server
from tests.support.process_trees import wait_until

pytestmark = pytest.mark.soak
SETTINGS = 'AUTH = "off"\nPRESEGMENTATION = "off"\nWORKERS = 1\nLOG_FORMAT = "json"\nPREPARE_AHEAD = 0\n'
DOWN_SECONDS = 3.0


@pytest.fixture
def deadly() -> Iterator[Deadly]:
    """A PostgreSQL of its own."""
    require_server()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        server = Deadly(Path(folder) / "server")
        try:
            yield server
        finally:
            server.kill()


def values(http: httpx.Client, name: str) -> dict[str, float]:
    """The values of a figure by the text of its labels."""
    families = text_string_to_metric_families(http.get("/metrics").raise_for_status().text)
    return {str(one.labels): one.value for family in families for one in family.samples if one.name == name}


def keep_submitting(
    server: Running, reader: str, ended: threading.Event, told: list[str], refused: list[httpx.Response]
) -> None:
    """Submit case after case, as a reader does who tries again what was refused."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        while not ended.is_set():
            try:
                told.append(submit(http, reader))
            except httpx.HTTPStatusError as error:
                if error.response.status_code == 409:  # no case is left
                    return
                refused.append(error.response)
                time.sleep(0.2)


def test_the_database_is_killed_during_submissions_and_comes_back(deadly: Deadly, tmp_path: Path) -> None:
    url = new_database(deadly.url)
    with serving(tmp_path, SETTINGS + f'DATABASE_URL = "{url}"\n', 24) as server:
        ended, told = threading.Event(), list[str]()
        refused: list[httpx.Response] = []
        readers = [
            threading.Thread(target=keep_submitting, args=(server, f"reader-{number}", ended, told, refused))
            for number in range(3)
        ]
        for reader in readers:
            reader.start()
        wait_until(lambda: len(told) >= 4)
        deadly.kill()
        time.sleep(DOWN_SECONDS)
        assert server.http.get("/healthz").status_code == 200
        not_ready = server.http.get("/readyz")
        assert not_ready.status_code == 503 and not_ready.headers["retry-after"] == "10"
        assert values(server.http, "mrseg_database_up") == {"{}": 0.0}
        assert values(server.http, "mrseg_database_errors_total")["{}"] > 0
        stopped = len(told)
        deadly.start()
        wait_until(lambda: len(told) >= stopped + 4)
        ended.set()
        for reader in readers:
            reader.join()
        assert values(server.http, "mrseg_database_up") == {"{}": 1.0}
        assert refused
        for reply in refused:
            assert reply.status_code == 503, reply.text
            assert reply.headers["retry-after"] == "10" and "the database" in reply.json()["detail"]
        # What was acknowledged is there, and the work that followed goes on by itself.
        with server.catalog.read() as session:
            stored = session.scalars(select(Annotation.examination_id)).all()
        assert set(told) <= set(stored) and len(told) == len(set(told))

        def is_done() -> bool:
            with server.catalog.read() as session:
                return not session.scalars(select(Job.id).where(Job.state != JobState.DONE)).all()

        wait_until(is_done, 90)
        lines = (tmp_path / "serve.log").read_text().splitlines()
        assert any(json.loads(line).get("status") == 503 for line in lines if line.startswith("{"))


def faked(offset: str) -> dict[str, str]:
    """Environment of a process whose clock is another."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        assert not os.environ.get("REQUIRE_FAKETIME"), "libfaketime is not installed: apt-get install faketime"
        pytest.skip("libfaketime is not installed")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MRSEG_")}
    return kept | {"LD_PRELOAD": str(found[0]), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}


def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path) -> None:
    """The clock of the server's machine, which on SQLite is the database's too, is a day behind after a restart."""
    with serving(tmp_path, SETTINGS, 8) as server:
        told = [submit(server.http, "ada") for _ in range(2)]
        kept = server.http.post("/activelearning/sequential", json={"client_id": "bert"}).json()["id"]
        root = server.workspace.root
    with (
        Server(root, tmp_path / "again.log", environment=faked("-1d")) as again,
        httpx.Client(base_url=again.url, timeout=60, trust_env=False) as http,
    ):
        now = datetime.strptime(http.get("/healthz").headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert datetime.now(UTC) - now > timedelta(hours=23), "the clock of the server is not another one"
        # The reader still has the case, nobody else gets it, and submissions go on.
        assert submit(http, "bert") == kept
        told += [kept, *(submit(http, "ada") for _ in range(2))]
        assert len(set(told)) == 5
        listed = {item["examination"] for item in http.get("/api/v1/annotations").json()["items"]}
        assert set(told) <= listed
    workspace = open_workspace(root)
    try:
        with workspace.catalog.read() as session:
            assert set(told) <= set(session.scalars(select(Annotation.examination_id)))
    finally:
        workspace.close()
