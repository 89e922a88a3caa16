"""Streams of events: nothing is lost, nobody sees what a list would not show them, and no stream keeps a server."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import events
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import CredentialKind, JobKind, Role, RoundState
from mrseg_label.http import event_streams
from mrseg_label.jobs import queue
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace
from tests.integration.conftest import PASSWORD, SETTINGS, Guarded, serving
from tests.support.chromium import serve_in_thread
from tests.support.paths import ROOT

URL = "/api/v1/events"


class Listening:
    """What a client of a stream gets: events, and the id to resume with."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self.last = ""
        self._lines = reply.iter_lines()

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        topic = data = ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last = value
            elif name == "event":
                topic = value
            elif name == "data":
                data = value
            elif not line and data:
                yield topic, json.loads(data)
                topic = data = ""
            elif not line:
                yield "", {}  # a sign of life

    def until(self, topic: str, **fields: object) -> list[tuple[str, dict[str, Any]]]:
        """All events up to one of that topic with these fields."""
        found = []
        for one in self:
            found.append(one)
            if one[0] == topic and all(one[1][name] == value for name, value in fields.items()):
                return [one for one in found if one[0]]
        raise AssertionError(f"the stream ended without {topic} {fields}: {found}")


@contextmanager
def listen(http: httpx.Client, headers: dict[str, str], last: str = "", **params: str) -> Iterator[Listening]:
    sent = {**headers, **({"Last-Event-ID": last} if last else {})}
    with http.stream("GET", URL, headers=sent, params=params) as reply:
        assert reply.status_code == 200, reply.read()
        listening = Listening(reply)
        assert next(iter(listening)) == ("", {}) and listening.last.isdigit()
        yield listening


def caught_up(guarded: Guarded, role: Role | None, last: str, **params: str) -> list[tuple[str, dict[str, Any]]]:
    with listen(guarded.http, guarded.as_(role), last, follow="false", **params) as stream:
        return [one for one in stream if one[0]]


def newest(guarded: Guarded) -> str:
    with guarded.catalog.read() as session:
        return str(events.newest(session))


def add_round(guarded: Guarded, number: int) -> None:
    with guarded.catalog.begin() as session:
        session.add(Round(number=number, state=RoundState.QUEUED, profile="tiny"))


def change_round(guarded: Guarded, number: int, state: RoundState) -> None:
    with guarded.catalog.begin() as session:
        session.get_one(Round, number).state = state


def test_a_client_that_was_away_gets_what_changed_in_the_meantime(guarded: Guarded) -> None:
    """Written by this process, told by the server's."""
    admin = guarded.as_(Role.ADMIN)
    with listen(guarded.http, admin, topics="round") as stream:
        assert stream.reply.headers["content-type"].startswith("text/event-stream")
        assert stream.reply.headers["x-accel-buffering"] == "no" and "no-store" in stream.reply.headers["cache-control"]
        add_round(guarded, 901)
        ((_, document),) = stream.until("round", number=901)
    assert document == guarded.http.get("/api/v1/rounds/901", headers=admin).json()
    change_round(guarded, 901, RoundState.PLANNING)
    change_round(guarded, 901, RoundState.FAILED)
    with listen(guarded.http, admin, stream.last, topics="round") as again:
        assert [found["state"] for _, found in again.until("round", number=901)] == ["failed"]
        change_round(guarded, 901, RoundState.CANCELLED)
        again.until("round", state="cancelled")
    assert not caught_up(guarded, Role.ADMIN, again.last, topics="round")
    head = guarded.http.head(URL, headers=admin)
    assert head.status_code == 200 and not head.content and head.headers["content-type"].startswith("text/event-stream")


def test_a_stream_shows_what_the_lists_show(guarded: Guarded) -> None:
    last = newest(guarded)
    for role in (Role.RADIOLOGIST, Role.REVIEWER):
        assert assign_next_case(guarded.workspace, Reader.signed_in(str(role), role), "sequential") is not None
    with guarded.catalog.begin() as session:
        job = queue.enqueue(session, JobKind.PRESEGMENT_PENDING, {}, key="of-events").id
    add_round(guarded, 902)
    change_round(guarded, 902, RoundState.CANCELLED)
    seen = {role: caught_up(guarded, role, last) for role in Role}
    readers = {role: {doc["reader"] for topic, doc in found if topic == "assignment"} for role, found in seen.items()}
    assert readers[Role.RADIOLOGIST] == {"radiologist"}
    assert readers[Role.REVIEWER] == readers[Role.ADMIN] == readers[Role.SERVICE] == {"radiologist", "reviewer"}
    for role, found in seen.items():
        jobs = [doc for topic, doc in found if topic == "job"]
        assert (job in [doc["id"] for doc in jobs]) == (role is Role.ADMIN) == bool(jobs)
        assert [doc["number"] for topic, doc in found if topic == "round"] == [902]
        routes = {"assignment": "assignments", "annotation": "annotations", "job": "jobs", "model": "models"}
        for topic, document in found:
            if topic in routes:
                reply = guarded.http.get(f"/api/v1/{routes[topic]}/{document['id']}", headers=guarded.as_(role))
                assert reply.json() == document, topic
    own = [doc["id"] for topic, doc in seen[Role.ADMIN] if topic == "assignment" and doc["reader"] == "reviewer"]
    assert guarded.http.get(f"/api/v1/assignments/{own[0]}", headers=guarded.as_(Role.RADIOLOGIST)).status_code == 403
    listed = guarded.http.get("/api/v1/assignments", headers=guarded.as_(Role.RADIOLOGIST)).json()["items"]
    assert {item["reader"] for item in listed} == {"radiologist"}
    refused = guarded.http.get(URL, params={"topics": "job,round"}, headers=guarded.as_(Role.REVIEWER))
    assert refused.status_code == 403 and "job" in refused.json()["detail"]
    assert guarded.http.get(URL).status_code == 401


