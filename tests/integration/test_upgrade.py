"""A workspace of version 0.2.0 upgrades, opens, serves, works on and backs up.

The archive was made by that version's own services (``tests/fixtures/make_workspace_0_2_0.py``), and the document
beside it holds what its command line and its server reported. Everything here goes through the command line and
HTTP, as an administrator's scripts and Slicer do, so that it holds whatever the code is called. Version 0.1.0 wrote the
same: but for the number its code is that of 0.2.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from mrseg_label.cli import main

FIXTURES = next(above / "fixtures" for above in Path(__file__).parents if (above / "fixtures").is_dir())
KEPT: dict[str, Any] = json.loads((FIXTURES / "workspace-0.2.0.json").read_text(encoding="utf-8"))
CASES: dict[str, Any] = KEPT["cases"]
PLACE = "{workspace}"  # stands in the document for the workspace's own path
PATIENCE = 120.0  # seconds
# What may differ from version 0.2.0: the document, the place in it, and why.
DIFFERENCES = (
    ("/info/", "version", "the program's own"),
    ("/info/", "*description", "text for people"),
    ("/info/", "*weights", "text for people"),
    ("/datastore/*", "description", "text for people"),
    # Tested by itself below.
    ("status", "progress.waiting", "0.2.0 counted cases that await a review, too"),
    ("/api/v1/progress", "waiting", "0.2.0 counted cases that await a review, too"),
    ("status", "progress.handed_out", "0.2.0 counted second readings, reviews and overdue cases, too"),
    ("/api/v1/progress", "handed_out", "0.2.0 counted second readings, reviews and overdue cases, too"),
    (
        "status",
        "progress.queues.light.queued",
        "the upgrade enqueues the job that completes the effort of its annotations",
    ),
    (
        "/api/v1/progress",
        "queues.light.queued",
        "the upgrade enqueues the job that completes the effort of its annotations",
    ),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The workspace as version 0.2.0 left it."""
    return unpack(tmp_path)


