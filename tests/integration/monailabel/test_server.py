"""The MONAI Label protocol over HTTP, as MONAI Label's own client and Slicer speak it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
from monailabel.client import MONAILabelClient

from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import examinations, presegmentations, rounds
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import RoundState
from mrseg_label.intake.service import register_upload
from mrseg_label.jobs import Claim, claim
from mrseg_label.jobs.queue import DRAFTS
from mrseg_label.rounds import service as rounds_service
from mrseg_label.simulation.server import Server
from tests.integration.conftest import Running, add_draft, write_image
from tests.support.process_trees import umask_of

INFER = {"result_extension": ".nrrd", "result_dtype": "uint8"}


@pytest.fixture
def client(running: Running, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(running.url, tmpdir=str(tmp_path), client_id="reader-1")


def label_info(names: list[str]) -> list[dict[str, Any]]:
    """As the module sends it; idx is off by one where a background segment stands before."""
    return [{"name": name, "idx": position + 2} for position, name in enumerate(names)]


def test_the_server_loads_monai_labels_interfaces_and_not_its_app() -> None:
    """The app class brings torch, a gigabyte and a quarter of a minute; only the stock launcher needs it."""
    code = (
        "import sys, mrseg_monailabel.server\n"
        "from monailabel.interfaces.tasks.infer_v2 import InferTask\n"
        "from mrseg_monailabel.infer import MRSegInfer\n"
        "assert issubclass(MRSegInfer, InferTask)\n"
        "assert not {'torch', 'monai', 'monailabel.app', 'monailabel.interfaces.app', 'nnunetv2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_server_writes_only_its_user_can_read(running: Running) -> None:
    assert umask_of(running.pid) == "0077"


def test_info_has_what_the_module_reads(running: Running, client: MONAILabelClient) -> None:
    info = client.info()
    scheme = running.workspace.scheme
    assert list(info["labels"].items()) == [(s.name, s.id) for s in scheme]
    model = info["models"]["mrseg"]
    assert model["type"] == "segmentation" and list(model["labels"].items()) == list(info["labels"].items())
    assert isinstance(model["config"], dict)
    assert list(info["strategies"]) == ["balanced", "uncertainty", "sequential", "random"]
    assert all("config" in strategy for strategy in info["strategies"].values())
    assert "config" in info["trainers"]["mrseg"]
    assert {"epoch", "total_epochs", "best_metric", "total_time"} <= info["train_stats"]["mrseg"].keys()
    assert info["datastore"]["total"] >= 16 and info["datastore"]["completed"] >= 0
    assert "bootstrap" in info["description"] and "weights" in info["description"]
    sources = {one.pop("name"): one for one in info["models"]["mrseg"]["sources"]}
    assert sources["mrsegmentator"] == {
        "title": "MRSegmentator",
        "orientation": "LPS",
        "licence": "Apache-2.0",
        "weights": "missing",
    }
    assert {"total_fast", "total", "total_v3", "total_mr"} < set(sources)
    assert str(running.workspace.root) not in json.dumps(info)


def test_a_case_from_assignment_to_submission(running: Running, client: MONAILabelClient, tmp_path: Path) -> None:
    assert client.auth_enabled() is False
    sample = client.next_sample("balanced", {})
    assert "path" not in sample
    # Slicer downloads by urlretrieve, without any header, under the name that it was told.
    target = tmp_path / sample["name"]
    query = urllib.parse.urlencode({"image": sample["id"]})
    urllib.request.urlretrieve(f"{running.url}/datastore/image?{query}", target)
    assert sample["checksum"] == "SHA256:" + hashlib.sha256(target.read_bytes()).hexdigest()
    with running.catalog.read() as session:
        stored = examinations.get(session, sample["id"])
    assert stored is not None
    original = running.images.get(
        sample["id"], running.workspace.path(stored.path)
    )  # or one that another test uploaded
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(target))), _pixels(original))

    listed = client.datastore()["objects"][sample["id"]]
    names = listed["labels"]["original"]["info"]["params"]["label_names"]
    assert list(names.items()) == list(running.workspace.scheme.label_names.items())
    draft_file = Path(client.download_label(sample["id"], "original"))
    assert draft_file.name.endswith(".nii.gz")

    file, params = client.infer("mrseg", sample["id"], dict(INFER))
    assert Path(file).parent == tmp_path and file.endswith(".nrrd")
    assert list(params["label_names"].values()) == list(range(1, len(running.workspace.scheme) + 1))
    mask, image = sitk.ReadImage(file), sitk.ReadImage(str(target))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert mask.GetSize() == image.GetSize()
    for of_mask, of_image in zip(_geometry(mask), _geometry(image), strict=True):
        np.testing.assert_allclose(of_mask, of_image, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), _pixels(draft_file))

    # The reader deletes the first structure, so that value 1 is now another one, and sends them in another order.
    last = running.workspace.scheme.structures[-1]
    kept = [s.name for s in reversed(running.workspace.scheme.structures) if s.id != 1]
    edited = np.zeros_like(sitk.GetArrayFromImage(mask), dtype=np.int16)
    edited[1:8, 3:9, 5:9] = kept.index(last.name) + 1
    label = sitk.GetImageFromArray(edited)
    label.CopyInformation(mask)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    answer = client.save_label(
        sample["id"], str(tmp_path / "label.nrrd"), params={"label_info": label_info(kept), "model": "mrseg"}
    )
    assert answer == {"image": sample["id"], "label": sample["id"]}
    final = _pixels(Path(client.download_label(sample["id"], "final")))
    np.testing.assert_array_equal(final, np.where(edited > 0, last.id, 0))
    assert sample["id"] not in client.datastore()["objects"]
    with running.catalog.read() as session:
        annotation = annotation_rows.finals(session, [_acquisition(running, sample["id"])])
    assert next(iter(annotation.values())).presegmentation_id == params["presegmentation"]


def test_same_client_name_gets_different_cases(running: Running) -> None:
    request = {"client_id": "user-xyz"}
    first, second = (running.http.post("/activelearning/random", json=request).json() for _ in range(2))
    assert first["id"] != second["id"] and first["name"] != second["name"]
    objects = running.http.get("/datastore/", params={"output": "all"}).json()["objects"]
    assert {first["id"], second["id"]} <= objects.keys()
    assert len(objects) < len(running.images)


def test_infer_never_sends_the_stored_file_itself(running: Running) -> None:
    examination = next(iter(running.images))
    with running.catalog.read() as session:
        presegmentation = presegmentations.best(session, _acquisition(running, examination))
    assert presegmentation is not None
    for extension in (".nrrd", ".nii.gz"):
        params = {"result_extension": extension}
        reply = running.http.post(
            "/infer/mrseg", params={"image": examination, "output": "image"}, data={"params": json.dumps(params)}
        )
        assert reply.status_code == 200
        assert reply.headers["content-disposition"].endswith(f'{extension}"')
    running.workspace.verify(presegmentation.path, presegmentation.digest)
    assert not list((running.workspace.root / "tmp").glob("infer-*"))


def test_infer_waits_for_a_worker_while_others_are_served(running: Running, tmp_path: Path) -> None:
    image = write_image(tmp_path / "new.nii.gz", 100)
    with image.open("rb") as stream:
        identifier = running.http.put("/datastore/", params={"image": "new"}, files={"file": stream}).json()["image"]

    early = _infer(running.url, identifier, 0)
    assert early.status_code == 503 and identifier in early.json()["detail"]
    readers = 45  # more than the threads that all other routes share
    with ThreadPoolExecutor(readers) as pool:
        waiting = [pool.submit(_infer, running.url, identifier, 90) for _ in range(readers)]
        assert running.http.get("/info/").status_code == 200
        held = _claim_draft(running, _acquisition(running, identifier), patience=60)  # this test is the worker
        assert not wait(waiting, timeout=1).done
        add_draft(running.workspace, identifier)
        with running.catalog.begin() as session:
            held.finish(running.catalog, session, {})
        answers = [reply.result() for reply in waiting]
    assert {answer.status_code for answer in answers} == {200}


def test_a_server_that_ends_answers_those_who_wait(running: Running, tmp_path: Path) -> None:
    image = write_image(tmp_path / "stop.nii.gz", 101)
    identifier = register_upload(running.workspace, Reader("test"), image, alias="stop")
    with Server(running.workspace.root, tmp_path / "serve.log") as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_infer, server.url, identifier, 600)
        _claim_draft(running, _acquisition(running, identifier), patience=60)  # so it waits, and no worker will come
        server.stop()
        answer = waiting.result(60)
    assert answer.status_code == 503 and "shutting down" in answer.json()["detail"]


def test_a_readers_own_image_goes_by_its_own_name(running: Running, client: MONAILabelClient, tmp_path: Path) -> None:
    image = write_image(tmp_path / "volume.nii.gz", 200)
    alias = "3: T1 VIBE dixon"
    identifier = client.upload_image(str(image), alias)["image"]
    assert client.upload_image(str(image), alias)["image"] == identifier
    add_draft(running.workspace, identifier)
    # The module ignores the id in the reply and goes on with the name.
    file, _ = client.infer("mrseg", alias, dict(INFER))
    label = sitk.Cast(sitk.ReadImage(file), sitk.sitkInt16)
    sitk.WriteImage(label, str(tmp_path / "label.nrrd"))
    names = list(running.workspace.scheme.names)
    answer = client.save_label(alias, str(tmp_path / "label.nrrd"), params={"label_info": label_info(names)})
    assert answer["image"] == identifier
    other = write_image(tmp_path / "other.nii.gz", 201)
    assert client.upload_image(str(other), alias)["image"] != identifier


@pytest.mark.parametrize("alias", ["../x", "a/b", "a\\b", "a\x07b", "x" * 201])
def test_bad_aliases_are_refused(running: Running, tmp_path: Path, alias: str) -> None:
    image = write_image(tmp_path / "volume.nii.gz", 202)
    with image.open("rb") as stream:
        reply = running.http.put("/datastore/", params={"image": alias}, files={"file": stream})
    assert reply.status_code == 422 and isinstance(reply.json()["detail"], str)


def test_a_mask_is_not_taken_as_an_image(running: Running, tmp_path: Path) -> None:
    mask = np.zeros((9, 10, 11), np.uint8)
    mask[2:5, 2:5, 2:5] = 3
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "volume.nii.gz"))
    for name in ("abdomen_mask", "volume"):
        with (tmp_path / "volume.nii.gz").open("rb") as stream:
            reply = running.http.put("/datastore/", params={"image": name}, files={"file": stream})
        assert (reply.status_code, "as a segmentation of its image" in reply.text) == (422, True)


def test_a_session_is_an_image_that_is_not_kept(running: Running, client: MONAILabelClient) -> None:
    examination, image = next(iter(running.images.items()))
    session = client.create_session(str(image))
    identifier = session["session_id"]
    assert str(running.workspace.root) not in json.dumps(session)
    # The same image is in the catalogue already, with a pre-segmentation.
    file, params = client.infer("mrseg", "", dict(INFER), session_id=identifier)
    assert examination in file and params["label_names"]
    assert running.http.get(f"/session/{identifier}", params={"image": True}).content == image.read_bytes()
    client.remove_session(identifier)
    assert running.http.get(f"/session/{identifier}").status_code == 404
    assert running.http.get("/session/..%2F..%2Fmrseg.toml").status_code == 404


def test_sessions_do_not_fill_the_disk(running: Running, tmp_path: Path) -> None:
    # 3 MB of the 4 MB that one upload may have.
    large = sitk.GetImageFromArray(np.arange(96 * 128 * 128, dtype=np.int16).reshape(96, 128, 128))
    sitk.WriteImage(large, str(tmp_path / "large.nii"))
    opened = []
    for _ in range(6):
        with (tmp_path / "large.nii").open("rb") as stream:
            reply = running.http.put("/session/", files={"files": stream})
        if reply.status_code != 200:
            break
        opened.append(reply.json()["session_id"])
    assert reply.status_code == 409 and len(opened) == 5
    for identifier in opened:
        assert running.http.delete(f"/session/{identifier}").status_code == 200
    assert not list((running.workspace.root / "tmp" / "sessions").iterdir())


def test_slicer_neither_starts_nor_stops_a_round(running: Running, client: MONAILabelClient) -> None:
    """What "auto update model" sends after every submission."""
    assert client.train_status(check_if_running=True) is False
    with running.catalog.begin() as session:
        number = rounds_service.start_in_transaction(session, running.workspace.settings, actor="test").number
    try:
        assert client.train_status(check_if_running=True) is True
        for status in (client.train_stop(), client.train_start("mrseg", {}), client.train_status()):
            assert status["status"] == "RUNNING" and status["id"] == str(number)
            assert status["result"] and status["details"]
        with running.catalog.read() as session:
            row = rounds.get(session, number)
            assert row is not None and row.state is RoundState.QUEUED
            assert rounds.next_number(session) == number + 1
    finally:
        rounds_service.cancel(running.workspace, number)
    assert client.train_status(check_if_running=True) is False


def test_downloads_can_be_checked_first(running: Running) -> None:
    examination, image = next(iter(running.images.items()))
    reply = running.http.head("/datastore/image", params={"image": examination})
    digest = hashlib.sha256(running.http.get("/datastore/image", params={"image": examination}).content).hexdigest()
    assert reply.status_code == 200 and int(reply.headers["content-length"]) > 0 and not reply.content
    for check_sum, status in ((f"SHA256:{digest}", 200), (digest, 200), ("SHA256:00", 404), (f"MD5:{digest}", 422)):
        query = {"image": examination, "check_sum": check_sum}
        assert running.http.head("/datastore/image", params=query).status_code == status
    assert image.is_file()
    assert running.http.head("/datastore/label", params={"image": examination, "tag": "original"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("POST", "/activelearning/none", {"json": {}}, 404),
        ("POST", "/activelearning/random", {"json": {"client_id": ["a"]}}, 422),
        ("POST", "/activelearning/random", {"content": b"{", "headers": {"content-type": "application/json"}}, 422),
        ("GET", "/datastore/image", {}, 422),
        ("GET", "/datastore/image", {"params": {"image": "ex-0000000000000000"}}, 404),
        ("GET", "/datastore/image", {"params": {"image": "../mrseg.toml"}}, 422),
        ("GET", "/datastore/label", {"params": {"label": "{any}", "tag": "final "}}, 422),
        ("GET", "/datastore/", {"params": {"output": "everything"}}, 422),
        ("POST", "/infer/mrseg", {}, 422),
        ("POST", "/infer/other", {"params": {"image": "{any}"}}, 404),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": "{"}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": "[1]"}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"result_extension": "/x"}'}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"result_extension": [1]}'}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"result_dtype": [1]}'}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"folder": "/etc"}'}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"wait_seconds": "NaN"}'}}, 422),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": '{"wait_seconds": "5"}'}}, 200),
        ("POST", "/infer/mrseg", {"params": {"image": "{any}"}, "data": {"params": "[" * 100_000}}, 422),
        (
            "POST",
            "/activelearning/random",
            {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}},
            400,
        ),
        (
            "POST",
            "/activelearning/random",
            {"content": b'{"client_id": "\\ud800"}', "headers": {"content-type": "application/json"}},
            422,
        ),
        ("GET", "/datastore/image", {"params": {"image": "\x00"}}, 422),
        ("GET", "/datastore/image", {"params": {"image": "é" * 5000}}, 422),
        (
            "PUT",
            "/datastore/label",
            {
                "params": {"image": "{any}"},
                "data": {"params": '{"label_info": [{"name": "\\ud800"}]}'},
                "files": {"label": ("a.nrrd", b"junk")},
            },
            422,
        ),
        (
            "PUT",
            "/datastore/label",
            {
                "params": {"image": "{any}"},
                "data": {"params": '{"label_info": {"a": NaN}}'},
                "files": {"label": ("a.nrrd", b"junk")},
            },
            422,
        ),
        ("PUT", "/datastore/label", {"params": {"image": "{any}"}}, 422),
        ("PUT", "/datastore/label", {"params": {"image": "{any}"}, "files": {"label": ("a.nrrd", b"")}}, 422),
        ("PUT", "/datastore/label", {"params": {"image": "{any}"}, "files": {"label": ("a.nrrd", b"junk")}}, 422),
        (
            "PUT",
            "/datastore/label",
            {"params": {"image": "{any}", "tag": "original"}, "files": {"label": ("a.nrrd", b"junk")}},
            422,
        ),
        ("PUT", "/datastore/", {"params": {"image": "x"}, "files": {"file": ("a.nii.gz", b"junk")}}, 422),
        ("PUT", "/datastore/", {"params": {"image": "x"}, "files": {"file": ("a.dcm", b"junk")}}, 422),
        ("PUT", "/datastore/", {"files": {"file": (".nii.gz", b"junk")}}, 422),
        ("PUT", "/datastore/label", {"params": {"image": "{any}"}, "files": {"label": ("/a/b", b"junk")}}, 422),
        ("PUT", "/session/", {"files": [("files", ("a.nii", b"1")), ("files", ("b.nii", b"2"))]}, 422),
        ("POST", "/train/other", {"json": {}}, 404),
        ("GET", "/logs/", {}, 404),
        ("POST", "/reload", {}, 404),
        ("DELETE", "/datastore/image", {"params": {"id": "{any}"}}, 405),
    ],
)
def test_errors_have_a_message_for_the_radiologist(
    running: Running, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    query = arguments.get("params", {})
    arguments = {**arguments, "params": {k: v.replace("{any}", next(iter(running.images))) for k, v in query.items()}}
    reply = running.http.request(method, path, **arguments)
    assert reply.status_code == status, reply.text
    if status >= 400:
        assert isinstance(reply.json()["detail"], str)
        assert "Traceback" not in reply.text and str(running.workspace.root) not in reply.text
    assert not list((running.workspace.root / "tmp").glob("infer-*"))
    assert not list((running.workspace.root / "tmp").glob("upload-*"))


def test_concurrent_submissions_and_reads_all_end_well(running: Running) -> None:
    """SQLite behind a thread pool: no request finds the database locked."""
    failures: list[str] = []

    def read() -> None:
        with httpx.Client(base_url=running.url, timeout=60, trust_env=False) as http:
            for path in ("/info/", "/datastore/?output=all", "/datastore/?output=train", "/train/"):
                reply = http.get(path)
                if reply.status_code != 200:
                    failures.append(f"{path}: {reply.status_code} {reply.text}")

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _infer(url: str, image: str, wait_seconds: float) -> httpx.Response:
    params = {**INFER, "wait_seconds": wait_seconds}
    with httpx.Client(base_url=url, timeout=180, trust_env=False) as http:
        return http.post("/infer/mrseg", params={"image": image}, data={"params": json.dumps(params)})


def _claim_draft(running: Running, acquisition_id: str, patience: float) -> Claim:
    """Claim the job that makes this pre-segmentation, as a worker does; other jobs are failed.

    PostgreSQL passes over a row that another transaction holds, such as one of the many requests that want it
    sooner: a worker asks again, and so does this, for ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        held = claim(running.catalog, [DRAFTS])
        if held is not None and held.payload["acquisition"] == acquisition_id:
            return held
        if held is not None:
            with running.catalog.begin() as session:
                held.fail(running.catalog, session, "not part of this test", retry=False)
        elif time.monotonic() > deadline:
            break
        else:
            time.sleep(0.05)
    raise AssertionError(f"no job makes a pre-segmentation of {acquisition_id}")


def _pixels(path: Path) -> Any:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _geometry(image: sitk.Image) -> tuple[Any, Any, Any]:
    return image.GetOrigin(), image.GetSpacing(), image.GetDirection()


def _acquisition(running: Running, examination_id: str) -> str:
    with running.catalog.read() as session:
        examination = examinations.get(session, examination_id)
    assert examination is not None
    return examination.acquisition_id


def test_parameters_that_no_client_sends_are_refused(running: Running) -> None:
    refused = running.http.get("/datastore/", params={"ouput": "all"})
    assert refused.status_code == 422
    assert "no query parameter 'ouput'; did you mean 'output'?" in refused.json()["detail"]
    image = next(iter(running.images))
    assert running.http.get(f"/datastore/image/info?image={image}&image=other").status_code == 422
    # These have no meaning here, and clients send them.
    assert running.http.post("/train/mrseg", params={"run_sync": "true", "enqueue": "true"}, json={}).status_code == 200
    assert running.http.get("/datastore/image/info", params={"image": image, "user": "ada"}).status_code == 200
