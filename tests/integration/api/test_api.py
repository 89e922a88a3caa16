"""The REST interface over a real catalogue."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from mrseg_label import api
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import training
from mrseg_label.catalog.tables import Annotation, Assignment, RoundCase
from mrseg_label.catalog.types import CaseRole, RoundState
from mrseg_label.http import problems
from mrseg_label.ids import new_ticket
from mrseg_label.registry import service
from mrseg_label.rounds.service import log_path
from mrseg_label.scoring import MEAN_OF_CASES
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import (
    CHANNELS,
    add_acquisition,
    add_annotation,
    add_evaluation,
    add_participant,
    add_round,
)
from tests.support.model_files import make_model

CURVE = ("train_loss", "validation_loss", "pseudo_dice", "pseudo_dice_average", "learning_rate", "seconds")
Opened = tuple[OpenedWorkspace, TestClient]


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[Opened]:
    Workspace.init(tmp_path / "ws", settings_text=f"ROUND_SIZE = 2\n{database_settings}")
    workspace = open_workspace(tmp_path / "ws")
    app = FastAPI()
    app.include_router(api.root_router(workspace))
    app.include_router(api.router(workspace))
    problems.install(app)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield workspace, client
    workspace.catalog.close()


def problem_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    return body


def everything(client: TestClient, path: str, limit: int) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        body = client.get(path, params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert set(body) == {"items", "next"}
        assert len(body["items"]) <= limit
        items += body["items"]
        cursor = body["next"]
        if cursor is None:
            return items


def write_log(workspace: Workspace, text: str) -> None:
    path = log_path(workspace, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_model(workspace: OpenedWorkspace, version: str, **lineage: Any) -> None:
    source = make_model(workspace.root / "tmp" / version, version.encode())
    stored = service.store_files(workspace, version, source)
    with workspace.catalog.begin() as session:
        service.register(session, version, stored, actor="test", **lineage)


def test_a_fresh_workspace(opened: Opened) -> None:
    _, client = opened
    model = client.get("/api/v1/models/current").json()
    assert (model["version"], model["status"], model["round"], model["metrics"]) == ("bootstrap", "current", None, {})
    assert model["created"].endswith("Z")
    assert client.get("/api/v1/models").json()["items"] == [model]
    assert client.get("/api/v1/rounds").json() == {"items": [], "next": None}
    assert client.get("/api/v1/examinations").json() == {"items": [], "next": None}
    progress = client.get("/api/v1/progress").json()
    assert (progress["annotated_total"], progress["annotated_since_round"], progress["round_size"]) == (0, 0, 2)
    assert progress["queues"] == {}
    assert "cannot be exported" in problem_of(client.get("/api/v1/models/bootstrap/archive"), 404)["detail"]


def test_model_is_promoted_rolled_back_and_downloaded(opened: Opened) -> None:
    workspace, client = opened
    add_model(workspace, "round-1", parent="bootstrap", metrics={"mean_dsc": float("nan"), "dsc": {"liver": 0.8}})
    assert client.get("/api/v1/models/round-1").json()["metrics"] == {"mean_dsc": None, "dsc": {"liver": 0.8}}
    promoted = client.post("/api/v1/models/round-1/promote").json()
    assert (promoted["version"], promoted["status"]) == ("round-1", "current")
    # The drafts of waiting cases are made anew, and the annotations so far are compared with the new model.
    queued = {"queued": 1, "running": 0}
    assert client.get("/api/v1/progress").json()["queues"] == {"light": queued, "drafts": queued}
    problem_of(client.post("/api/v1/models/round-1/promote"), 409)
    problem_of(client.post("/api/v1/models/nobody/promote"), 404)
    reply = client.get("/api/v1/models/round-1/archive")
    head = client.head("/api/v1/models/round-1/archive")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(reply.content)))
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(reply.content)) as archive:
        assert any(name.endswith("fold_0/checkpoint_final.pth") for name in archive.namelist())
    assert client.post("/api/v1/models/rollback").json()["version"] == "bootstrap"
    problem_of(client.post("/api/v1/models/rollback"), 409)
    assert [(m["version"], m["status"]) for m in everything(client, "/api/v1/models", 1)] == [
        ("round-1", "retired"),
        ("bootstrap", "current"),
    ]


def test_examinations_page_by_page_newest_first(opened: Opened) -> None:
    workspace, client = opened
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with workspace.catalog.begin() as session:
        for number in range(5):
            person = add_participant(session, f"p{number}")
            add_acquisition(session, person, at=start + timedelta(days=number))
    items = everything(client, "/api/v1/examinations", 3)
    assert len({item["id"] for item in items}) == 20
    created = [datetime.fromisoformat(item["created"]) for item in items]
    assert created == sorted(created, reverse=True)
    only = client.get("/api/v1/examinations", params={"sequence": "water", "limit": 2}).json()["items"][1:]
    assert [(item["participant"], item["sequence"], item["primary"]) for item in only] == [("p3", "water", False)]
    assert only[0]["spacing_mm"] == [2.0, 2.0, 3.0]
    assert only[0]["created"] == "2026-01-04T00:00:00.000003Z"


def test_an_annotation_counts_for_all_channels_of_its_acquisition(opened: Opened) -> None:
    workspace, client = opened
    with workspace.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p1"))
        add_annotation(session, case, edited=7, number=1)
        add_annotation(session, case, edited=3, number=2)
        ids = {examination.sequence: examination.id for examination in case.examinations}
        session.add(
            Assignment(
                ticket=new_ticket(),
                acquisition_id=case.id,
                client="c",
                expires_at=datetime.now(UTC) + timedelta(hours=1),
            )
        )
    assert set(ids) == set(CHANNELS)
    own = client.get(f"/api/v1/examinations/{ids['in']}/annotations").json()["items"]
    other = client.get(f"/api/v1/examinations/{ids['fat']}/annotations").json()["items"]
    assert [entry["number"] for entry in own] == [2, 1]
    assert [entry["propagated"] for entry in own] == [False, False]
    assert [entry["propagated"] for entry in other] == [True, True]
    assert own[0]["effort"]["edited_voxels"] == 3
    assert own[0]["structures"][0] == {
        "structure": "liver",
        "state": "corrected",
        "voxels": 100,
        "edited_voxels": 3,
        "edits": None,  # not measured: rows of an earlier version
        "surface_changed": None,
        "dsc": 0.5,
    }
    shown = client.get(f"/api/v1/examinations/{ids['fat']}").json()
    assert shown["annotated"] and shown["assigned_until"] and shown["acquisition"] == case.id
    assert everything(client, f"/api/v1/examinations/{ids['in']}/annotations", 1) == own


def test_a_round_is_started_cancelled_and_retried(opened: Opened) -> None:
    workspace, client = opened
    problem_of(client.post("/api/v1/rounds"), 409)
    with workspace.catalog.begin() as session:
        for number in range(6):
            add_annotation(
                session, add_acquisition(session, add_participant(session, f"p{number}", held_out=number == 0))
            )
    started = client.post("/api/v1/rounds", json={"final": True})
    assert started.status_code == 201
    body = started.json()
    assert (body["number"], body["state"], body["final"], body["parent"]) == (1, "queued", True, "bootstrap")
    assert client.get("/api/v1/progress").json()["round"] == 1
    problem_of(client.post("/api/v1/rounds"), 409)
    assert client.get("/api/v1/rounds/1/log").text == ""
    write_log(workspace, "epoch 1\nepoch 2\n")
    assert client.get("/api/v1/rounds/1/log").text == "epoch 1\nepoch 2\n"
    problem_of(client.get("/api/v1/rounds/1/folds/5"), 404)
    problem_of(client.get("/api/v1/rounds/1/log?fold=5"), 404)
    problem_of(client.get("/api/v1/rounds/1/log?fold=-1"), 422)
    with workspace.catalog.begin() as session:
        training.get_or_add(session, 1, 0).curve = [{"epoch": 1, **dict.fromkeys(CURVE, 0.5)}]
    assert client.get("/api/v1/rounds/1/log?fold=0").text == "epoch 1\nepoch 2\n"
    assert client.get("/api/v1/rounds/1/folds/0").json()["curve"][0]["pseudo_dice"] == 0.5
    assert client.post("/api/v1/rounds/1/cancel").json()["folds"][0]["state"] == "cancelled"
    problem_of(client.post("/api/v1/rounds/1/cancel"), 409)
    assert client.post("/api/v1/rounds/1/retry").json()["state"] == "queued"
    with workspace.catalog.begin() as session:
        for row in session.query(Annotation):
            session.add(RoundCase(round_number=1, annotation_id=row.id, acquisition_id=row.acquisition_id, role=CaseRole.TRAINING))  # fmt: skip
    first = client.get("/api/v1/rounds/1/cases?limit=4").json()
    rest = client.get(f"/api/v1/rounds/1/cases?limit=4&cursor={first['next']}").json()
    assert first["items"] + rest["items"] == client.get("/api/v1/rounds/1").json()["cases"]
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (4, 2, None)
    problem_of(client.get("/api/v1/rounds/9/cases"), 404)
    problem_of(client.post("/api/v1/rounds", json={"final": True, "profile": "x"}), 422)
    problem_of(client.get("/api/v1/rounds/2"), 404)
    problem_of(client.get("/api/v1/rounds/0"), 422)


def test_a_long_log_begins_with_a_whole_line(opened: Opened) -> None:
    workspace, client = opened
    with workspace.catalog.begin() as session:
        add_round(session, 1, [])
    lines = [f"line {number:07d}" for number in range(200_000)]
    write_log(workspace, "\n".join(lines) + "\n")
    text = client.get("/api/v1/rounds/1/log").text
    assert text.endswith("line 0199999\n")
    assert text.startswith("line ") and len(text.splitlines()[0]) == len(lines[0])
    assert 500_000 < len(text) <= 1 << 20


def test_learning_curve_and_effort(opened: Opened) -> None:
    workspace, client = opened
    with workspace.catalog.begin() as session:
        cases = [add_acquisition(session, add_participant(session, f"p{n}", held_out=n == 0)) for n in range(4)]
        first = [
            add_annotation(
                session,
                case,
                edited=edited,
                presegmentation_dsc=dsc,
                structures={"liver": dsc, "spleen": dsc / 2},
                seconds=s,
            )
            for case, edited, dsc, s in zip(cases[:3], (100, 300, 0), (0.2, 0.4, 0.6), (60.0, 120.0, None), strict=True)
        ]
        # Voxels of a spleen that is not there are not a spleen that was missed.
        first[2].structures[1].voxels, first[2].structures[1].dsc = 0, 0.0
        # Submitted again: the case counts once, with its newest annotation.
        add_annotation(
            session, cases[1], edited=500, presegmentation_dsc=0.4, structures={"liver": 0.4, "spleen": 0.2}, number=2
        )
        add_round(
            session, 1, [(first[0], CaseRole.HELD_OUT), (first[1], CaseRole.TRAINING), (first[2], CaseRole.TRAINING)]
        )
    add_model(workspace, "round-1", round_number=1, parent="bootstrap")
    with workspace.catalog.begin() as session:
        add_annotation(session, cases[3], model_version="round-1", edited=10, presegmentation_dsc=0.9)
        add_evaluation(session, "bootstrap", first[0], 0.2, {"liver": 0.2, "spleen": None})
        add_evaluation(session, "round-1", first[0], 0.65, {"liver": 0.8, "spleen": 0.5})
        only_new = add_evaluation(session, "round-1", first[1], 0.1, {"liver": 0.1, "spleen": None})
        only_new.apart = {"false_positive_ml": {"spleen": 1.5}, "remnant_dsc": {"colon": 0.0}}
    newest, bootstrap = client.get("/api/v1/metrics/learning-curve").json()["items"]
    assert (newest["round"], newest["model_version"], newest["training_cases"]) == (1, "round-1", 2)
    assert newest["held_out"] == {
        "cases": 2,
        "mean_dsc": pytest.approx((0.65 + 0.1) / 2),
        "dsc": pytest.approx({"liver": 0.45, "spleen": 0.5}),
        "structure_cases": {"liver": 2, "spleen": 1},
        "rule": MEAN_OF_CASES,
        "false_positives": {"spleen": {"cases": 1, "ml": 1.5}},
        "remnants": {"colon": 1},
    }
    # Compared with the bootstrap: the one case, and the one structure in it, that both have.
    assert (newest["held_out_common"]["cases"], newest["held_out_common"]["dsc"]) == (1, {"liver": 0.8})
    assert (bootstrap["held_out_common"]["cases"], bootstrap["held_out_common"]["dsc"]) == (1, {"liver": 0.2})
    assert newest["presegmentations"]["cases"] == 1
    assert (bootstrap["round"], bootstrap["training_cases"]) == (0, 0)
    assert bootstrap["held_out"]["dsc"] == {"liver": 0.2}
    assert bootstrap["presegmentations"]["mean_dsc"] == pytest.approx((0.15 + 0.3 + 0.6) / 3)
    assert bootstrap["presegmentations"]["dsc"] == pytest.approx({"liver": 0.4, "spleen": 0.15})
    assert bootstrap["presegmentations"]["structure_cases"] == {"liver": 3, "spleen": 2}
    # The list of versions, one version and the figures for Prometheus have the same numbers.
    listed = {item["version"]: item["metrics"] for item in client.get("/api/v1/models").json()["items"]}
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    for point in (newest, bootstrap):
        version, score = point["model_version"], point["held_out"]
        one = client.get(f"/api/v1/models/{version}").json()["metrics"]
        for metrics in (listed[version], one):
            assert [metrics[key] for key in ("mean_dsc", "held_out_cases", "rule", "dsc", "cases")] == [
                score[key] for key in ("mean_dsc", "cases", "rule", "dsc", "structure_cases")
            ]
        for name, value in (("held_out_dsc", score["mean_dsc"]), ("held_out_cases", score["cases"])):
            found = {s.labels["model_version"]: s.value for s in families[f"mrseg_model_{name}"].samples}
            assert found[version] == pytest.approx(value)
    assert "at least 10 voxels" in families["mrseg_model_held_out_dsc"].documentation
    effort = client.get("/api/v1/metrics/effort").json()["items"][1]
    assert (effort["cases"], effort["unchanged_cases"]) == (3, 1)
    assert effort["edited_voxels_per_case"] == pytest.approx(200)
    assert effort["edited_ml_per_case"] == pytest.approx(2.4)
    assert effort["seconds_per_case"] == pytest.approx(60)
    assert effort["structures"]["liver"]["cases"] == 3
    assert [point["model_version"] for point in everything(client, "/api/v1/metrics/learning-curve", 1)] == [
        "round-1",
        "bootstrap",
    ]
    detail = client.get("/api/v1/rounds/1").json()
    assert detail["snapshot"] == {"digest": None, "training": 2, "held_out": 1}
    assert detail["model_version"] == "round-1"
    assert sorted(case["role"] for case in detail["cases"]) == ["held_out", "training", "training"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models?limit=0",
        "/api/v1/models?limit=501",
        "/api/v1/models?cursor=nonsense",
        "/api/v1/models?cursor=WzFd",
        "/api/v1/rounds?cursor=WyJ4Il0",
        "/api/v1/rounds?cursor=%C3%A4%C3%B6",
        "/api/v1/examinations?annotated=perhaps",
    ],
)
def test_an_invalid_request_is_a_problem_that_names_the_part(opened: Opened, path: str) -> None:
    _, client = opened
    body = problem_of(client.get(path), 422)
    assert len(body["detail"]) > 10
    assert body["instance"] == path.partition("?")[0]


def test_what_does_not_exist_is_a_problem_too(opened: Opened) -> None:
    _, client = opened
    for path in ("models/x", "examinations/x", "examinations/x/annotations", "rounds/7", "rounds/7/log", "nothing"):
        problem_of(client.get(f"/api/v1/{path}"), 404)
    problem_of(client.delete("/api/v1/models"), 405)
    assert client.get("/nothing").json() == {"detail": "Not Found"}


def test_health(opened: Opened) -> None:
    workspace, client = opened
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
    with workspace.catalog.begin() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    assert client.get("/healthz").status_code == 200
    reply = client.get("/readyz")
    assert reply.status_code == 503
    assert "migration" in reply.json()["detail"]


def test_figures_for_prometheus(opened: Opened) -> None:
    workspace, client = opened
    with workspace.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p1", held_out=True))
        add_acquisition(session, add_participant(session, "p2"))
        add_round(session, 3, [], RoundState.TRAINING)
        add_evaluation(session, "bootstrap", add_annotation(session, case, edited=12), 0.25, {"liver": 0.25})
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    cases = {sample.labels["state"]: sample.value for sample in families["mrseg_cases"].samples}
    assert cases == {
        "annotated": 1,
        "waiting": 1,
        "assigned": 0,
        "handed_out": 0,
        "awaiting_review": 0,
        "excluded": 0,
    }
    assert families["mrseg_round_active"].samples[0].value == 3
    assert families["mrseg_model_held_out_dsc"].samples[0].value == 0.25
    assert families["mrseg_model_edited_voxels"].samples[0].value == 12
    assert families["mrseg_info"].samples[0].labels["model_version"] == "bootstrap"


def test_openapi_describes_every_route_with_a_type(opened: Opened) -> None:
    _, client = opened
    paths = client.get("/openapi.json").json()["paths"]
    promised = {
        "/api/v1/models", "/api/v1/models/current", "/api/v1/models/{version}", "/api/v1/models/{version}/archive",
        "/api/v1/models/{version}/promote", "/api/v1/models/rollback", "/api/v1/rounds", "/api/v1/rounds/{number}",
        "/api/v1/rounds/{number}/cancel", "/api/v1/rounds/{number}/retry", "/api/v1/rounds/{number}/log",
        "/api/v1/examinations", "/api/v1/examinations/{examination}", "/api/v1/examinations/{examination}/annotations",
        "/api/v1/examinations/assign", "/api/v1/examinations/{examination}/return",
        "/api/v1/examinations/hand-out", "/api/v1/examinations/{examination}/release",
        "/api/v1/examinations/{examination}/unusable", "/api/v1/annotations", "/api/v1/annotations/{annotation}",
        "/api/v1/annotations/{annotation}/mask", "/api/v1/annotations/{annotation}/compare/{other}",
        "/api/v1/annotations/{annotation}/accept", "/api/v1/annotations/{annotation}/reject",
        "/api/v1/annotations/{annotation}/withdraw", "/api/v1/annotations/{annotation}/restore",
        "/api/v1/metrics/learning-curve", "/api/v1/metrics/effort", "/api/v1/progress", "/api/v1/audit", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert promised <= set(paths)
    for path, methods in paths.items():
        for method, operation in methods.items():
            success = next(
                operation["responses"][code] for code in ("200", "201", "202") if code in operation["responses"]
            )
            assert success["content"], f"{method} {path}"
            if path.startswith("/api/"):
                for code in ("4XX", "5XX"):
                    refused = operation["responses"][code]["content"]
                    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                    assert refused == problem, f"{method} {path}"
            assert operation["summary"]


def test_openapi_describes_progress_result_and_problems(opened: Opened) -> None:
    workspace, client = opened
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for described in (
        schemas["Problem"],
        schemas["ProgressOut"],
        schemas["RoundOut"]["properties"]["progress"],
        schemas["RoundDetail"]["properties"]["result"],
    ):
        properties, (example,) = described["properties"], described["examples"]
        assert set(example) <= set(properties)
        assert all({"type", "anyOf", "$ref"} & set(values) for values in properties.values())
    with workspace.catalog.begin() as session:
        row = add_round(session, 1, [], RoundState.TRAINING)
        row.progress, row.result = {"stage": "training", "mood": "good"}, {"promoted": False, "of an older version": 1}
    document = client.get("/api/v1/rounds/1").json()
    assert document["progress"] == {"stage": "training", "mood": "good"}  # as it is stored
    assert document["result"] == {"promoted": False, "of an older version": 1}


def test_an_examination_is_corrected(opened: Opened) -> None:
    workspace, client = opened
    with workspace.catalog.begin() as session:
        acquisition = add_acquisition(session, add_participant(session, "P1"))
        identifier = acquisition.primary_examination_id
    path = f"/api/v1/examinations/{identifier}"
    answer = client.patch(path, json={"participant": "P2", "station": "pelvis", "sex": "F", "age": 61})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["changes"] == {
        "participant": {"before": "P1", "after": "P2"},
        "station": {"before": "abdomen", "after": "pelvis"},
        "sex": {"before": None, "after": "F"},
        "age": {"before": None, "after": 61.0},
    }
    assert (document["examination"]["participant"], document["examination"]["station"]) == ("P2", "pelvis")
    assert any("channels" in note for note in document["notes"])
    assert client.patch(path, json={"age": None}).json()["changes"] == {"age": {"before": 61.0, "after": None}}
    (event, *_) = client.get("/api/v1/audit", params={"action": "edited"}).json()["items"]
    assert event["detail"]["changes"] == {"age": [61.0, None]}
    assert "nothing to change" in problem_of(client.patch(path, json={}), 422)["detail"]
    assert "participant code" in problem_of(client.patch(path, json={"participant": None}), 422)["detail"]
    problem_of(client.patch(path, json={"patient": "P3"}), 422)
    problem_of(client.patch(path, json={"sex": "maybe"}), 422)
    assert "water channel" in problem_of(client.patch(path, json={"sequence": "W"}), 409)["detail"]
    answer = client.patch(path, json={"propagation": "off"}).json()
    assert answer["changes"] == {"propagation": {"before": "on", "after": "off"}}
    assert (answer["examination"]["propagation"], answer["examination"]["labelled"]) == ("off", None)
    assert client.patch(path, json={"misregistration": "none", "propagation": "on"}).json()["changes"].keys() == {
        "misregistration",
        "propagation",
    }
    problem_of(client.patch(path, json={"propagation": "maybe"}), 422)
    problem_of(client.patch(path, json={"misregistration": "suspected"}), 422)
    problem_of(client.patch("/api/v1/examinations/ex-0000000000000000", json={"age": 1}), 404)
