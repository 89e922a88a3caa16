"""The wheel: what is in it, and that it works without the checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_has_everything_that_runs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        digests = {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in names
            if "sample_data" in name or "/apps/" in name
        }
    # Every source file of both packages.
    for folder, prefix in (
        (ROOT / "mrseg_label", "mrseg_label"),
        (ROOT / "lib" / "mrseg_monailabel", "mrseg_monailabel"),
    ):
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{prefix}/{file.relative_to(folder).as_posix()}" in names
    assert "mrseg_label/labels.tsv" in names
    assert any(name.startswith("mrseg_label/catalog/migrations/versions/0001") for name in names)
    # The sample data and the app, byte for byte.
    for source, target in (
        (ROOT / "sample-data", "mrseg_label/sample_data"),
        (ROOT / "apps" / "mrseg" / "main.py", "mrseg_label/apps/mrseg/main.py"),
    ):
        for file in (
            [source]
            if source.is_file()
            else [f for f in source.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
        ):
            name = target if source.is_file() else f"{target}/{file.relative_to(source).as_posix()}"
            assert digests[name] == hashlib.sha256(file.read_bytes()).hexdigest(), name


def test_the_wheel_has_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        top = {name.partition("/")[0] for name in names}
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    # monailabel brings a top-level package `tests` of its own; ours must not be a second one.
    assert {name for name in top if not name.endswith(".dist-info")} == {"mrseg_label", "mrseg_monailabel"}
    assert "mrseg-label = mrseg_label.cli:main" in entry_points
    assert not [name for name in names if name.endswith(".pyc")]
    assert wheel.stat().st_size < 40e6


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """As README says: the locked dependencies, the wheel, an empty folder; init, doctor, serve and the demo."""
    environment = clean_environment(wheel, tmp_path / "venv")
    command = tmp_path / "venv" / "bin" / "mrseg-label"
    here = tmp_path / "empty"
    here.mkdir()

    def run(*arguments: str, timeout: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments],
            cwd=here,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        )

    assert "demo" in run("--help").stdout
    made = json.loads(run("init", ".", "--json").stdout)
    assert made["workspace"] == str(here)
    checks = {check["name"]: check for check in json.loads(run("doctor", "--verify", "--json").stdout)["checks"]}
    assert checks["packages"]["state"] == "ok"
    assert "stand-in" in checks["weights"]["detail"]
    assert str(tmp_path / "venv") in checks["weights"]["detail"], "the weights must come from the installed package"
    imported = json.loads(
        run(
            "import",
            str(ROOT / "sample-data" / "mr"),
            "--pattern",
            "{participant}/{station}_{sequence}.nii.gz",
            "--json",
        ).stdout
    )
    assert len(imported["accepted"]) == 6
    with served(command, here, environment) as url:
        info = httpx.get(f"{url}/info/", timeout=30).json()
        assert list(info["models"]) == ["mrseg"]
        assert len(info["labels"]) == 40
        assert httpx.get(f"{url}/api/v1/models/current", timeout=30).json()["version"] == "bootstrap"
    report = here.parent / "report.json"
    run(
        "demo", "--workspace", str(tmp_path / "demo"), "--rounds", "1", "--round-size", "2", "--report", str(report),
        timeout=1800, MRSEG_TRAINING_PROFILE="smoke",
    )  # fmt: skip
    assert [row["round"] for row in json.loads(report.read_text())["rounds"]] == [0, 1]


def clean_environment(wheel: Path, venv: Path) -> dict[str, str]:
    """A virtual environment with the locked dependencies and the wheel, and variables that point nowhere else."""
    uv = shutil.which("uv")
    assert uv is not None, "uv is needed: pip install uv"
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key in kept or key.startswith(("UV_", "PIP_"))}
    environment["UV_PROJECT_ENVIRONMENT"] = str(venv)
    # The same interpreter that runs this test, so that no other has to be fetched.
    sync = [uv, "sync", "--frozen", "--no-dev", "--no-install-project", "--python", sys.executable]
    subprocess.run(sync, cwd=ROOT, env=environment, check=True)
    subprocess.run([uv, "pip", "install", "--python", str(venv), "--no-deps", str(wheel)], env=environment, check=True)
    del environment["UV_PROJECT_ENVIRONMENT"]
    return environment


@contextmanager
def served(command: Path, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The installed server over a workspace, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process: subprocess.Popen[Any] = subprocess.Popen(
        [command, "serve", "--port", str(port)],
        cwd=folder,
        env=environment | {"MRSEG_AUTH": "off"},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
