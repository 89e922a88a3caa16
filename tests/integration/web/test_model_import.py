"""Models are imported from the browser and over REST: what is refused, what waits for its trial, and what came of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser as ChromiumBrowser

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.labels import LabelScheme
from mrseg_label.registry import trials
from mrseg_label.registry.archive import write_archive
from tests.integration.web.conftest import URL, Browser
from tests.integration.web.test_browser import LOOKS, watch
from tests.integration.web.test_dashboard import words
from tests.support.model_files import TRAINED, make_model

PAGE, ACTION = "/dashboard/models", "/dashboard/models/import"
Sent = tuple[str, bytes]


def send(browser: Browser, *, file: Sent | None, labels: Sent | None = None, **fields: str) -> tuple[int, str, str]:
    """Submit the form with these files; returns status, address of a redirect and the words of the page."""
    token = re.findall(r'name="form_token" value="(\w+)"', browser.get(PAGE))[0]
    nothing = ("", b"")  # as a browser sends a field of which no file was chosen
    files = {"file": file or nothing, "labels": labels or nothing}
    data = {"form_token": token, "orientation": "", "licence": "", **fields}
    reply = browser.http.post(ACTION, data=data, files=files, headers={"Origin": URL})
    return reply.status_code, reply.headers.get("location", ""), words(reply.text)


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Archives of models: with the scheme's labels, with one that is named otherwise, and of a reader that turns nothing."""
    names = LabelScheme.default().label_names
    foreign = {"Leber" if name == "liver" else name: number for name, number in names.items()}
    found = {}
    for name, labels, reader in (
        ("plain", names, "NibabelIOWithReorient"),
        ("foreign", foreign, "NibabelIOWithReorient"),
        ("turned", names, "SimpleITKIO"),
    ):
        folder = tmp_path_factory.mktemp(name)
        write_archive(make_model(folder / "m", name.encode(), labels, reader), folder / "m.zip")
        found[name] = (folder / "m.zip").read_bytes()
    return found


def test_a_model_is_imported_waits_for_its_trial_and_says_how_it_ended(own: Browser, zips: dict[str, bytes]) -> None:
    for file, labels, fields, status, said in (
        (None, None, {}, 422, "No file was sent"),
        (("m.zip", b"no zip"), None, {}, 422, "M.zip is not a complete zip archive"),
        (("m.zip", zips["plain"][:-50]), None, {}, 422, "is not a complete zip archive"),
        (("m.zip", zips["foreign"]), None, {}, 422, "1 of the model's labels are no structure"),
        (
            ("m.zip", zips["foreign"]),
            ("C:\\maps\\map.txt", b"Leber"),
            {},
            422,
            "Map.txt, line 1: 'Leber' must be LABEL",
        ),
        (("m.zip", zips["foreign"]), ("map.txt", b"Leber = lever"), {}, 422, "label scheme lacks"),
        (("m.zip", zips["foreign"]), ("map.txt", b"\xff\xfe\xff"), {}, 422, "cannot be read as UTF-8"),
        (("m.zip", zips["turned"]), None, {}, 422, "orientation"),
        (("m.zip", zips["turned"]), None, {"orientation": "LLP"}, 422, "LLP"),
        (("m.zip", zips["plain"]), None, {"licence": "\x07"}, 422, "licence"),
    ):
        found, _, text = send(own, file=file, labels=labels, **fields)
        assert (found, said in text) == (status, True), (said, text[:2000])
    assert not list((own.workspace.root / "tmp").iterdir()), "what was refused is removed"
    assert "import-" not in own.get(PAGE)

    status, address, _ = send(
        own, file=("m.zip", zips["foreign"]), labels=("map.txt", b"Leber = liver"), licence="CC0-1.0"
    )
    assert status == 303 and address.endswith("?note=imported")
    assert send(own, file=("m.zip", zips["foreign"]), labels=("map.txt", b"Leber = liver"))[0] == 409
    page = address.partition("?")[0]
    version = page.rpartition("/")[2]
    text = own.get(address)
    assert "being tried" in text and 'data-topics="model"' in text and "No worker that makes drafts is alive" in text
    assert "/promote" not in text and "CC0-1.0" in text and "being tried" in own.get(PAGE)
    assert "hx-refresh" not in own.http.get(page, headers={"HX-Request": "true"}).headers

    claimed = claim(own.workspace.catalog, [queue.DRAFTS])
    assert claimed is not None and claimed.payload == {"version": version, "actor": "anonymous"}
    (own.workspace.models / version / TRAINED / "fold_0" / "checkpoint_final.pth").write_bytes(b"changed")
    trials.run(JobContext(own.workspace, claimed, {}))
    assert own.http.get(page, headers={"HX-Request": "true"}).headers["hx-refresh"] == "true"
    text = own.get(page)
    assert "cannot be promoted: its files are missing or differ" in text and str(own.workspace.root) not in text
    assert f"{page}/promote" not in text and "failed" in text
    assert own.submit(page, f"{page}/try")[:2] == (303, page)
    assert "being tried" in own.get(page)
    token = re.findall(r'name="form_token" value="(\w+)"', own.get(PAGE))[0]
    for path, status in ((f"{PAGE}/bootstrap/try", 409), (f"{PAGE}/none/try", 404)):
        assert own.http.post(path, data={"form_token": token}, headers={"Origin": URL}).status_code == status