def test_a_second_reader_learns_nothing_of_the_first(guarded: Guarded) -> None:
    names = ("first.reader", "second.reader")
    for name in names:
        accounts.add(guarded.catalog, name, Role.RADIOLOGIST, password=PASSWORD, actor="test")
    tokens = {name: {"Authorization": f"Bearer {guarded.sign_in(name)}"} for name in names}
    last = newest(guarded)
    case = guarded.http.post("/activelearning/sequential", headers=tokens[names[0]], json={}).json()["id"]
    mask = guarded.http.get("/datastore/label", params={"label": case, "tag": "original"}, headers=tokens[names[0]])
    info = json.dumps({"label_info": [{"name": name} for name in guarded.workspace.scheme.label_names]})
    sent = guarded.http.put("/datastore/label", params={"image": case}, headers=tokens[names[0]], files={"label": ("a.nii.gz", mask.content)}, data={"params": info})  # fmt: skip
    assert sent.status_code == 200, sent.text
    with listen(guarded.http, tokens[names[0]], last, follow="false") as stream:
        first = [one for one in stream if one[0]]
    assert {topic for topic, _ in first} >= {"annotation", "assignment"}
    asked = {"purpose": "second_read", "examination": first[-1][1]["examination"]}
    assert guarded.http.post("/api/v1/examinations/assign", headers=tokens[names[1]], json=asked).status_code == 201
    with listen(guarded.http, tokens[names[1]], last, follow="false") as stream:
        second = [one for one in stream if one[0] in ("annotation", "assignment", "job")]
    assert [(topic, doc["reader"], doc["purpose"]) for topic, doc in second] == [
        ("assignment", names[1], "second_read")
    ]


@pytest.mark.parametrize("last", ["99999999", str(2**62)])
def test_a_client_from_another_time_is_told_to_read_anew(guarded: Guarded, last: str) -> None:
    with guarded.http.stream("GET", URL, headers={**guarded.as_(Role.ADMIN), "Last-Event-ID": last}, params={"follow": "false"}) as reply:  # fmt: skip
        ((topic, document), (no_topic, _)) = list(Listening(reply))
    assert topic == "reset" and "read the lists again" in document["reason"] and no_topic == ""


@pytest.mark.parametrize(
    ("headers", "params", "says"),
    [
        ({"Last-Event-ID": "x"}, {}, "Last-Event-ID"),
        ({"Last-Event-ID": "-1"}, {}, "Last-Event-ID"),
        ({"Last-Event-ID": str(2**64)}, {}, "Last-Event-ID"),
        ({}, {"topics": "rounds"}, "choose from round, assignment"),
        ({}, {"topics": ","}, "topics is empty"),
        ({}, {"topic": "round"}, "did you mean 'topics'"),
    ],
)
def test_what_is_no_request_is_refused(
    guarded: Guarded, headers: dict[str, str], params: dict[str, str], says: str
) -> None:
    reply = guarded.http.get(URL, headers={**guarded.as_(Role.ADMIN), **headers}, params=params)
    assert reply.status_code == 422 and says in reply.text


def test_streams_are_bounded_and_end_with_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(event_streams, "MAX_OF_READER", 2)
    Workspace.init(tmp_path / "ws", settings_text="WORKERS = 0\n")
    workspace = open_workspace(tmp_path / "ws")
    accounts.add(workspace.catalog, "nightly", Role.SERVICE, password=None, actor="test")
    row, key = credentials.make(workspace.catalog, "nightly", CredentialKind.API_KEY, "test", actor="test")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        serve_in_thread(workspace) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
        listen(http, headers) as one,
    ):
        with listen(http, headers) as two:
            third = http.get(URL, headers=headers)
            assert third.status_code == 429 and "2 open streams" in third.json()["detail"]
            assert next(iter(two)) == ("", {})  # a sign of life
        while http.get(URL, headers=headers, params={"follow": "false"}).status_code == 429:
            pass  # until the server has noticed that the second one left
        credentials.revoke(workspace.catalog, row.id, actor="test")
        assert {topic for topic, _ in one} <= {""}  # to its end, which comes by itself
    workspace.close()


@pytest.mark.soak
def test_an_open_stream_ends_whole_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    """uvicorn would wait for it, and cut it off after ten seconds: the client would see a broken reply."""
    with serving(tmp_path, SETTINGS, 1) as server, listen(server.http, {}) as stream:
        os.kill(server.pid, signal.SIGINT)
        assert [topic for topic, _ in stream if topic] == []


def test_the_example_of_the_documentation_follows_a_round(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "/events" in code]
    monkeypatch.setenv("API", f"{guarded.url}/api/v1")
    monkeypatch.setenv("KEY", guarded.tokens[Role.SERVICE])
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "docs/rest.md", "exec"), names)
    following = names["follow"]("round", newest(guarded))
    add_round(guarded, 903)
    assert (found := next(following))[0] == "round" and found[1]["number"] == 903
    change_round(guarded, 903, RoundState.CANCELLED)
    assert next(following)[1]["state"] == "cancelled"
    following.close()
