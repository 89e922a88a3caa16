"""TLS with certificate files, and forwarding headers, which are read only from configured proxies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.types import Role
from mrseg_label.config import load_settings, tls_files
from mrseg_label.errors import ConfigurationError
from mrseg_label.simulation.server import free_port
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import PASSWORD, write_image
from tests.support.certificates import make_authority, private, write_pem


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A hospital's own certificate authority, and a server's certificate and key: three PEM files."""
    return make_authority(tmp_path_factory.mktemp("tls"), [x509.DNSName("localhost")])


@pytest.fixture
def secured(tmp_path: Path, authority: tuple[Path, Path, Path]) -> Iterator[str]:
    """``mrseg-label serve`` over HTTPS, with one image and one reader."""
    _, certificate, key = authority
    text = f'WORKERS = 0\nTLS_CERTIFICATE = "{certificate}"\nTLS_KEY = "{key}"\n'
    root = Workspace.init(tmp_path / "ws", settings_text=text).root
    command = [sys.executable, "-m", "mrseg_label.cli"]
    image = write_image(tmp_path / "p1.nii.gz", 1)
    subprocess.run([*command, "import", str(image), "--workspace", str(root)], check=True, capture_output=True)
    lines = f"{PASSWORD}\n{PASSWORD}\n".encode()
    add = [*command, "users", "add", "ada", "--role", "radiologist", "--workspace", str(root)]
    subprocess.run(add, input=lines, check=True, capture_output=True)
    port = free_port()
    process = subprocess.Popen(
        [*command, "serve", "--workspace", str(root), "--port", str(port)], stderr=subprocess.PIPE
    )
    try:
        yield f"https://localhost:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_https_with_a_hospitals_own_authority(secured: str, authority: tuple[Path, Path, Path], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    with httpx.Client(base_url=secured, verify=str(authority[0]), timeout=60, trust_env=False) as http:
        deadline = time.monotonic() + 120
        while True:
            try:
                ready = http.get("/readyz")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert ready.headers["strict-transport-security"]
        token = http.post("/auth/token", data={"username": "ada", "password": PASSWORD}).json()["access_token"]
        sample = http.post("/activelearning/random", json={}, headers={"Authorization": f"Bearer {token}"}).json()
    address = f"{secured}/datastore/image?image={sample['id']}"
    fetch = [sys.executable, "-c", "import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])"]
    fetch += [address, str(tmp_path / "image.nii.gz")]
    # As in docs/sign-in.md: Slicer's download verifies certificates and needs to know the authority.
    unknown = subprocess.run(fetch, env=environment, capture_output=True, text=True)
    assert unknown.returncode != 0 and "CERTIFICATE_VERIFY_FAILED" in unknown.stderr
    subprocess.run(fetch, env=environment | {"SSL_CERT_FILE": str(authority[0])}, check=True)
    assert (tmp_path / "image.nii.gz").stat().st_size > 1000


def test_certificate_and_key_must_match(tmp_path: Path, authority: tuple[Path, Path, Path]) -> None:
    _, certificate, key = authority
    other = write_pem(tmp_path / "other.key", private(ec.generate_private_key(ec.SECP256R1())))
    assert tls_files(load_settings(tmp_path, tls_certificate=certificate, tls_key=key)) == (str(certificate), str(key))
    assert tls_files(load_settings(tmp_path)) == (None, None)
    for half in ({"tls_certificate": certificate}, {"tls_key": key}):
        with pytest.raises(ConfigurationError, match="belong together"):
            tls_files(load_settings(tmp_path, **half))
    for wrong in (other, tmp_path / "missing.key"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            tls_files(load_settings(tmp_path, tls_certificate=certificate, tls_key=wrong))


def test_only_configured_proxies_may_forward_addresses(tmp_path: Path) -> None:
    root = Workspace.init(
        tmp_path / "ws", settings_text='WORKERS = 0\nTRUSTED_PROXIES = "10.0.0.0/24, 10.9.9.9"\n'
    ).root
    workspace = open_workspace(root)
    accounts.add(workspace.catalog, "ada", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    application = build(ProtocolApp(workspace))

    async def peer_of(client: str, forwarded: str) -> tuple[str, bool]:
        transport = httpx.ASGITransport(application, client=(client, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
            reply = await http.post("/auth/token", data={"username": "ada", "password": PASSWORD}, headers=headers)
        assert reply.status_code == 200
        with workspace.catalog.read() as session:
            return audit.page(session, 1)[0].detail["peer"], "strict-transport-security" in reply.headers

    try:
        assert asyncio.run(peer_of("10.0.0.7", "203.0.113.7")) == ("203.0.113.7", True)
        assert asyncio.run(peer_of("10.9.9.9", "198.51.100.1, 203.0.113.7")) == ("203.0.113.7", True)
        assert asyncio.run(peer_of("192.0.2.1", "203.0.113.7")) == ("192.0.2.1", False)
        assert asyncio.run(peer_of("127.0.0.1", "203.0.113.7")) == ("127.0.0.1", False)
    finally:
        workspace.catalog.close()


def test_without_sign_in_the_reason_for_a_server_error_stays_secret(tmp_path: Path) -> None:
    root = Workspace.init(tmp_path / "ws", settings_text="WORKERS = 0\n").root
    workspace = open_workspace(root)
    application = build(ProtocolApp(workspace))
    with workspace.catalog.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE access_tokens")
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    async def get(path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            return await http.get(path, headers=headers)

    try:
        ready = asyncio.run(get("/readyz", {}))
        request_id = ready.headers["x-request-id"]
        detail = f"The server cannot answer now. The server log has the reason under request id {request_id}."
        assert (ready.status_code, ready.json()["detail"]) == (503, detail)
        claims = {"iss": "mrseg-label", "aud": "mrseg-label", "sub": "ada", "jti": "x", "iat": 0, "exp": 2**33}
        token = jwt.encode(claims, signing_secret(workspace.catalog), algorithm="HS256")
        broken = asyncio.run(get("/info/", {"Authorization": f"Bearer {token}"}))
        assert broken.status_code == 503 and "access_tokens" not in broken.text
    finally:
        workspace.catalog.close()