def test_a_model_is_imported_over_rest(own: Browser, zips: dict[str, bytes]) -> None:
    def post(file: bytes, labels: Sent | None = None, **data: str) -> tuple[int, dict[str, object], str]:
        files = {"file": ("m.zip", file)} | ({"labels": labels} if labels else {})
        reply = own.http.post("/api/v1/models", files=files, data=data, headers={"Accept": "application/json"})
        return reply.status_code, reply.json(), reply.headers.get("location", "")

    status, problem, _ = post(zips["turned"])
    assert status == 422 and "orientation" in str(problem["detail"])
    status, model, address = post(zips["turned"], orientation="LPS", licence="CC BY 4.0")
    assert (status, model["being_tried"], model["tried"], model["licence"]) == (201, True, None, "CC BY 4.0")
    assert address == f"/api/v1/models/{model['version']}"
    assert own.http.get(address, headers={"Accept": "application/json"}).json()["orientation"] == "LPS"
    assert post(zips["foreign"], labels=("map.txt", b"Leber = -"))[0] == 201
    assert own.http.post("/api/v1/models", headers={"Accept": "application/json"}).status_code == 422
    assert own.http.post(f"{address}/promote", headers={"Accept": "application/json"}).status_code == 409
    assert own.http.post(f"{address}/try", headers={"Accept": "application/json"}).status_code == 202


@pytest.mark.parametrize("name", ["ada", "rita"])
def test_only_administrators_import_models(signed_in: dict[str, Browser], name: str, zips: dict[str, bytes]) -> None:
    browser = signed_in[name]
    assert ACTION not in browser.get(PAGE) and ACTION in signed_in["root"].get(PAGE)
    for path in (ACTION, "/api/v1/models", "/dashboard/models/r1/try", "/api/v1/models/r1/try"):
        reply = browser.http.post(path, files={"file": ("m.zip", zips["plain"])}, headers={"Origin": URL})
        assert reply.status_code == 403, path


def test_chromium_sends_a_model_and_shows_its_trial(
    served: tuple[ChromiumBrowser, str, OpenedWorkspace], zips: dict[str, bytes]
) -> None:
    browser, address, workspace = served
    with browser.new_context(**LOOKS[0]) as context:
        page = context.new_page()
        wrong = watch(page, address)
        page.goto(f"{address}{PAGE}")
        page.locator("form[data-upload]").evaluate("form => form.dataset.upload = '0.0001'")
        field, button = (
            page.get_by_label("Zip of a trained nnU-Net"),
            page.get_by_role("button", name="Send and import"),
        )
        field.set_input_files({"name": "m.zip", "mimeType": "application/zip", "buffer": zips["foreign"]})
        button.click()
        page.get_by_text("can be sent at once (MAX_UPLOAD_MB)").wait_for()
        page.reload()
        field.set_input_files({"name": "m.zip", "mimeType": "application/zip", "buffer": zips["foreign"]})
        button.click()
        page.get_by_role("alert").get_by_text("'Leber'").first.wait_for()
        assert page.evaluate("document.activeElement.id") == "main", "who does not see the page hears what is wrong"
        assert [said for said in wrong if "422" not in said] == []  # the browser itself notes the status
        field.set_input_files({"name": "m.zip", "mimeType": "application/zip", "buffer": zips["foreign"]})
        page.get_by_label("Label map").set_input_files({"name": "map.txt", "mimeType": "text/plain", "buffer": b"Leber = liver"})  # fmt: skip
        button.click()
        page.get_by_text("A worker tries it on one image before").wait_for()
        claimed = claim(workspace.catalog, [queue.DRAFTS])
        assert claimed is not None
        trials.run(JobContext(workspace, claimed, {}))
        page.get_by_text("It does not work here and cannot be promoted").wait_for(
            timeout=20_000
        )  # it is no real checkpoint
        page.get_by_role("button", name="Try it again").click()
        page.get_by_text("being tried").first.wait_for()
