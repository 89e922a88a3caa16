"""A server that is told to end while requests are under way: it answers them, keeps what it acknowledged, and is gone in time."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Annotation
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace
from tests.integration.conftest import write_image
from tests.integration.monailabel.test_server_processes import ask, serving, wait_for

END_SECONDS = 10.0  # Docker kills after as many
BEGIN_SECONDS = 60.0
HALF = 200  # bytes of an upload that come before the signal
BOUNDARY = "mask-of-a-reader"


@dataclass(frozen=True)
class Case:
    """A workspace with two images without drafts and no worker that could make one; ``mask`` is for the first."""

    root: Path
    submitted: str
    waiting: str
    mask: bytes


@pytest.fixture
def case(tmp_path: Path) -> Case:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    images = [write_image(tmp_path / f"p{number}.nii.gz", 700 + number) for number in range(2)]
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        submitted, waiting = (entry.id for entry in import_paths(workspace, images).accepted)
    image = nib.load(images[0])
    mask = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine), mask)
    return Case(tmp_path / "ws", submitted, waiting, mask.read_bytes())


def test_what_is_under_way_is_answered_and_kept(case: Case) -> None:
    with serving(case.root, processes=1) as (url, process), ThreadPoolExecutor(3) as pool:
        rest, sent = threading.Event(), threading.Event()
        infer = pool.submit(ask_for_draft, url, case.waiting)
        stream_open = threading.Event()
        stream = pool.submit(follow_events, url, stream_open)
        upload = pool.submit(submit_slowly, url, case, sent, rest)
        assert stream_open.wait(BEGIN_SECONDS) and sent.wait(BEGIN_SECONDS)
        time.sleep(1)  # all three are with the server
        assert not any(one.done() for one in (infer, stream, upload))
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        refused = infer.result(END_SECONDS)  # at once: no worker will make the draft while the server ends
        assert refused.status_code == 503 and "again" in refused.text
        stream.result(END_SECONDS)
        assert not upload.done() and process.poll() is None, "the upload is waited for"
        wait_for(lambda: ask(url) == 0)  # nothing new is taken meanwhile
        assert not upload.done() and process.poll() is None
        rest.set()
        acknowledged = upload.result(END_SECONDS)
        assert acknowledged.status_code == 200, acknowledged.text
        code = process.wait(END_SECONDS)
        assert time.monotonic() - told < END_SECONDS
        assert code == -signal.SIGTERM  # as one that was not in the midst of anything: systemd and Docker expect it
    assert stored(case) == [hashlib.sha256(case.mask).hexdigest()]
    with serving(case.root, processes=1) as (url, _):  # the next server has it
        mask = httpx.get(f"{url}/datastore/label", params={"label": case.submitted, "tag": "final"}, timeout=60)
        assert mask.status_code == 200


def test_an_upload_that_does_not_go_on_keeps_no_server(case: Case) -> None:
    with serving(case.root, processes=1) as (url, process), ThreadPoolExecutor(1) as pool:
        rest, sent = threading.Event(), threading.Event()
        upload: Future[httpx.Response] = pool.submit(submit_slowly, url, case, sent, rest)
        assert sent.wait(BEGIN_SECONDS)
        time.sleep(1)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)
        assert time.monotonic() - told < END_SECONDS
        rest.set()
        refused = upload.result(END_SECONDS)
        assert refused.status_code == 503 and "send it again" in refused.text and refused.headers["retry-after"] == "10"
    assert stored(case) == []
    assert not [file for name in ("annotations", "tmp") for file in (case.root / name).rglob("*") if file.is_file()]


def ask_for_draft(url: str, image: str) -> httpx.Response:
    """Ask for a draft that nobody makes."""
    return httpx.post(f"{url}/infer/mrseg", params={"image": image}, data={"params": "{}"}, timeout=BEGIN_SECONDS)


def follow_events(url: str, is_open: threading.Event) -> None:
    """Follow the events until the stream ends as it should: with its last chunk."""
    with httpx.stream("GET", f"{url}/api/v1/events", timeout=BEGIN_SECONDS) as reply:
        assert reply.status_code == 200
        for _ in reply.iter_lines():
            is_open.set()


def submit_slowly(url: str, case: Case, sent: threading.Event, rest: threading.Event) -> httpx.Response:
    """Submit the mask; the second half comes as soon as ``rest`` is set."""
    params = json.dumps({"label_info": [{"name": "spleen"}]})
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{params}\r\n--{BOUNDARY}\r\n'
        'Content-Disposition: form-data; name="label"; filename="label.nii.gz"\r\n\r\n'
    )
    body = head.encode() + case.mask + f"\r\n--{BOUNDARY}--\r\n".encode()

    def parts() -> Iterator[bytes]:
        yield body[:HALF]
        sent.set()
        rest.wait(BEGIN_SECONDS)
        yield body[HALF:]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(len(body))}
    return httpx.put(
        f"{url}/datastore/label", params={"image": case.submitted}, content=parts(), headers=headers, timeout=60
    )


def stored(case: Case) -> list[str]:
    """Digests of the uploads that annotations were made of."""
    with closing(open_workspace(case.root)) as workspace, workspace.catalog.read() as session:
        return [row.upload_digest for row in session.query(Annotation)]
