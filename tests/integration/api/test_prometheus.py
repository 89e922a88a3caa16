"""Figures for monitoring, and the files for Prometheus and Grafana that are made of them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import heartbeats, workers
from mrseg_label.catalog.types import JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.jobs import enqueue, queue
from mrseg_label.maintenance.backup import backup
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.support.catalog_rows import add_round
from tests.support.paths import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "mrseg-label.json"
NAME = re.compile(r"\b(?:mrseg|process)_[a-z_]+\b")
Labels = frozenset[tuple[str, str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    """A workspace in which something of each kind has happened."""
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    opened = open_workspace(tmp_path / "ws")
    moment = now()
    with opened.catalog.begin() as session:
        for number in range(3):
            job = enqueue(session, queue.MEASURE_EFFORT, {}, key=str(number))
            job.created_at = moment - timedelta(hours=number)
        job.state = JobState.FAILED
        add_round(session, 1, []).state = RoundState.FAILED
        workers.record(session, "gpu-1:77:1", "rounds", moment)
        workers.record(session, "gpu-2:78:1", "rounds", moment - timedelta(hours=1))
        heartbeats.record(session, "server reading-room", moment, moment)
    yield opened
    opened.close()


def scrape(workspace: OpenedWorkspace) -> dict[str, dict[Labels, float]]:
    """All values by the name of their sample, after a few requests."""

    async def send() -> str:
        transport = httpx.ASGITransport(build(ProtocolApp(workspace)), client=("127.0.0.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for path in ("/api/v1/rounds/1", "/api/v1/rounds/2", "/nowhere", "/api/v1/events?follow=false"):
                await http.get(path)
            await http.request("BREW", "/nowhere")
            return (await http.get("/metrics")).raise_for_status().text

    text = asyncio.run(send())
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
        )
        assert "error" not in checked.stderr.lower() and "no help" not in checked.stderr, checked.stderr
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def test_operation_is_measured(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    before = scrape(workspace)
    assert before["mrseg_last_backup_timestamp_seconds"][labels()] == 0
    backup(workspace, tmp_path / "b.tar")
    found = scrape(workspace)
    effort = {"kind": "measure_effort"}
    assert found["mrseg_jobs_of_kind"] == {
        labels(state="queued", **effort): 2,
        labels(state="failed", **effort): 1,
    }
    assert 3600 <= found["mrseg_job_oldest_age_seconds"][labels(state="queued", **effort)] < 3700
    assert found["mrseg_workers"] == {labels(state="idle"): 1, labels(state="working"): 0, labels(state="lost"): 1}
    assert found["mrseg_rounds"][labels(state="failed")] == 1
    assert abs(found["mrseg_last_backup_timestamp_seconds"][labels()] - now().timestamp()) < 60
    assert (
        abs(found["mrseg_server_last_seen_timestamp_seconds"][labels(server="reading-room")] - now().timestamp()) < 60
    )
    assert 0 < found["mrseg_disk_free_bytes"][labels()] <= found["mrseg_disk_size_bytes"][labels()]
    assert (found["mrseg_database_up"][labels()], found["mrseg_drafts_ready"][labels()]) == (1, 0)
    requests = "mrseg_http_requests_total"

    def more(**which: str) -> float:
        return found[requests].get(labels(**which), 0) - before[requests].get(labels(**which), 0)

    assert more(method="GET", route="/api/v1/rounds/{number}", status="200") == 1
    assert more(method="GET", route="/api/v1/rounds/{number}", status="404") == 1
    assert more(method="GET", route="(no route)", status="404") == 1
    assert more(method="OTHER", route="(no route)", status="404") == 1, "clients cannot make up series"
    assert more(method="GET", route="/api/v1/events", status="200") == 1
    lasted = {dict(one)["route"] for one in found["mrseg_http_request_seconds_count"]}
    assert "/api/v1/rounds/{number}" in lasted and "/api/v1/events" not in lasted


def expressions(document: Any) -> Iterator[str]:
    """Every query in a dashboard or a file of alerts."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(document, list):
        for value in document:
            yield from expressions(value)


def test_alerts_and_dashboard_ask_for_what_is_measured(workspace: OpenedWorkspace) -> None:
    found = scrape(workspace)
    # Series of models are there as soon as a round has trained.
    later = {"mrseg_model_held_out_dsc", "mrseg_model_draft_dsc"}
    given = {name: {label for one in values for label, _ in one} for name, values in found.items()}
    for file in (ALERTS, DASHBOARD):
        asked = list(expressions(yaml.safe_load(file.read_text())))
        names = {name for one in asked for name in NAME.findall(one)}
        assert len(asked) > 12 and len(names) > 8
        assert names - found.keys() - later == set()
        for name, selector in re.findall(r"\b(mrseg_[a-z_]+)\{([^}]*)\}", " ".join(asked)):
            wanted = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector)) - {"job", "instance"}
            assert name in later or wanted <= given[name], (file.name, name, selector)


def test_the_dashboard_is_laid_out_without_overlaps() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        assert not os.environ.get("REQUIRE_PROMTOOL"), "promtool is not installed: apt-get install prometheus"
        pytest.skip("promtool is not installed")
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)
    on = {"instance": "reading-room"}

    def alert(name: str, minute: str, *, fires: bool, **more: str) -> dict[str, Any]:
        severity = next(
            rule["labels"]["severity"]
            for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
            if rule["alert"] == name
        )
        expected = [{"exp_labels": {**on, **more, "severity": severity}}] if fires else []
        return {"eval_time": minute, "alertname": name, "exp_alerts": expected}

    # Rules without their texts, which are not compared here.
    rules = yaml.safe_load(ALERTS.read_text())
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    series = {
        'mrseg_database_up{instance="reading-room"}': "1x10 0x20 1x30",
        'mrseg_disk_free_bytes{instance="reading-room"}': "50x60",
        'mrseg_disk_size_bytes{instance="reading-room"}': "1000x60",
        'mrseg_last_backup_timestamp_seconds{instance="reading-room"}': "0x6000",
        'mrseg_jobs_of_kind{instance="reading-room",kind="presegment",state="failed"}': "0x30 2x30",
        'mrseg_jobs_of_kind{instance="reading-room",kind="presegment",state="queued"}': "5x60",
        'mrseg_workers{instance="reading-room",state="idle"}': "0x60",
        'mrseg_workers{instance="reading-room",state="lost"}': "0x60",
    }
    test = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    alert("MrsegDatabaseDown", "5m", fires=False),
                    alert("MrsegDatabaseDown", "15m", fires=True),
                    alert("MrsegDatabaseDown", "45m", fires=False),
                    alert("MrsegDiskNearlyFull", "15m", fires=True),
                    alert("MrsegDiskFull", "15m", fires=False),
                    alert("MrsegBackupTooOld", "2900m", fires=False),
                    alert("MrsegBackupTooOld", "2960m", fires=True),
                    alert("MrsegNoWorker", "20m", fires=True),
                    alert("MrsegWorkerLost", "20m", fires=False),
                    alert("MrsegJobsFailed", "20m", fires=False, kind="presegment", state="failed"),
                    alert("MrsegJobsFailed", "40m", fires=True, kind="presegment", state="failed"),
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
