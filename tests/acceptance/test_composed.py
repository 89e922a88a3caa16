"""The services of docker-compose.yml, each in namespaces of its own, work under a path of a proxy with TLS."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
from cryptography import x509
from monailabel.client import MONAILabelClient

from tests.integration.conftest import PASSWORD
from tests.support.certificates import make_authority
from tests.support.composed import Composed, missing_programs
from tests.support.postgresql import require_server
from tests.support.process_trees import wait_until
from tests.support.two_machines import reason_not_possible

PREFIX = "/mrseg"


@dataclass(frozen=True)
class Hospital:
    """The services that run, and how a browser reaches them."""

    composed: Composed
    servers: dict[str, subprocess.Popen[bytes]]
    url: str
    authority: Path

    def http(self) -> httpx.Client:
        """A client that knows the hospital's authority."""
        return httpx.Client(base_url=self.url, verify=str(self.authority), timeout=60, trust_env=False)


def reason_to_skip() -> str | None:
    missing = missing_programs()
    reason = f"not installed: {', '.join(missing)}" if missing else reason_not_possible()
    if missing and os.environ.get("REQUIRE_NGINX"):
        pytest.fail(f"{reason}, and REQUIRE_NGINX is set")
    return reason


def write_phantom(path: Path, seed: int) -> None:
    """A body of soft tissue with noise."""
    z, y, x = np.mgrid[:40, :80, :80]
    body = ((x - 40) / 33) ** 2 + ((y - 40) / 25) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 40, body.shape)
    image = sitk.GetImageFromArray(np.where(body, 500 + 3 * z + noise, abs(noise)).astype(np.int16))
    image.SetSpacing((3.0, 3.0, 3.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    require_server()
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    with ExitStack() as stack:
        short = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-"))
        )  # the path of a socket must be short
        short.chmod(0o755)
        network = f"172.31.{os.getpid() % 200}"
        url = f"https://{network}.10:8443{PREFIX}"
        # As docs/deployment.md makes them.
        (secrets / "database_password").write_text("a/long@secret:of the database\n")
        names = [x509.IPAddress(ipaddress.ip_address(f"{network}.10"))]
        authority, certificate, key = make_authority(tmp_path, names)
        certificate.rename(secrets / "tls_certificate")
        key.rename(secrets / "tls_key")
        environment = {"PUBLIC_URL": url, "SECRETS": str(secrets), "WORKER_PROCESSES": "1"}
        composed = Composed(tmp_path, environment, stack)
        composed.start_database(short / "server")
        (tmp_path / "images").mkdir()
        for seed in range(2):
            write_phantom(tmp_path / "images" / f"p{seed}.nii.gz", seed)
        composed.run("init", "/workspace")
        composed.run("import", str(tmp_path / "images"), mounted=tmp_path / "images")
        for name, role in (("chief", "admin"), ("ada", "radiologist")):
            composed.run("users", "add", name, "--role", role, given=f"{PASSWORD}\n{PASSWORD}\n")
        composed.start("scheduler")
        servers = {name: composed.start(name) for name in ("server-1", "server-2")}
        for name in ("scheduler", *servers):
            composed.wait_until_healthy(name)
        composed.start("worker")
        composed.start("worker", replica=2)
        composed.start("proxy")
        composed.wait_until_healthy("proxy")
        yield Hospital(composed, servers, url, authority)


def sign_in(hospital: Hospital, name: str) -> str:
    with hospital.http() as http:
        token: str = http.post("/auth/token", data={"username": name, "password": PASSWORD}).json()["access_token"]
    return token


def annotate(hospital: Hospital, client: MONAILabelClient, folder: Path) -> str:
    """A case as Slicer's module works through it; returns the id of the image."""
    sample = client.next_sample("random", {})
    download = [sys.executable, "-c", "import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])"]
    address = f"{hospital.url}/datastore/image?image={sample['id']}"
    environment = os.environ | {"SSL_CERT_FILE": str(hospital.authority)}
    subprocess.run([*download, address, str(folder / sample["name"])], check=True, env=environment)
    assert (folder / sample["name"]).stat().st_size > 100_000
    mask, params = client.infer("mrseg", sample["id"], {"result_extension": ".nrrd", "result_dtype": "uint8"})
    info = [{"name": label, "idx": index} for label, index in params["label_names"].items()]
    stored: str = client.save_label(sample["id"], mask, params={"label_info": info})["image"]
    return stored


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_the_composed_services_serve_a_hospital_under_a_path(hospital: Hospital, tmp_path: Path) -> None:
    composed = hospital.composed
    token = sign_in(hospital, "chief")
    headers = {"Authorization": f"Bearer {token}"}
    events: list[str] = []

    def listen() -> None:
        with (
            suppress(httpx.TransportError),  # the service ends with the test
            hospital.http() as http,
            http.stream(
                "GET", "/api/v1/events", params={"topics": "annotation"}, headers=headers, timeout=None
            ) as reply,
        ):
            events.append(str(reply.status_code))
            events.extend(reply.iter_lines())

    threading.Thread(target=listen, daemon=True).start()
    wait_until(lambda: len(events) > 1, 30)

    client = MONAILabelClient(hospital.url, tmpdir=str(tmp_path), client_id="user-xyz")
    assert client.auth_enabled()
    client.update_auth(client.auth_token("ada", PASSWORD))
    assert client.info()["labels"]
    first = annotate(hospital, client, tmp_path)
    wait_until(lambda: any(first in line or '"revision":1' in line for line in events), 10)  # unheld by the proxy

    with hospital.http() as http:
        # Links, redirects, cookies and the description of REST have the path.
        page = http.get("/dashboard", headers={"Accept": "text/html"})
        assert page.status_code == 303 and page.headers["location"].startswith(f"{PREFIX}/account/sign-in")
        form = {"username": "chief", "password": PASSWORD}
        signed = http.post("/account/sign-in", data=form, headers={"Origin": hospital.url.removesuffix(PREFIX)})
        cookie = signed.headers["set-cookie"].lower()
        assert signed.status_code == 303 and f"path={PREFIX}" in cookie and "secure" in cookie
        assert http.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]
        # The reader's address stands in the audit trail, whatever a stranger says of it.
        http.post("/auth/token", data=form, headers={"X-Forwarded-For": "203.0.113.9"})
        last = http.get("/api/v1/audit", params={"limit": 1}, headers=headers).json()["items"][0]
        assert last["detail"]["peer"] == f"{composed.network}.1", last
        # Larger than the limit of nginx, smaller than ours.
        big = os.urandom(3_000_000)
        refused = http.put("/datastore/", params={"image": "big"}, files={"file": ("big.nii.gz", big)}, headers=headers)
        assert refused.status_code in (400, 422), refused.text

        # One server dies: nobody notices.
        hospital.servers["server-1"].kill()
        hospital.servers["server-1"].wait()
        for _ in range(20):
            assert http.get("/api/v1/progress", headers=headers).status_code == 200
        assert annotate(hospital, client, tmp_path) != first
        assert http.get("/api/v1/progress", headers=headers).json()["annotated_total"] == 2
    # Neither the proxy nor a server has written a ticket, and no process could write beside its volumes.
    for name in ("proxy", "server-1", "server-2", "worker", "worker-2", "scheduler"):
        log = composed.log(name)
        assert "image=" not in log and "Read-only file system" not in log and "Traceback" not in log, log[-3000:]
