"""MONAI Label's own launcher: ``python -m monailabel.main start_server --app apps/mrseg --studies DIR``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlretrieve

import httpx
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Assignment
from mrseg_label.catalog.types import Role
from mrseg_label.errors import ConfigurationError
from mrseg_label.intake.service import import_paths
from mrseg_label.labels import LabelScheme
from mrseg_label.resources import monailabel_app
from mrseg_label.simulation.server import free_port
from mrseg_label.workspace import Workspace
from mrseg_monailabel.studies import FOLDER, import_studies, open_studies, workspace_of
from tests.integration.conftest import PASSWORD, write_image
from tests.support.process_trees import umask_of
from tests.support.reviewer_extension import ReviewerExtension

START_SECONDS = 480  # MONAI Label alone imports for 20 s, and much longer on a busy machine


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A folder of two images, as a research group has it before it knows this server."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for seed in (300, 301):
        write_image(folder / f"p{seed}.nii.gz", seed)
    return folder


def test_studies_are_a_workspace_or_a_folder_of_images(tmp_path: Path, studies: Path) -> None:
    made = Workspace.init(tmp_path / "workspace").root
    assert workspace_of(str(made)) == (made.resolve(), None)
    assert workspace_of(str(studies)) == (studies.resolve() / FOLDER, studies.resolve())
    for bad in ("http://pacs.example/dicomweb", str(tmp_path / "missing")):
        with pytest.raises(ConfigurationError, match="--studies"):
            workspace_of(bad)


@pytest.fixture
def launched(tmp_path: Path, studies: Path) -> Iterator[httpx.Client]:
    """The launcher without sign-in, over a folder of images."""
    with launching(tmp_path, studies, {"MRSEG_AUTH": "off"}) as http:
        _wait_for_images(http)
        yield http


@contextmanager
def launching(tmp_path: Path, studies: Path, settings: dict[str, str]) -> Iterator[httpx.Client]:
    """The launcher as a process; the app folder is a copy, since the launcher writes into it."""
    app = tmp_path / "app"
    shutil.copytree(monailabel_app(), app, ignore=shutil.ignore_patterns("lib", "model", "logs", "bin", "__pycache__"))
    port = free_port()
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MRSEG_")}
    environment |= {"MRSEG_WORKERS": "0", "MRSEG_MAX_UPLOAD_MB": "2"} | settings
    log = tmp_path / "launcher.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            _wait(http, process, log)
            assert umask_of(process.pid) == "0077"
            yield http
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-4000:]
        try:
            if http.get("/auth/").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


def _wait_for_images(http: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # The images come in while the server already answers.
        if http.get("/info/").json()["datastore"]["total"] == 2:
            return
        time.sleep(0.2)
    raise AssertionError(http.get("/info/").text)


@pytest.mark.soak
def test_sign_in_holds_under_the_launcher_too(tmp_path: Path, studies: Path) -> None:
    root = Workspace.init(tmp_path / "ws").root
    workspace = open_workspace(root)
    assert not import_paths(workspace, [studies]).refused
    for name, role in (("ada", Role.RADIOLOGIST), ("chief", Role.ADMIN)):
        accounts.add(workspace.catalog, name, role, password=PASSWORD, actor="test")
    try:
        with launching(tmp_path, root, {}) as http:
            _a_reader_signs_in(http, tmp_path, workspace.catalog)
        log = (tmp_path / "launcher.log").read_text(errors="replace")
        with workspace.catalog.read() as session:
            tickets = [assignment.ticket for assignment in session.query(Assignment)]
        assert tickets and not any(ticket in log for ticket in tickets)
        assert "/datastore/image?" not in log and PASSWORD not in log  # the route alone is logged
    finally:
        workspace.catalog.close()


def _a_reader_signs_in(http: httpx.Client, tmp_path: Path, catalog: Catalog) -> None:
    assert http.get("/auth/").json()["enabled"] is True
    for path in ("/info/", "/datastore/", "/api/v1/models", "/metrics", "/logs/", "/openapi.jsonx"):
        assert http.get(path).status_code == 401, path
    reply = http.post("/auth/token", data={"username": "ada", "password": PASSWORD})
    mine = {"Authorization": f"Bearer {reply.json()['access_token']}"}
    sample = http.post("/activelearning/balanced", json={"client_id": "user-xyz"}, headers=mine).json()
    address = f"{http.base_url}/datastore/image?image={sample['id']}".replace("//datastore", "/datastore")
    target, _ = urlretrieve(address, tmp_path / sample["name"])
    assert sitk.ReadImage(str(target)).GetDimension() == 3
    for method, path in (("POST", "/api/v1/rounds"), ("GET", "/api/v1/audit"), ("POST", "/api/v1/models/rollback")):
        assert http.request(method, path, headers=mine).status_code == 403, path
    for path in ("/logs/", "/proxy/dicom/x", "/redoc", "/model/mrseg"):
        assert http.get(path, headers=mine).status_code == 404, path
    foreign = http.get("/info/", headers={**mine, "Origin": "http://evil.example"})
    assert not any(name.startswith("access-control") for name in foreign.headers)
    address_of_machine = _other_address()
    if address_of_machine is not None:  # every address is open here, and each wants a sign-in
        other = f"http://{address_of_machine}:{http.base_url.port}/info/"
        assert httpx.get(other, trust_env=False).status_code == 401
        assert httpx.get(other, trust_env=False, headers=mine).status_code == 200
    accounts.disable(catalog, "ada", actor="test")
    assert http.get("/info/", headers=mine).status_code == 401


def test_a_real_sequence_of_requests(launched: httpx.Client, studies: Path, tmp_path: Path) -> None:
    assert launched.get("/auth/").json()["enabled"] is False
    info = launched.get("/info/").json()
    assert list(info["models"]) == list(info["trainers"]) == ["mrseg"]
    assert list(info["labels"]) == list(LabelScheme.default().names)

    sample = launched.post("/activelearning/balanced", json={"client_id": "user-xyz"}).json()
    image_file = tmp_path / sample["name"]
    image_file.write_bytes(launched.get("/datastore/image", params={"image": sample["id"]}).content)
    image = sitk.ReadImage(str(image_file))
    assert sample["id"] in launched.get("/datastore/", params={"output": "all"}).json()["objects"]

    # Without a worker there is no pre-segmentation, and the radiologist gets a message.
    params = json.dumps({"result_extension": ".nrrd", "wait_seconds": 0})
    refused = launched.post("/infer/mrseg", params={"image": sample["id"]}, data={"params": params})
    assert refused.status_code == 503 and "draft" in refused.json()["detail"]

    edited = np.zeros(image.GetSize()[::-1], dtype=np.int16)
    edited[2:6, 2:6, 2:6] = 1
    label = sitk.GetImageFromArray(edited)
    label.CopyInformation(image)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    with (tmp_path / "label.nrrd").open("rb") as stream:
        answer = launched.put(
            "/datastore/label",
            params={"image": sample["id"]},
            data={"params": json.dumps({"label_info": [{"name": "liver", "idx": 1}], "model": "mrseg"})},
            files={"label": ("C:\\Users\\reader\\label.nrrd", stream)},
        )
    assert answer.json() == {"image": sample["id"], "label": sample["id"]}
    (tmp_path / "final.nii.gz").write_bytes(launched.get("/datastore/label", params={"label": sample["id"]}).content)
    final = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "final.nii.gz")))
    np.testing.assert_array_equal(final, np.where(edited == 1, LabelScheme.default()["liver"].id, 0))
    assert launched.get("/info/").json()["datastore"]["completed"] == 1
    reviewer = ReviewerExtension(str(launched.base_url), "rita")  # whose last character is a slash
    assert reviewer.connect()
    case = reviewer.load()[sample["id"]]
    assert reviewer.label(case, "final", tmp_path).name.endswith(".seg.nrrd")
    assert reviewer.decide(case, "final", status="flagged", comment="too small") == 200
    assert "too small" in launched.get("/info/").json()["models"]["mrseg"]["description"]
    assert reviewer.decide(case, "final", status="approved") == 200
    assert launched.delete("/train/").status_code == 200
    assert launched.post("/train/mrseg", json={}).status_code == 200
    assert launched.get("/train/", params={"check_if_running": True}).status_code == 404
    assert launched.get("/api/v1/models/current").json()["version"] == "bootstrap"

    _nothing_of_the_stock_application_answers(launched)

    # A second start finds the same workspace and imports nothing twice.
    workspace, images = open_studies(str(studies))
    assert images == studies.resolve() and workspace.root == images / FOLDER
    import_studies(workspace, images)
    workspace.catalog.close()
    assert launched.get("/info/").json()["datastore"] == {"total": 2, "completed": 1, "label_tags": {"final": 1}}


def _nothing_of_the_stock_application_answers(http: httpx.Client) -> None:
    for method, path in (
        ("GET", "/logs/"),
        ("GET", "/proxy/dicom/x"),
        ("POST", "/reload"),
        ("GET", "/redoc"),
        ("GET", "/ohif/"),
        ("POST", "/batch/infer/mrseg"),
        ("POST", "/infer/wsi/mrseg"),
        ("GET", "/model/mrseg"),
        ("POST", "/scoring/dice"),
    ):
        assert http.request(method, path).status_code in (404, 405), path
    for headers in ({"Host": "hospital.example"}, {"Origin": "http://evil.example"}, {"X-Forwarded-For": "127.0.0.1"}):
        reply = http.get("/info/", headers=headers)
        assert reply.status_code == 403 and "AUTH=off" in reply.json()["detail"]
        assert "access-control-allow-origin" not in reply.headers
        assert len(reply.headers["x-request-id"]) == 16
    too_large = http.put("/datastore/", params={"image": "x"}, files={"file": ("x.nii", bytes(3 * 1024 * 1024))})
    assert too_large.status_code == 413
    # The launcher listens on every address; a peer that is not this machine's loopback gets nothing.
    address = _other_address()
    if address is not None:
        reply = http.get(f"http://{address}:{http.base_url.port}/info/", headers={"Host": "localhost"})
        assert reply.status_code == 403


def _other_address() -> str | None:
    """An address of this machine that is not loopback; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address
