"""Pages and forms of the dashboard: what they show, whom they refuse, what they change."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from xml.etree import ElementTree

import pytest
from PIL import Image

from mrseg_label.catalog.queries import models, rounds
from mrseg_label.catalog.tables import Job, Participant
from mrseg_label.catalog.types import JobState, ModelStatus, RoundState
from mrseg_label.reports.comparison import read_comparison
from tests.integration.web.conftest import PEOPLE, Browser

PAGES = (
    "/dashboard",
    "/dashboard/examinations",
    "/dashboard/rounds",
    "/dashboard/rounds/3",
    "/dashboard/rounds/2",
    "/dashboard/models",
    "/dashboard/models/r2",
    "/dashboard/models/bootstrap",
    "/dashboard/models/r1/compare/r2",
    "/dashboard/models/r2/compare/r2",
    "/dashboard/connect",
)
FORMS = (
    "/dismiss",
    "/cancel",
    "/promote",
    "/rollback",
    "/search",
    "/act",
    "/open",
    "/return",
    "/unusable",
    "/import/files",
    "/import/archive",
    "/import/archive/annotations",
    "/models/import",
    "/try",
    "/accept",
    "/reject",
    "/send-back",
    "/restore",
    "/decide",
)
ACTIONS = (
    "/dashboard/rounds",
    "/dashboard/rounds/3/cancel",
    "/dashboard/rounds/3/retry",
    "/dashboard/models/r1/promote",
    "/dashboard/models/rollback",
)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text)))


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        "/dashboard/effort",
        "/dashboard/effort?by=structure&figure=dsc&split=region&round=&reader=",
        "/dashboard/mine?client=ada",
        "/dashboard/quality",
        "/dashboard/users",
        "/dashboard/audit",
        "/dashboard/import",
    ],
)
def test_a_page_has_no_script_style_or_address_that_its_policy_forbids(pages: Browser, path: str) -> None:
    reply = pages.http.get(path)
    assert reply.status_code == 200
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["style-src"] == "'self'" == policy["img-src"]
    assert policy.get("script-src", "'self'") == "'self'" and policy["frame-ancestors"] == "'none'"
    assert reply.headers["cache-control"] == "no-store"
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", reply.text)
    assert all(" src=" in tag and tag.endswith("></script>") for tag in re.findall(r"<script.*?</script>", reply.text))
    addresses = re.findall(r'\s(?:href|src|action|hx-get)="([^"]*)"', reply.text)
    assert len(addresses) > 5 and all(address.startswith(("/", "#")) for address in addresses)
    with pages.workspace.catalog.read() as session:
        codes = {person.code for person in session.query(Participant)}
    assert not [address for address in addresses if any(code in address for code in codes)]
    for address in {address.partition("?")[0] for address in addresses} - {"#main"}:
        if address.startswith(("/assets", "/dashboard")) and not address.endswith(FORMS):
            assert pages.http.get(address).status_code in (200, 422), address  # 422: a form without its fields


def test_the_start_page_is_for_browsers_alone(pages: Browser) -> None:
    reply = pages.http.get("/")
    assert (reply.status_code, reply.headers["location"]) == (303, "/dashboard")
    for accepted in ("*/*", "application/json", ""):
        reply = pages.http.get("/", headers={"Accept": accepted})
        assert reply.status_code == 200 and reply.json()["dashboard"] == "/dashboard"


def test_the_overview_shows_where_the_study_stands(pages: Browser) -> None:
    text = words(pages.get("/dashboard"))
    assert "Round 3 training" in text and "training, 36%; about 2 h 18 min left" in text
    assert "18 of 23 have an annotated case" in text
    assert "ada W001, thorax correct" in text and "gpu-node-2 4711 train round" in text
    assert "abdomen in 18 23" in text
    assert "ml changed per case" in text and "minutes per case" in text


def test_the_models_page_shows_what_makes_the_drafts(pages: Browser) -> None:
    text = words(pages.get("/dashboard/models"))
    assert "What makes the drafts" in text and "r2 drafts all round 2 RAS" in text and "mixed in" in text
    assert "every label is named as its structure" in words(pages.get("/dashboard/models/r2"))


def test_a_comparison_shows_the_document(pages: Browser) -> None:
    found = read_comparison(pages.workspace, "r1", "r2")
    text = words(pages.get("/dashboard/models/r1/compare/r2"))
    assert "r2 is clearly better than r1." in text and found.interval in text and found.test in text
    assert found.difference.mean is not None and f"{found.difference.mean:+.3f}" in text
    first, second = found.structures["gallbladder"]
    assert f"gallbladder {second - first:+.3f} {first:.3f} {second:.3f}".replace("-", "\u2212") in text
    assert "This compares a version with itself." in words(pages.get("/dashboard/models/r2/compare/r2"))
    reply = pages.http.get("/dashboard/comparison?first=bootstrap&second=r1")
    assert reply.headers["location"] == "/dashboard/models/bootstrap/compare/r1"


def test_a_round_shows_its_training_and_what_it_learned_from(pages: Browser) -> None:
    running = pages.get("/dashboard/rounds/3")
    assert "epoch 18 of 50" in running and 'data-topics="round"' in running
    assert "moving average, epoch 18" in running and "Epoch 18: train_loss" in running
    assert "voxels 3.0 mm" in words(running)
    done = pages.get("/dashboard/rounds/2")
    assert "voxels 3.0 × 3.0 × 3.0 mm" in words(done)
    assert "hx-trigger" not in done and "Compare r2 with r1" in done
    assert "participants 8 cases 23 images 92 readers 3" in words(done)
    assert "voxels 3.0 × 3.0 × 3.0 mm" in words(done) and "voxels 6.0 mm" in words(pages.get("/dashboard/rounds/1"))
    # A page that was loaded while the round ran asks for a part of itself, and is then told to load itself anew.
    asked = {"HX-Request": "true"}
    assert pages.http.get("/dashboard/rounds/2", headers=asked).headers["hx-refresh"] == "true"
    assert "hx-refresh" not in pages.http.get("/dashboard/rounds/3", headers=asked).headers


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/rounds/99",
        "/dashboard/rounds/0",
        "/dashboard/rounds/one",
        "/dashboard/models/none",
        "/dashboard/models/r1/compare/none",
        "/dashboard/comparison?first=none&second=r1",
        "/dashboard/models/<script>alert(1)<%2Fscript>",
    ],
)
def test_what_does_not_exist_is_said_on_a_page(pages: Browser, path: str) -> None:
    text = pages.get(path, 404)
    assert "<h1>Not found</h1>" in text and "Go to the overview" in text and "<script>alert" not in text
    assert pages.http.get(path, headers={"Accept": "application/json"}).status_code in (404, 422)


def test_models_are_promoted_and_rolled_back(own: Browser) -> None:
    def current() -> str:
        with own.workspace.catalog.read() as session:
            return models.current(session).version

    status, address, _ = own.submit("/dashboard/models/r1", "/dashboard/models/r1/promote")
    assert (status, address, current()) == (303, "/dashboard/models/r1?note=promoted", "r1")
    assert "Promoted." in own.get(address) and "/dashboard/models/r1/promote" not in own.get(address)
    assert own.submit("/dashboard/models", "/dashboard/models/rollback")[:2] == (
        303,
        "/dashboard/models?note=rolled-back",
    )
    assert current() == "r2"
    with own.workspace.catalog.begin() as session:
        found = models.get(session, "r1")
        assert found is not None
        found.status = ModelStatus.FAILED
    status, _, text = own.submit("/dashboard/models/r1", "/dashboard/models/r1/promote")
    assert status == 409 and "failed and cannot make pre-segmentations" in text and current() == "r2"


def test_rounds_are_cancelled_retried_and_started(own: Browser) -> None:
    def state(number: int) -> RoundState:
        with own.workspace.catalog.read() as session:
            found = rounds.get(session, number)
            assert found is not None
            return found.state

    assert "one round runs at a time" in own.get("/dashboard/rounds")
    cancelled = own.submit("/dashboard/rounds/3", "/dashboard/rounds/3/cancel")
    assert cancelled[:2] == (303, "/dashboard/rounds/3?note=cancelled")
    with own.workspace.catalog.begin() as session:  # as its worker does as soon as the processes have ended
        found = rounds.get(session, 3)
        assert found is not None and found.job_id is not None
        found.state = RoundState.CANCELLED
        session.get_one(Job, found.job_id).state = JobState.CANCELLED
    assert own.submit("/dashboard/rounds/3", "/dashboard/rounds/3/retry")[:2] == (
        303,
        "/dashboard/rounds/3?note=retried",
    )
    assert state(3) is RoundState.QUEUED
    own.submit("/dashboard/rounds/3", "/dashboard/rounds/3/cancel")
    assert state(3) is RoundState.CANCELLED  # at once, since no worker has it
    refused = own.submit("/dashboard/rounds", "/dashboard/rounds", kind="ordinary", include_held_out="true")
    assert refused[0] == 422 and "only the final round" in refused[2]
    assert own.submit("/dashboard/rounds", "/dashboard/rounds", kind="final", include_held_out="true")[:2] == (303, "/dashboard/rounds/4?note=started")  # fmt: skip
    assert "Round 4 <small>final</small>" in own.get("/dashboard/rounds/4?note=started")


def test_a_form_needs_the_token_of_its_session_and_the_servers_own_page(signed_in: dict[str, Browser]) -> None:
    root, ada = signed_in["root"], signed_in["ada"]
    (token, *_) = re.findall(r'form_token" value="(\w+)"', root.get("/dashboard/rounds/3"))
    (of_ada, *_) = re.findall(r'form_token" value="(\w+)"', ada.get("/account"))
    own = {"Origin": "http://127.0.0.1"}
    for fields, headers in (
        ({}, own),
        ({"form_token": "0" * 64}, own),
        ({"form_token": of_ada}, own),
        ({"form_token": token}, {"Origin": "https://evil.example"}),
        ({"form_token": token}, {}),
        ({"form_token": token}, {**own, "Sec-Fetch-Site": "cross-site"}),
    ):
        for action in ACTIONS:
            reply = root.http.post(action, data=fields, headers=headers)
            assert reply.status_code == 403, (action, fields, headers)
    with root.workspace.catalog.read() as session:
        assert models.current(session).version == "r2" and rounds.next_number(session) == 4


@pytest.mark.parametrize("name", PEOPLE)
def test_each_role_sees_what_it_may_do_and_no_more(signed_in: dict[str, Browser], name: str) -> None:
    browser, is_admin = signed_in[name], name == "root"
    for path in PAGES:
        text = browser.get(path)
        actions = set(re.findall(r'<form method="post" action="([^"]+)"', text))
        assert is_admin or actions <= {"/dashboard/examinations/search"}, (path, actions)
        assert ("Epoch 18: train_loss" in text) == (is_admin and "/rounds/" in path), path
    assert ("/archive" in browser.get("/dashboard/models/r2")) is is_admin
    overview = words(browser.get("/dashboard"))
    assert ("chen W001" in overview) == (name != "ada")
    assert ("Your open cases" in overview) == (name == "ada") and "W001, thorax correct" in overview
    assert f"{name} {PEOPLE[name]}" in overview
    for action in ACTIONS:
        reply = browser.http.post(action, headers={"Origin": "http://127.0.0.1"})
        assert reply.status_code == 403
        assert ("which is not permitted here" in reply.text) is not is_admin
        assert "<h1>Not permitted</h1>" in reply.text and "Go to the overview" in reply.text


def test_a_stranger_is_led_to_the_sign_in(signed_in: dict[str, Browser]) -> None:
    stranger = signed_in[""]
    for path in PAGES:
        reply = stranger.http.get(path)
        assert (reply.status_code, reply.headers["location"]) == (303, "/account/sign-in")
        assert stranger.http.get(path, headers={"Accept": "*/*"}).status_code == 401
    for action in ACTIONS:
        assert stranger.http.post(action).headers["location"] == "/account/sign-in"
    assert "<nav" not in stranger.get("/account/sign-in")


def test_slicer_is_explained_with_this_servers_address_and_the_readers_name(
    signed_in: dict[str, Browser], pages: Browser
) -> None:
    text = words(signed_in["ada"].get("/dashboard/connect"))
    assert "http://127.0.0.1 " in text and "Your name is ada" in text
    assert "Client/User-Id" in words(pages.get("/dashboard/connect"))


@pytest.mark.parametrize(
    ("chart", "title", "x_name", "y_name"),
    [
        ("/dashboard/charts/effort", "What a case costs", "model version", "ml changed per case"),
        ("/dashboard/charts/quality", "How good the drafts are", "model version", "mean DSC"),
        ("/dashboard/rounds/3/charts/loss", "Loss", "epoch", "loss"),
        ("/dashboard/effort/charts/effort", "Changed volume", "round", "ml changed per case"),
        ("/dashboard/effort/charts/curve", "Learning curve", "model version", "mean DSC"),
    ],
)
def test_a_chart_is_saved_with_title_axes_and_values(
    pages: Browser, chart: str, title: str, x_name: str, y_name: str
) -> None:
    reply = pages.http.get(f"{chart}.svg")
    assert reply.headers["content-type"] == "image/svg+xml" and "attachment" in reply.headers["content-disposition"]
    drawn = ElementTree.fromstring(reply.content)
    texts = [node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {title, x_name, y_name} <= set(texts) and "style" not in reply.text and "class" not in reply.text
    picture = Image.open(io.BytesIO(pages.http.get(f"{chart}.png").content))
    assert picture.format == "PNG" and picture.width > 1000
    rows = list(csv.reader(io.StringIO(pages.http.get(f"{chart}.csv").content.decode("utf-8-sig"))))
    assert rows[0][0] == x_name and all(name.endswith(y_name) for name in rows[0][1:]) and len(rows) > 3
    assert all(float(value) for row in rows[1:] for value in row[1:] if value)


def test_a_chart_that_is_none_is_not_found(pages: Browser) -> None:
    for path in ("charts/none.svg", "charts/effort.exe", "charts/effort", "rounds/99/charts/loss.svg"):
        pages.get(f"/dashboard/{path}", 404)


def test_effort_is_grouped_as_chosen_and_only_for_reviewers(pages: Browser, signed_in: dict[str, Browser]) -> None:
    text = words(pages.get("/dashboard/effort?by=reader&figure=seconds"))
    assert "images propagated to" in text
    assert "Time at work minutes per case" in text and "ada" in text and "bert" in text
    assert "too few rounds for DSC: 2 of at least 4" in text and "another model's drafts 21" in text
    one = words(pages.get("/dashboard/effort?by=structure&reader=ada&split=station"))
    assert "left kidney" in one and "pelvis" in one
    assert "none of those that are wanted" in words(pages.get("/dashboard/effort?reader=nobody"))
    pages.get("/dashboard/effort?by=colour", 422)
    pages.get("/dashboard/effort?structure=tail", 422)
    assert "By reader, station and structure" in pages.get("/dashboard")
    signed_in["ada"].get("/dashboard/effort", 403)
    assert "/dashboard/effort" not in signed_in["ada"].get("/dashboard")
    assert "What a case costs" in signed_in["rita"].get("/dashboard/effort")
