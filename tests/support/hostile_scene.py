"""A server with a victim and an attacker, and what every answer to an attack has to fulfil."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.tables import AccessToken, Annotation
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.clock import now
from tests.integration.conftest import PASSWORD, SETTINGS, Running, serving
from tests.support.hostile import Body, Reply, State, exchange, files
from tests.support.signed_in import token_id

IDLE_SECONDS = 1.5  # REQUEST_IDLE_SECONDS of the server; in production half a minute


@dataclass(frozen=True)
class Scene:
    """A server with a victim (alice, who has a case, a session and an app password) and an attacker (mallory)."""

    server: Running
    port: int
    folder: Path
    tokens: dict[str, str]  # by account
    ticket: str  # alice's
    examination: str  # hers, by its id
    session: str  # hers
    app_password: str  # the id of hers
    annotation: str  # hers
    own_ticket: str  # mallory's
    image: bytes
    label: bytes
    bad_tokens: dict[str, str]

    def by(self, name: str = "mallory") -> str:
        """Header of a request by an account."""
        return f"Authorization: Bearer {self.tokens[name]}"

    def state(self) -> State:
        return State.of(self.server.workspace, self.folder / "serve.log")


@contextmanager
def hostile_scene(folder: Path) -> Iterator[Scene]:
    """Start the server in a folder of its own, with HOME and TMPDIR inside it."""
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    settings = SETTINGS.replace('"off"', '"on"') + f"REQUEST_IDLE_SECONDS = {IDLE_SECONDS}\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "temporary"))
        with serving(folder, settings) as server:
            patch.undo()
            yield set_the_scene(server, folder)


def set_the_scene(server: Running, folder: Path) -> Scene:
    catalog, web = server.catalog, server.http
    given = {}
    people = {"alice": Role.RADIOLOGIST, "mallory": Role.RADIOLOGIST, "rita": Role.REVIEWER, "root": Role.ADMIN}
    for name, role in people.items():
        accounts.add(catalog, name, role, password=PASSWORD, actor="test")
        reply = web.post("/auth/token", data={"username": name, "password": PASSWORD})
        given[name] = reply.json()["access_token"]
    accounts.add(catalog, "robot", Role.SERVICE, password=None, actor="test")
    _, given["robot"] = credentials.make(catalog, "robot", CredentialKind.API_KEY, "in use", actor="test")
    gone, revoked = credentials.make(catalog, "robot", CredentialKind.API_KEY, "gone", actor="test")
    credentials.revoke(catalog, gone.id, actor="test")
    alice, mallory = ({"Authorization": f"Bearer {given[name]}"} for name in ("alice", "mallory"))
    assert web.get("/info/", headers={"Authorization": f"Bearer {given['robot']}"}).status_code == 200
    case = web.post("/activelearning/sequential", headers=alice, json={}).json()
    own = web.post("/activelearning/sequential", headers=mallory, json={}).json()
    presegmentation = web.get(
        "/datastore/label", params={"label": case["id"], "tag": "original"}, headers=alice
    ).content
    names = list(server.workspace.scheme.label_names)
    sent = web.put(
        "/datastore/label",
        params={"image": case["id"]},
        headers=alice,
        files={"label": ("label.nii.gz", presegmentation)},
        data={"params": json.dumps({"label_info": [{"name": name} for name in names]})},
    )
    assert sent.status_code == 200, sent.text
    label = web.get("/datastore/label", params={"label": own["id"], "tag": "original"}, headers=mallory).content
    with catalog.read() as session:
        annotation = session.query(Annotation).one().id
    image = next(iter(server.images.values())).read_bytes()
    session_id = web.put("/session/", headers=alice, files={"files": ("a.nii.gz", image)}).json()["session_id"]
    made = web.post("/auth/app-passwords", headers=alice, json={"label": "Slicer"}).json()
    spoiled = spoiled_tokens(server, given)
    return Scene(
        server,
        int(server.url.rpartition(":")[2]),
        folder,
        given,
        case["id"],
        case["name"].removesuffix(".nii.gz"),
        session_id,
        made["id"],
        annotation,
        own["id"],
        image,
        label,
        {**spoiled, "a revoked key": revoked},
    )


def spoiled_tokens(server: Running, given: dict[str, str]) -> dict[str, str]:
    """Tokens that were valid once, or never."""
    catalog = server.catalog
    secret = tokens.signing_secret(catalog)
    claims = jwt.decode(given["root"], options={"verify_signature": False})
    ended, signed_out = (
        server.http.post("/auth/token", data={"username": "root", "password": PASSWORD}).json()["access_token"]
        for _ in range(2)
    )
    identifiers = [token_id(token) for token in (ended, signed_out)]
    with catalog.begin() as session:
        session.get_one(AccessToken, identifiers[0]).expires_at = now() - timedelta(seconds=1)
        session.get_one(AccessToken, identifiers[1]).revoked_at = now()
    first, payload, signature = given["root"].split(".")
    embedded = {"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}}
    return {
        "foreign secret": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "secret of a NUL": jwt.encode(claims, "\0" * 32, algorithm="HS256"),
        "alg none": jwt.encode(claims, "", algorithm="none"),
        "alg None spelt oddly": base64url({"alg": "nOnE", "typ": "JWT"}) + f".{payload}.",
        "alg HS512": jwt.encode(claims, secret * 2, algorithm="HS512"),
        "alg RS256": base64url({"alg": "RS256"}) + f".{payload}.{signature}",
        "key in the header": jwt.encode(claims, "x" * 32, algorithm="HS256", headers=embedded),
        "key id as a path": jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "../../../dev/null"}),
        "expired by its claim": jwt.encode({**claims, "exp": int(time.time()) - 1}, secret, algorithm="HS256"),
        "expired by its row": ended,
        "signed out": signed_out,
        "not yet": jwt.encode({**claims, "nbf": int(time.time()) + 900}, secret, algorithm="HS256"),
        "another's name": jwt.encode({**claims, "sub": "alice"}, secret, algorithm="HS256"),
        "row of another": jwt.encode({**claims, "jti": "' OR '1'='1"}, secret, algorithm="HS256"),
        "no end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, algorithm="HS256"),
        "claims that are no object": base64url({"alg": "HS256"}) + "." + base64url([1]) + f".{signature}",
        "deep claims": base64url({"alg": "HS256"}) + "." + base64url("[" * 9000) + f".{signature}",
        "cut": given["root"][:-3],
        "without signature": f"{first}.{payload}.",
        "a password": PASSWORD,
        "nothing like a token": "../../../etc/passwd",
        "SQL": "' UNION SELECT * FROM accounts --",
    }


def base64url(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def check(scene: Scene, what: str, data: Body, statuses: tuple[int, ...] = ()) -> Reply:
    """Send an attack and check the reply: it refuses the attack and reveals nothing."""
    reply = exchange(scene.port, data)
    assert reply.status in statuses if statuses else 400 <= reply.status < 500, (what, reply.status, reply.body[:300])
    shown = reply.text
    private = [str(scene.folder), "Traceback", "site-packages", "root:x:", "sqlite", "sqlalchemy", "uvicorn", "Python/"]
    private += [scene.tokens["alice"], scene.tokens["root"], "alice", "$argon2", "<script", "<img"]
    for word in private:
        assert word not in shown, (what, word, shown[:500])
    names = {name.lower() for name, _ in reply.headers}
    assert not names & {"x-injected", "set-cookie", "access-control-allow-origin", "server", "location"}, (what, names)
    return reply


def check_unchanged(scene: Scene, before: State) -> None:
    """Check database and files; what a request opened may stay for a moment after its connection broke."""
    deadline = time.monotonic() + 5
    while (after := scene.state()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert after.rows == before.rows
    assert after.inside == before.inside
    assert after.outside == before.outside


def check_refused(scene: Scene, attacks: Mapping[str, bytes], at_least: int) -> None:
    """Send each attack: it is refused, and all together leave database and files as they were."""
    assert len(attacks) >= at_least
    before, wrong = scene.state(), []
    for what, data in attacks.items():
        try:
            check(scene, what, data)
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"{what}: {error!s:.400}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(attacks)}", *wrong])
    check_unchanged(scene, before)


def check_no_trace(scene: Scene) -> None:
    """The log tells of no error and no secret, nothing is left on the disk, and the server goes on."""
    log = (scene.folder / "serve.log").read_text(errors="replace")
    assert "Traceback" not in log and " failed" not in log
    for secret in (scene.ticket, scene.own_ticket, *scene.tokens.values(), PASSWORD, "/etc/passwd"):
        assert secret not in log
    assert not list((scene.folder / "temporary").iterdir())
    assert not [path for path in files(scene.folder) if "pwned" in path]
    assert not Path("pwned").exists()
    assert scene.server.http.get("/readyz").status_code == 200
