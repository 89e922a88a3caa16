"""Notifications: once for each occurrence, to a real webhook and a real mail server, through a kill, without patient data."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from email import message_from_string
from pathlib import Path

import pytest
from sqlalchemy import update

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import workers
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Delivery, Job, Notification, Round
from mrseg_label.catalog.types import AttentionKind, JobKind, JobState, Role, RoundState
from mrseg_label.cli import main
from mrseg_label.clock import now
from mrseg_label.config import CONFIG_FILE
from mrseg_label.maintenance.checks import check_workspace
from mrseg_label.notifications import watching
from mrseg_label.notifications.watching import Watcher
from mrseg_label.reports.attention import find_attention
from mrseg_label.reports.notifications import read_channels, read_notifications
from mrseg_label.workspace import Workspace
from tests.support.receivers import Received, mail_server, webhook

SECRET = "whsec_" + base64.b64encode(b"a key that two know").decode()
ERROR = "Traceback\nInvalidInput: /images/Mustermann_Max_1950.nii.gz of ex-7fr3 is damaged"
KINDS = {AttentionKind.ROUND_FAILED, AttentionKind.JOBS_FAILED, AttentionKind.WORKER_LOST}


@contextmanager
def opened(folder: Path, settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(folder / "ws", settings_text=settings)
    with closing(open_workspace(folder / "ws")) as workspace:
        yield workspace


def fail_round(workspace: OpenedWorkspace, attempt: int = 1) -> None:
    with workspace.catalog.begin() as session:
        session.merge(Round(number=3, state=RoundState.FAILED, profile="tiny", error=ERROR, attempt=attempt))


def cause_trouble(workspace: OpenedWorkspace) -> None:
    fail_round(workspace)
    with workspace.catalog.begin() as session:
        session.add(Job(kind=JobKind.PRESEGMENT, queue="drafts", key="x", payload={}, state=JobState.FAILED, error=ERROR))  # fmt: skip
        workers.record(session, "gpu-node:7:99", "rounds", now() - timedelta(minutes=5))


def kinds_of(received: Received) -> list[str]:
    found = [json.loads(body)["data"]["kind"] for _, body in received.requests]
    return sorted(kind for kind in found if kind in KINDS)


def make_due(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        session.execute(update(Delivery).values(due_at=now()))


def url(received: Received, path: str = "/hooks/secret-of-the-chat") -> str:
    return f'NOTIFY_WEBHOOK = "http://127.0.0.1:{received.port}{path}"\n'


def test_each_occurrence_is_sent_once_and_says_nothing_of_a_patient(tmp_path: Path) -> None:
    with webhook() as received, opened(tmp_path, f'{url(received)}NOTIFY_WEBHOOK_SECRET = "{SECRET}"\nPUBLIC_URL = "https://seg.example/mr"\n') as workspace:  # fmt: skip
        cause_trouble(workspace)
        watcher = Watcher(workspace)
        for _ in range(3):
            watcher.look()
        assert kinds_of(received) == sorted(KINDS)
        for headers, body in received.requests:
            document = json.loads(body)
            assert not [word for word in ("Mustermann", "1950", "ex-", ".nii", "images/") if word in body.decode()]
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = hmac.new(b"a key that two know", signed, hashlib.sha256).digest()
            assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
            assert document["data"]["id"] == headers["webhook-id"] and document["type"].endswith(
                document["data"]["kind"]
            )
        (failed,) = [json.loads(body)["data"] for _, body in received.requests if b"round_failed" in body]
        assert (
            failed["message"].startswith("Round 3 failed.")
            and failed["link"] == "https://seg.example/mr/dashboard/rounds/3"
        )
        assert any("Mustermann" in one.message for one in find_attention(workspace)), "the page says more"
        fail_round(workspace, attempt=2)  # retried, and it failed again
        watcher.look()
        assert kinds_of(received).count("round_failed") == 2
        listed = read_notifications(workspace.catalog, 50).items
        of_round = [one.ended is None for one in listed if one.kind is AttentionKind.ROUND_FAILED]
        assert of_round == [True, False]


def test_a_receiver_that_is_down_is_tried_again_and_nothing_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with webhook() as received, opened(tmp_path, url(received)) as workspace:
        received.status = 302  # is not followed: it could lead anywhere
        fail_round(workspace)
        watcher = Watcher(workspace)
        watcher.look()
        watcher.look()  # not due again yet
        assert kinds_of(received) == ["round_failed"]
        (channel,) = read_channels(workspace.catalog, workspace.settings)
        assert channel.waiting > 0 and channel.problem == "127.0.0.1 answers with the status 302"
        with pytest.raises(SystemExit):
            main(["status", "--workspace", str(workspace.root)])
        checks = [one for one in check_workspace(workspace.root, verify=False, progress=lambda *_: None) if one.name == "notifications"]  # fmt: skip
        shown = capsys.readouterr().out + " ".join(f"{one.state} {one.detail}" for one in checks)
        assert "warning webhook to http://127.0.0.1" in shown and shown.count("the status 302") == 2
        assert "secret-of-the-chat" not in shown
        received.status = 204
        make_due(workspace)
        watcher.look()
        assert kinds_of(received) == ["round_failed"] * 2
        ids = {headers["webhook-id"] for headers, body in received.requests if b"round_failed" in body}
        assert len(ids) == 1, "the receiver can tell that it is the same"
        make_due(workspace)
        watcher.look()
        assert kinds_of(received) == ["round_failed"] * 2
        (channel,) = read_channels(workspace.catalog, workspace.settings)
        assert channel.waiting == 0 and channel.problem is None and channel.last_sent is not None


def test_a_sender_that_is_killed_before_it_recorded_sends_once_more(tmp_path: Path) -> None:
    with webhook() as received, opened(tmp_path, url(received)) as workspace:
        fail_round(workspace)
        with workspace.catalog.begin() as session:
            session.add(Notification(kind=AttentionKind.ROUND_FAILED, occurrence="3/1", message="Round 3 failed.", round_number=3, deliveries=[Delivery(channel="webhook", due_at=now())]))  # fmt: skip
        received.answer.clear()
        code = (
            "import sys, pathlib; from mrseg_label.catalog.opening import open_workspace; "
            "from mrseg_label.notifications.sending import send_due; "
            "w = open_workspace(pathlib.Path(sys.argv[1])); send_due(w, w.settings, lambda: True)"
        )
        sender = subprocess.Popen([sys.executable, "-c", code, str(workspace.root)])
        assert received.arrived.wait(60)
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        received.answer.set()
        watcher = Watcher(workspace)
        watcher.look()
        assert kinds_of(received) == ["round_failed"], "not at once: the first may still be on its way"
        for _ in range(3):
            make_due(workspace)
            watcher.look()
        assert kinds_of(received) == ["round_failed"] * 2


def test_of_several_servers_one_sends_and_another_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as received, opened(tmp_path, url(received)) as workspace:
        fail_round(workspace)
        monkeypatch.setattr(watching, "owner_name", lambda: "other-machine:1:1")
        other = Watcher(workspace)
        monkeypatch.undo()
        other._keep_lease()
        here = Watcher(workspace)
        here.look()
        assert not received.requests
        other.start()
        other.stop()  # gives the lease up
        before = len(received.requests)
        here.look()
        assert kinds_of(received) == ["round_failed"] and len(received.requests) >= before


def test_what_happens_again_and_again_is_told_of_once_in_a_while(tmp_path: Path) -> None:
    with opened(tmp_path, "") as workspace:
        watcher = Watcher(workspace)
        for number in range(4):
            with workspace.catalog.begin() as session:
                session.add(Job(kind=JobKind.PRESEGMENT, queue="drafts", key=str(number), payload={}, state=JobState.FAILED, error="no", finished_at=now()))  # fmt: skip
            watcher.look()
        with workspace.catalog.begin() as session:
            session.execute(update(Notification).values(created_at=Notification.created_at))
            for row in session.query(Notification):
                row.created_at -= timedelta(hours=2)
        watcher.look()
        found = [
            one for one in read_notifications(workspace.catalog, 50).items if one.kind is AttentionKind.JOBS_FAILED
        ]
        assert [one.message.split(" ")[0] for one in found] == ["4", "1"]
        told = read_notifications(workspace.catalog, 50, reader=Reader("rita", "rita", Role.REVIEWER)).items
        assert {one.kind for one in told} <= {AttentionKind.AWAITING_REVIEW}


def test_mail_is_sent_through_the_hospitals_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mail_server() as received:
        settings = f'NOTIFY_EMAIL = "it@hospital.example, chief@hospital.example"\nSMTP_HOST = "127.0.0.1"\nSMTP_PORT = {received.port}\nSMTP_SECURITY = "none"\n'  # fmt: skip
        with opened(tmp_path, settings) as workspace:
            received.status = 550
            fail_round(workspace)
            Watcher(workspace).look()
            (channel,) = read_channels(workspace.catalog, workspace.settings)
            assert channel.problem is not None and "550 no such user" in channel.problem and not received.mails
            received.status = 250
            make_due(workspace)
            Watcher(workspace).look()
            mails = [message_from_string(text) for text in received.mails]
            (mail,) = [one for one in mails if "Round 3" in one["Subject"]]
            assert mail["Subject"] == "mrseg-label: Round 3 failed" and mail["From"] == "it@hospital.example"
            assert mail["To"] == "it@hospital.example, chief@hospital.example"
            assert "Mustermann" not in "".join(received.mails) and mail["Auto-Submitted"] == "auto-generated"
            with pytest.raises(SystemExit) as ended:
                main(["notifications", "test", "--workspace", str(workspace.root), "--json"])
            assert ended.value.code == 0 and json.loads(capsys.readouterr().out) == {"email": {"sent": True, "problem": None}}  # fmt: skip
            assert "This is a test" in received.mails[-1]
            received.status = 550
            with pytest.raises(SystemExit) as ended:
                main(["notifications", "test", "--workspace", str(workspace.root)])
            assert ended.value.code == 1 and "550 no such user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", "no notification is sent"),
        ('NOTIFY_WEBHOOK = "ftp://x"', "NOTIFY_WEBHOOK"),
        ('NOTIFY_WEBHOOK = "https://user:secret@chat.example/x"', "without a name or a password"),
        ('NOTIFY_WEBHOOK_SECRET = "x"', "set both"),
        ('NOTIFY_EMAIL = "it@hospital.example"', "SMTP_HOST"),
        ('NOTIFY_EMAIL = "nobody"\nSMTP_HOST = "mail"', "is not an e-mail address"),
        ('NOTIFY_EMAIL = "it@hospital.example"\nSMTP_HOST = "mail"\nSMTP_USER = "x"', "belong together"),
        ('NOTIFY_WEBHOOK = "http://1.1.1.1/x"', "public address 1.1.1.1"),
        ('NOTIFY_EMAIL = "it@hospital.example"\nSMTP_HOST = "1.1.1.1"\nSMTP_SECURITY = "none"', "public address 1.1.1.1"),
    ],
)  # fmt: skip
def test_what_cannot_work_or_would_leave_the_hospital_openly_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str, says: str
) -> None:
    Workspace.init(tmp_path / "ws")
    (tmp_path / "ws" / CONFIG_FILE).write_text(settings)
    with pytest.raises(SystemExit) as ended:
        main(["notifications", "test", "--workspace", str(tmp_path / "ws")])
    text = capsys.readouterr()
    assert ended.value.code in (1, 2) and says in text.err and "user:secret" not in text.err + text.out