@pytest.fixture
def upgraded(workspace: Path) -> Path:
    """The workspace after ``mrseg-label upgrade``."""
    mrseg_label("upgrade", workspace)
    return workspace


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server over an upgraded workspace that no test changes."""
    root = unpack(tmp_path_factory.mktemp("served"))
    mrseg_label("upgrade", root)
    with serving(root) as http:
        yield http


def unpack(folder: Path) -> Path:
    with tarfile.open(FIXTURES / KEPT["archive"]) as archive:
        archive.extractall(folder, filter="data")
    root: Path = folder / KEPT["root"]
    return root


def environment(**settings: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MRSEG_")}
    return kept | {f"MRSEG_{key}": value for key, value in settings.items()}


def mrseg_label(command: str, root: Path) -> Any:
    """The JSON document that a command prints."""
    arguments = [*command.split(), "--workspace", str(root), "--json"]
    output = io.StringIO()
    # In this process: a new one takes seconds to begin.
    with (
        mock.patch.dict(os.environ, environment(), clear=True),
        redirect_stdout(output),
        pytest.raises(SystemExit) as ended,
    ):
        main(arguments)
    assert ended.value.code == 0, command
    return json.loads(output.getvalue().replace(str(root), PLACE))


@contextmanager
def serving(root: Path, **settings: str) -> Iterator[httpx.Client]:
    """``mrseg-label serve`` until the end of the block."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    log = root.parent / "serve.log"
    with (
        running("serve", "--workspace", str(root), "--port", str(port), log=log, **settings) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http,
    ):

        def answers() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return http.get("/healthz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers)
        yield http


@contextmanager
def running(*arguments: str, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs until it is told to end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mrseg_label.cli", *arguments],
            stdout=output,
            stderr=output,
            env=environment(**settings),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.25)


def differences(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Where a document lost a field or differs in one; new fields do not count."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            inner = f"{place}.{key}".lstrip(".")
            if key in after:
                yield from differences(value, after[key], inner)
            else:
                yield inner, "is missing"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{place}.{index}".lstrip("."))
    elif before != after:
        yield place, f"was {before!r:.200} and is {after!r:.200}"


def unexpected(document: str, after: Any, kind: str) -> list[str]:
    """Differences from version 0.2.0 that are not listed above; a field that is missing always counts."""
    return [
        f"{place} {what}"
        for place, what in differences(KEPT[kind][document], after)
        if what == "is missing"
        or not any(fnmatchcase(document, name) and fnmatchcase(place, field) for name, field, _ in DIFFERENCES)
    ]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_database_is_whole_after_the_upgrade(workspace: Path) -> None:
    first = mrseg_label("upgrade", workspace)
    assert mrseg_label("upgrade", workspace) == first
    with closing(sqlite3.connect(workspace / "mrseg.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert (workspace / "mrseg.toml").read_text() == KEPT["settings"]


@pytest.mark.parametrize("command", KEPT["command_line"])
def test_the_command_line_reports_what_it_reported(workspace: Path, command: str) -> None:
    assert unexpected(command, mrseg_label(command, workspace), "command_line") == []


@pytest.mark.parametrize("path", KEPT["http"])
def test_the_server_answers_what_it_answered(served: httpx.Client, path: str) -> None:
    reply = served.get(path)
    assert reply.status_code == 200, reply.text
    assert unexpected(path, reply.json(), "http") == []


def test_waiting_cases_are_those_that_can_be_assigned(served: httpx.Client) -> None:
    waiting = sum(case["waiting_for_assignment"] for case in CASES.values())
    # The next request for a case first takes overdue ones back.
    overdue = sum(lease["overdue"] for case in CASES.values() for lease in case["leases"])
    progress = served.get("/api/v1/progress").json()
    assert waiting <= progress["waiting"] <= waiting + overdue
    assert progress["annotated_total"] == sum(case["annotated"] and not case["excluded"] for case in CASES.values())


def test_images_and_masks_are_as_they_were(served: httpx.Client) -> None:
    for examination in KEPT["http"]["/api/v1/examinations?limit=500"]["items"]:
        image = served.get("/datastore/image", params={"image": examination["id"]})
        assert sha256(image.content) == examination["digest"], examination["id"]
    for case in CASES.values():
        for revision in case["revisions"]:
            mask = served.get(f"/api/v1/annotations/{revision['id']}/mask")
            assert sha256(mask.content) == revision["digest"], revision["id"]
    case = CASES["p01/abdomen"]
    label = served.get("/datastore/label", params={"label": case["examinations"]["in"], "tag": "final"})
    assert sha256(label.content) == case["revisions"][-1]["digest"]


def test_tickets_and_own_names_of_images_still_open_them(served: httpx.Client) -> None:
    [lease] = CASES["p07/chest"]["leases"]
    examination = CASES["p07/chest"]["primary"]
    for name, client in ((lease["ticket"], lease["client"]), (examination, "somebody")):
        info = served.get("/datastore/image/info", params={"image": name, "client_id": client})
        assert info.json()["id"] == examination
    alias = KEPT["keys"]["alias"]
    info = served.get("/datastore/image/info", params={"image": alias["name"], "client_id": alias["client"]})
    assert info.json()["id"] == alias["examination"]


def test_a_backup_is_restored(upgraded: Path, tmp_path: Path) -> None:
    commands = ("status", "annotations list", "models list", "rounds list", "users list")
    before = [mrseg_label(command, upgraded) for command in commands]
    file, restored = tmp_path / "backup.tar", tmp_path / "restored"
    assert mrseg_label(f"backup {file}", upgraded)["files"] > 80
    assert mrseg_label(f"restore {file}", restored)["checked"] > 80
    assert [mrseg_label(command, restored) for command in commands] == before


def test_a_backup_of_the_version_before_is_restored(workspace: Path, tmp_path: Path) -> None:
    file, restored = tmp_path / "backup.tar", tmp_path / "restored"
    with tarfile.open(file, "w") as archive:  # as version 0.2.0 packed one: the settings last
        for entry in sorted(workspace.iterdir(), key=lambda path: path.name == "mrseg.toml"):
            if entry.name not in ("nnunet", "tmp"):
                archive.add(entry, entry.name)
    mrseg_label(f"restore {file}", restored)
    assert unexpected("status", mrseg_label("status", restored), "command_line") == []


def test_queued_work_goes_on(upgraded: Path, tmp_path: Path) -> None:
    before = mrseg_label("status", upgraded)
    assert before["progress"]["queues"]["light"]["queued"] == 5  # four of them, and what completes old efforts
    arguments = ("worker", "--queues", "light", "--workspace", str(upgraded))
    with running(*arguments, log=tmp_path / "worker.log"):
        wait_until(lambda: not any(mrseg_label("status", upgraded)["progress"]["queues"].get("light", {}).values()))
    after = mrseg_label("status", upgraded)
    assert after["masks_refused"] == before["masks_refused"]
    assert after["progress"]["annotated_total"] == before["progress"]["annotated_total"] + 1
    # The images that were imported last are queued for pre-segmentation.
    assert after["progress"]["queues"]["drafts"]["queued"] > before["progress"]["queues"]["drafts"]["queued"]
    [imported] = mrseg_label(f"annotations list {CASES['p03/chest']['primary']}", upgraded)["items"]
    assert (imported["author"], imported["state"], imported["number"]) == ("import", "accepted", 1)
    measured = mrseg_label(f"annotations show {KEPT['keys']['since_the_last_snapshot']}", upgraded)
    assert measured["effort"]["edited_voxels"] > 0
    assert all(item["edited_voxels"] is not None for item in measured["structures"])
    assert mrseg_label("effort", upgraded)["not_measured"] == 0


def test_readers_go_on(upgraded: Path) -> None:
    keys = KEPT["keys"]
    with serving(upgraded) as http:
        # A case that was assigned before the upgrade is submitted after it.
        [lease] = CASES["p07/chest"]["leases"]
        examination = CASES["p07/chest"]["primary"]
        draft = http.get("/datastore/label", params={"label": lease["ticket"], "tag": "original"})
        names = [{"name": name} for name in http.get("/info/").json()["labels"]]
        params = {"client_id": lease["client"], "label_info": names, "model": "mrseg"}
        reply = http.put(
            "/datastore/label",
            params={"image": lease["ticket"]},
            data={"params": json.dumps(params)},
            files={"label": ("label.nii.gz", draft.content)},
        )
        assert reply.status_code == 200, reply.text
        [made] = http.get(f"/api/v1/examinations/{examination}/annotations").json()["items"]
        assert (made["author"], made["state"], made["number"]) == (lease["client"], "accepted", 1)
        assert made["seconds"] > 0
        assert {item["state"] for item in made["structures"]} == {"unchanged", "absent"}

        # A case that was reserved comes with the next request, and with the mask that its reader starts from.
        sample = http.post("/activelearning/balanced", json={"client_id": "user-xyz"}).json()
        assert sample["id"] == CASES["p01/pelvis"]["primary"]
        assert sample["annotation"] == sample["revision"] == keys["unchanged"]

        # An overdue case is back in the queue and is assigned to others like the rest.
        [overdue] = CASES["p09/pelvis"]["leases"]
        assert overdue["overdue"]
        waiting = {case["primary"] for case in CASES.values() if case["waiting_for_assignment"]}
        assigned = set()
        while (next_ := http.post("/activelearning/sequential", json={"client_id": "somebody"})).status_code == 200:
            assigned.add(next_.json()["id"])
        assert next_.status_code == 409, next_.text
        assert assigned == waiting | {CASES["p09/pelvis"]["primary"]}

        # A reader accepts what awaited a review; its author may not.
        accept = f"/api/v1/annotations/{keys['awaiting_review']}/accept"
        assert http.post(accept, json={"client": "anna"}).status_code == 403
        assert http.post(accept, json={"client": "rita"}).json()["state"] == "accepted"
        back = http.post(f"/api/v1/annotations/{keys['withdrawn']}/restore", json={"client": "rita"}).json()
        assert (back["state"], back["author"], back["number"]) == ("accepted", "bert", 2)
        both = http.get(f"/api/v1/annotations/{first_reading()}/compare/{keys['second_reading']}").json()
        assert both["mean_dsc"] == 1.0


def first_reading() -> str:
    """The annotation of the case that was read twice."""
    identifier: str = CASES["p02/chest"]["revisions"][0]["id"]
    return identifier


def test_accounts_sign_in(workspace: Path) -> None:
    """Also: a server upgrades the workspace that it is started on."""
    people = KEPT["sign_in"]
    with serving(workspace, AUTH="on") as http:

        def sign_in(name: str, password: str) -> httpx.Response:
            form = {"grant_type": "password", "username": name, "password": password}
            return http.post("/auth/token", data=form)

        for name in people["with_password"]:
            token = sign_in(name, people["password"])
            assert token.status_code == 200, (name, token.text)
        assert sign_in("former", people["password"]).status_code == 401
        assert sign_in("anna", "not her password").status_code == 401
        # Who was not seen by the identity provider for a month signs in there first.
        assert sign_in("oda", people["app_password"]["secret"]).status_code == 401
        key = {"Authorization": f"Bearer {people['api_key']['secret']}"}
        assert http.get("/api/v1/metrics/learning-curve", headers=key).status_code == 200
        assert http.get("/api/v1/metrics/learning-curve").status_code == 401
        # A signed-in reader's case is still the reader's.
        bearer = {"Authorization": f"Bearer {sign_in('bert', people['password']).json()['access_token']}"}
        [lease] = CASES["p08/pelvis"]["leases"]
        assert set(http.get("/datastore/?output=all", headers=bearer).json()["objects"]) == {lease["ticket"]}
        image = http.get("/datastore/image", params={"image": lease["ticket"]})
        assert image.status_code == 200
    assert [item["role"] for item in mrseg_label("users list", workspace)["items"]] == list(people["accounts"].values())


def test_rounds_and_models_go_on(upgraded: Path) -> None:
    assert mrseg_label("rounds cancel 4", upgraded)["state"] == "cancelled"
    again = mrseg_label("rounds retry 3", upgraded)
    assert (again["state"], again["attempt"]) == ("queued", 2)
    assert again["snapshot"] == KEPT["command_line"]["rounds show 3"]["snapshot"]
    assert mrseg_label("models rollback", upgraded)["version"] == "bootstrap"
    assert mrseg_label("models promote r1", upgraded)["status"] == "current"
    assert "training done" in mrseg_label("rounds log 1", upgraded)["log"]
