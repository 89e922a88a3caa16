"""Hostile and malformed requests to the real server, byte by byte: each is refused and changes nothing."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import io
import json
import os
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.tables import AccessToken, Annotation, Assignment
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.clock import now
from tests.integration.conftest import PASSWORD, SETTINGS, Running, serving
from tests.support.hostile import (
    Body,
    Reply,
    State,
    as_json,
    exchange,
    files,
    form,
    head,
    part,
    request,
    upload,
)

IDLE = 1.5  # seconds; in production half a minute
MB = 1024 * 1024
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
SENT: list[str] = []  # what was tried, for the count at the end


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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    settings = SETTINGS.replace('"off"', '"on"') + f"REQUEST_IDLE_SECONDS = {IDLE}\n"
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
    """Tokens that were good once, or never."""
    catalog = server.catalog
    secret = tokens.signing_secret(catalog)
    claims = jwt.decode(given["root"], options={"verify_signature": False})
    ended, signed_out = (
        server.http.post("/auth/token", data={"username": "root", "password": PASSWORD}).json()["access_token"]
        for _ in range(2)
    )
    identifiers = [jwt.decode(token, options={"verify_signature": False})["jti"] for token in (ended, signed_out)]
    with catalog.begin() as session:
        session.get_one(AccessToken, identifiers[0]).expires_at = now() - timedelta(seconds=1)
        session.get_one(AccessToken, identifiers[1]).revoked_at = now()
    first, payload, signature = given["root"].split(".")
    embedded = {"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}}
    return {
        "foreign secret": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "secret of a NUL": jwt.encode(claims, "\0" * 32, algorithm="HS256"),
        "alg none": jwt.encode(claims, None, algorithm="none"),
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
    """Send it and look at the answer: refused, without a word too much."""
    reply = exchange(scene.port, data)
    SENT.append(what)
    assert reply.status in statuses if statuses else 400 <= reply.status < 500, (what, reply.status, reply.body[:300])
    told = reply.text
    private = [str(scene.folder), "Traceback", "site-packages", "root:x:", "sqlite", "sqlalchemy", "uvicorn", "Python/"]
    private += [scene.tokens["alice"], scene.tokens["root"], "alice", "$argon2", "<script", "<img"]
    for word in private:
        assert word not in told, (what, word, told[:500])
    names = {name.lower() for name, _ in reply.headers}
    assert not names & {"x-injected", "set-cookie", "access-control-allow-origin", "server", "location"}, (what, names)
    return reply


def unchanged(scene: Scene, before: State) -> None:
    """Whatever a request had opened is gone when it is answered, or very soon after its connection broke."""
    deadline = time.monotonic() + 5
    while (after := scene.state()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert after.rows == before.rows
    assert after.inside == before.inside
    assert after.outside == before.outside


Attacks = Callable[[Scene], dict[str, Any]]
CATEGORIES: dict[str, Attacks] = {}


def category(function: Attacks) -> Attacks:
    CATEGORIES[function.__name__] = function
    return function


TRAVERSALS = (
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
    "..%c0%af..%c0%af..%c0%afetc%c0%afpasswd",
    "....//....//....//etc/passwd",
    "..%5c..%5c..%5cwindows%5cwin.ini",
    "/etc/passwd",
    "file:///etc/passwd",
    "%00/etc/passwd",
    "mrseg.db%00.nii.gz",
    "http://169.254.169.254/latest/meta-data",
    "~root/.ssh/id_rsa",
    "..%0d%0aX-Injected:%201",
    "$(touch%20pwned)",
    "%uff0e%uff0e%u2215etc",
)
SQL = (
    "' OR '1'='1",
    "x' UNION SELECT name, password_hash FROM accounts --",
    "'; DROP TABLE accounts; --",
    '" OR ""="',
    "1); DELETE FROM revisions; --",
    "\\'; UPDATE accounts SET role='admin' WHERE name='mallory'; --",
    "x'/**/AND/**/1=(SELECT/**/COUNT(*)/**/FROM/**/secrets)--",
)
# Where an address takes a text of the client: (who, method, address, body).
ADDRESSES = (
    ("mallory", "GET", "/datastore/image?image={}", ""),
    ("mallory", "HEAD", "/datastore/image?image={}", ""),
    ("mallory", "HEAD", "/datastore/image?image=OWN&check_sum={}", ""),
    ("mallory", "GET", "/datastore/image/info?image={}", ""),
    ("mallory", "GET", "/datastore/label?label={}&tag=final", ""),
    ("mallory", "GET", "/datastore/label?label=OWN&tag={}", ""),
    ("mallory", "HEAD", "/datastore/label?label={}&tag=final", ""),
    ("mallory", "GET", "/datastore/label/info?label={}", ""),
    ("mallory", "GET", "/datastore/label/info?label=OWN&tag={}", ""),
    ("mallory", "PUT", "/datastore/label?image={}", "label"),
    ("mallory", "PUT", "/datastore/label?image=OWN&tag={}", "label"),
    ("mallory", "GET", "/datastore/?output={}", ""),
    ("mallory", "POST", "/infer/mrseg?image={}", "params"),
    ("mallory", "POST", "/infer/mrseg?session_id={}", "params"),
    ("mallory", "POST", "/infer/mrseg?image=OWN&output={}", "params"),
    ("mallory", "POST", "/infer/{}?image=OWN", "params"),
    ("mallory", "POST", "/activelearning/{}", "json"),
    ("mallory", "POST", "/train/{}", "json"),
    ("mallory", "GET", "/session/{}", ""),
    ("mallory", "DELETE", "/session/{}", ""),
    ("mallory", "PUT", "/session/?expiry={}", "files"),
    ("mallory", "DELETE", "/auth/app-passwords/{}", ""),
    ("mallory", "GET", "/api/v1/models/{}", ""),
    ("root", "GET", "/api/v1/models/{}/archive", ""),
    ("root", "POST", "/api/v1/models/{}/promote", "json"),
    ("mallory", "GET", "/api/v1/models?cursor={}", ""),
    ("mallory", "GET", "/api/v1/models?limit={}", ""),
    ("mallory", "GET", "/api/v1/rounds/{}", ""),
    ("mallory", "GET", "/api/v1/rounds?cursor={}", ""),
    ("root", "POST", "/api/v1/rounds/{}/cancel", "json"),
    ("root", "POST", "/api/v1/rounds/{}/retry", "json"),
    ("root", "GET", "/api/v1/rounds/{}/log", ""),
    ("mallory", "GET", "/api/v1/examinations/{}", ""),
    ("mallory", "GET", "/api/v1/examinations/{}/annotations", ""),
    ("mallory", "GET", "/api/v1/examinations?cursor={}", ""),
    ("mallory", "GET", "/api/v1/examinations?annotated={}", ""),
    ("mallory", "POST", "/api/v1/examinations/{}/release", "json"),
    ("mallory", "POST", "/api/v1/examinations/{}/unusable", "reason"),
    ("mallory", "GET", "/api/v1/annotations?state={}", ""),
    ("mallory", "GET", "/api/v1/annotations?cursor={}", ""),
    ("mallory", "GET", "/api/v1/annotations/{}", ""),
    ("mallory", "GET", "/api/v1/annotations/{}/mask", ""),
    ("rita", "GET", "/api/v1/annotations/{}/compare/{}", ""),
    ("rita", "POST", "/api/v1/annotations/{}/accept", "json"),
    ("rita", "POST", "/api/v1/annotations/{}/reject", "json"),
    ("mallory", "POST", "/api/v1/annotations/{}/withdraw", "json"),
    ("rita", "POST", "/api/v1/annotations/{}/restore", "json"),
    ("root", "GET", "/api/v1/audit?cursor={}", ""),
    ("mallory", "GET", "/api/v1/metrics/effort?cursor={}", ""),
    ("mallory", "GET", "/api/v1/metrics/learning-curve?limit={}", ""),
    ("mallory", "GET", "/{}", ""),
    ("mallory", "GET", "/api/v1/{}", ""),
)
FILTERS = (
    ("mallory", "/api/v1/examinations?station={}"),
    ("mallory", "/api/v1/examinations?sequence={}"),
    ("rita", "/api/v1/annotations?author={}"),
    ("root", "/api/v1/audit?actor={}"),
    ("root", "/api/v1/audit?action={}"),
)


def addressed(scene: Scene, who: str, method: str, address: str, body: str, text: str) -> bytes:
    target = address.replace("OWN", scene.own_ticket).replace("{}", text)
    if body in ("label", "files"):
        content = scene.label if body == "label" else scene.image
        return upload(method, target, scene.by(who), name="a.nii.gz", content=content, field=body, params={})
    if body == "params":
        content = form(part('form-data; name="params"', b"{}"))
        return request(method, target, scene.by(who), MULTIPART, body=content)
    if body == "json":
        return request(method, target, scene.by(who), JSON, body=b"{}")
    if body == "reason":
        return request(method, target, scene.by(who), JSON, body=as_json({"reason": "x"}))
    return request(method, target, scene.by(who))


@pytest.mark.parametrize("route", ADDRESSES, ids=lambda route: f"{route[1]} {route[2]}")
def test_paths_and_sql_in_addresses(scene: Scene, route: tuple[str, str, str, str]) -> None:
    before = scene.state()
    for text in (*TRAVERSALS, *(quote(item) for item in SQL)):
        if route[2] in ("/{}", "/api/v1/{}") and not text.startswith(("..", "%", "/", "'", "f")):
            continue
        check(scene, f"{route[1]} {route[2]} {text}", addressed(scene, *route, text))
    unchanged(scene, before)


@pytest.mark.parametrize("route", FILTERS, ids=lambda route: route[1])
def test_sql_and_control_characters_in_filters(scene: Scene, route: tuple[str, str]) -> None:
    before = scene.state()
    for text in (*SQL, "a\r\nX-Injected: 1", "\x00", "\x1b[2J", "x" * 300, "a;b"):
        target = route[1].format(quote(text))
        check(scene, f"GET {target}", request("GET", target, scene.by(route[0])))
    unchanged(scene, before)


@category
def credentials_of_others(s: Scene) -> dict[str, Any]:
    info = "/info/"
    found: dict[str, Any] = {
        f"token: {what}": request("GET", info, f"Authorization: Bearer {token}") for what, token in s.bad_tokens.items()
    }
    other = f"Authorization: Bearer {s.bad_tokens['cut']}"
    own = s.by()
    label = {"name": "a.nii.gz", "content": s.label, "field": "label", "params": {}}
    found |= {
        "no header": request("GET", info),
        "two headers": request("GET", info, own, other),
        "two headers, the other way round": request("GET", info, other, own),
        "the same header twice": request("GET", info, own, own),
        "two tokens in one header": request("GET", info, f"{own}, Bearer x"),
        "Basic": request("GET", info, "Authorization: Basic cm9vdDpmb3VyIHdvcmRzIG9mIGEgc2VjcmV0"),
        "token in the query": request("GET", f"{info}?access_token={s.tokens['root']}&token={s.tokens['root']}"),
        "token in a cookie of another name": request("GET", info, f"Cookie: token={s.tokens['mallory']}"),
        "spoiled cookie": request("GET", info, f"Cookie: mrseg_session={s.bad_tokens['foreign secret']}"),
        "another site's form with the cookie": request(
            "POST", "/activelearning/random", f"Cookie: mrseg_session={s.tokens['mallory']}",
            "Origin: https://evil.example", JSON, body=b"{}",
        ),
        "a form of nowhere with the cookie": request(
            "POST", "/activelearning/random", f"Cookie: mrseg_session={s.tokens['mallory']}", "Origin: null",
            "Sec-Fetch-Site: cross-site", JSON, body=b"{}",
        ),
        "another's ticket: image": request("GET", f"/datastore/image?image={s.ticket}", own),
        "another's ticket: info": request("GET", f"/datastore/image/info?image={s.ticket}", own),
        "another's ticket: label": request("GET", f"/datastore/label?label={s.ticket}&tag=final", own),
        "another's ticket: infer": request("POST", f"/infer/mrseg?image={s.ticket}", own),
        "another's ticket: submission": upload("PUT", f"/datastore/label?image={s.ticket}", own, **label),
        "another's ticket by the reviewer": request("GET", f"/datastore/image?image={s.ticket}", s.by("rita")),
        "ticket for a label without sign-in": request("GET", f"/datastore/label?label={s.ticket}&tag=final"),
        "ticket for infer without sign-in": request("POST", f"/infer/mrseg?image={s.ticket}"),
        "ticket and another image": request("GET", f"/datastore/image?image={s.ticket}&image={s.examination}"),
        "ticket and a label": request("GET", f"/datastore/image?image={s.examination}&ticket={s.ticket}"),
        "ticket in other letters": request("GET", f"/datastore/image?image={s.ticket.swapcase()}"),
        "another's case by its id: image": request("GET", f"/datastore/image?image={s.examination}", own),
        "another's case by its id: label": request("GET", f"/datastore/label?label={s.examination}", own),
        "another's case by its id: infer": request("POST", f"/infer/mrseg?image={s.examination}", own),
        "another's case by its id: submission": upload("PUT", f"/datastore/label?image={s.examination}", own, **label),
        "another's case released": request(
            "POST", f"/api/v1/examinations/{s.examination}/release", own, JSON, body=b"{}"
        ),
        "another's case unusable": request(
            "POST", f"/api/v1/examinations/{s.examination}/unusable", own, JSON, body=b'{"reason": "x"}'
        ),
        "another's case in another's name": request(
            "POST", f"/api/v1/examinations/{s.examination}/release", own, JSON, body=b'{"client": "alice"}'
        ),
        "another's annotation": request("GET", f"/api/v1/annotations/{s.annotation}", own),
        "another's mask": request("GET", f"/api/v1/annotations/{s.annotation}/mask", own),
        "another's annotation withdrawn": request(
            "POST", f"/api/v1/annotations/{s.annotation}/withdraw", own, JSON, body=b"{}"
        ),
        "a decision by a radiologist": request(
            "POST", f"/api/v1/annotations/{s.annotation}/accept", own, JSON, body=b"{}"
        ),
        "another's session": request("GET", f"/session/{s.session}?image=true", own),
        "another's session ended": request("DELETE", f"/session/{s.session}", own),
        "another's session for infer": request("POST", f"/infer/mrseg?session_id={s.session}", own),
        "another's session by an admin": request("GET", f"/session/{s.session}", s.by("root")),
        "another's app password": request("DELETE", f"/auth/app-passwords/{s.app_password}", own),
        "an admin's route": request("GET", "/api/v1/audit", own),
        "a program hands out": request("POST", "/activelearning/random", s.by("robot"), JSON, body=b"{}"),
        "a round by a reviewer": request("POST", "/api/v1/rounds", s.by("rita"), JSON, body=b"{}"),
        "roll-back by a program": request("POST", "/api/v1/models/rollback", s.by("robot"), JSON, body=b"{}"),
        "pairs to train on": request("GET", "/datastore/?output=train", own),
    }  # fmt: skip
    return found


@category
def server_paths_as_files(s: Scene) -> dict[str, Any]:
    own, target = s.by(), f"/datastore/label?image={s.own_ticket}"
    infer = f"/infer/mrseg?image={s.own_ticket}"
    found = {
        "label as a path in a text field": request(
            "PUT", target, own, MULTIPART, body=form(part('form-data; name="label"', b"/etc/passwd"))
        ),
        "label as a path in a form": request("PUT", target, own, FORM, body=b"label=/etc/passwd&params={}"),
        "label as a path in the query": request("PUT", f"{target}&label=/etc/passwd", own, MULTIPART, body=form()),
        "label as a path in params": request(
            "PUT", target, own, MULTIPART, body=form(part('form-data; name="params"', b'{"label": "/etc/passwd"}'))
        ),
        "a finished label by its path": upload(
            "PUT", target, own, name="/etc/passwd", content=b"/etc/passwd", field="label", params={"label_info": []}
        ),
        "a link instead of an image": upload("PUT", "/datastore/image?image=a", own, name="a.nii.gz", content=b"../../mrseg.db"),
    }  # fmt: skip
    for key in ("label", "image", "file", "folder", "result_extension", "model", "session_id"):
        body = form(part('form-data; name="params"', as_json({key: "/etc/passwd"})))
        found[f"infer params: {key}"] = request("POST", infer, own, MULTIPART, body=body)
    detached = {
        "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
        "b.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = LIST\n/etc/passwd\n",
        "a.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\ndata file: /etc/passwd\n\n",
        "b.nrrd": b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: LIST\n/etc/passwd\n",
        "../../a.nii.gz": gzip.compress(bytes(30 * MB)),
        "a.nii": b"\x5c\x01\x00\x00" + b"\xff" * 400,
        "a.nii.gz": zip_of({"../../../pwned.nii.gz": s.image}),
        "a.zip": zip_of({"../../../pwned.nii.gz": s.image, "/etc/cron.d/pwned": b"x"}),
        "a.dcm": b"x",
        "": s.image,
        "..": s.image,
        "a.php": b"<?php",
        "a.pt": b"weights",
    }
    for name, content in detached.items():
        found[f"image {name}"] = upload("PUT", "/datastore/image?image=a", own, name=name, content=content)
        found[f"infer of {name}"] = upload("POST", "/infer/mrseg", own, name=name, content=content, params={})
        found[f"label {name}"] = upload("PUT", target, own, name=name, content=content, field="label", params={})
    found["zip as a session"] = upload(
        "PUT", "/session/?uncompress=true", own, name="a.zip", content=detached["a.zip"], field="files"
    )
    for alias in (
        *TRAVERSALS[:2],
        "a%2fb",
        "a%5cb",
        "..",
        ".",
        "%20",
        "a%0d%0aX-Injected:1",
        "a%00",
        "x" * 201,
        "%e2%80%ae.nii",
        "%ff%fe..",
    ):
        if alias == ".":  # a name like any other: no file is made of it
            continue
        found[f"alias {alias}"] = upload(
            "PUT", f"/datastore/image?image={alias}", own, name="a.nii.gz", content=s.image
        )
    return found


def zip_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@category
def malformed_forms(s: Scene) -> dict[str, Any]:
    own, target = s.by(), f"/datastore/label?image={s.own_ticket}"
    good = part('form-data; name="label"; filename="a.nii.gz"', s.label)
    params = part('form-data; name="params"', b"{}")

    def put(body: bytes, kind: str = MULTIPART) -> bytes:
        return request("PUT", target, own, kind, body=body)

    inner = form(part('form-data; name="label"; filename="a.nii.gz"', b"x"), boundary=b"c")
    return {
        "no content type": request("PUT", target, own, body=form(good)),
        "no boundary": put(form(good), "Content-Type: multipart/form-data"),
        "empty boundary": put(form(good), 'Content-Type: multipart/form-data; boundary=""'),
        "wrong boundary": put(form(good), "Content-Type: multipart/form-data; boundary=other"),
        "boundary with a line break": put(form(good), "Content-Type: multipart/form-data; boundary=b%0d%0a"),
        "long boundary": put(form(good), f"Content-Type: multipart/form-data; boundary={'b' * 5000}"),
        "two content types": request("PUT", target, own, MULTIPART, JSON, body=form(good)[:40]),
        "charset that is none": put(form(params), MULTIPART + "; charset=undefined"),
        "charset that escapes": put(
            form(part('form-data; name="label"; filename="\\ud800.exe"', b"x")), MULTIPART + "; charset=unicode_escape"
        ),
        "no body": put(b""),
        "no end": put(form(part('form-data; name="label"; filename="a.nii.gz"', b"x"), end=False)),
        "preamble only": put(b"hello\r\n" * 100),
        "no disposition": put(b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"),
        "no name": put(form(part('form-data; filename="a.nii.gz"', s.label))),
        "no file": put(form(params)),
        "file as text": put(form(part('form-data; name="label"', s.label))),
        "empty file": put(form(part('form-data; name="label"; filename="a.nii.gz"', b""), params)),
        "file under another name": put(form(part('form-data; name="labels"; filename="a.nii.gz"', s.label), params)),
        "params as a file": put(form(good, part('form-data; name="params"; filename="p"', b"{}"))),
        "params twice, the last is none": put(form(good, params, part('form-data; name="params"', b"[]"))),
        "thousands of fields": put(form(*[part(f'form-data; name="f{n}"', b"x") for n in range(3000)])),
        "thousands of files": put(form(*[part('form-data; name="label"; filename="a"', b"x") for _ in range(3000)])),
        "five files": put(form(*[part('form-data; name="label"; filename="a.nii.gz"', s.label)] * 5, params)),
        "fields of all kinds": put(form(good, params, *[part(f'form-data; name="f{n}"', b"x") for n in range(40)])),
        "forms within forms": put(form(part('form-data; name="label"', inner, "Content-Type: multipart/mixed; boundary=c"))),
        "huge field": put(form(good, part('form-data; name="params"', b" " * (2 * MB)))),
        "huge part header": put(form(part(f'form-data; name="{"n" * 100_000}"', b"x"))),
        "thousands of part headers": put(form(part('form-data; name="label"', b"x", *[f"X-{n}: 1" for n in range(5000)]))),
        "line break in a part header": put(form(part('form-data; name="label"\r\n\r\nX-Injected: 1', b"x"))),
        "NUL in the field's name": put(form(part('form-data; name="label\0"; filename="a.nii.gz"', s.label))),
        "binary": put(os.urandom(5000)),
        "url-encoded": put(b"label=x&params={}", FORM),
        "thousands of url-encoded fields": request(
            "POST", "/auth/token", FORM, body=b"&".join(b"f%d=x" % n for n in range(5000))
        ),
        "JSON instead of a form": put(b'{"label": "/etc/passwd"}', JSON),
        "gzip as transfer of the body": request("PUT", target, own, MULTIPART, "Content-Encoding: gzip", body=gzip.compress(form(good))),
        "session of many files": request(
            "PUT", "/session/", own, MULTIPART,
            body=form(*[part('form-data; name="files"; filename="a.nii.gz"', s.image)] * 3),
        ),
    }  # fmt: skip


@category
def malformed_json(s: Scene) -> dict[str, Any]:
    own, robot = s.by(), s.by("rita")
    bodies: dict[str, bytes] = {
        "nothing": b"{",
        "deep list": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "a list": b"[]",
        "a text": b'"x"',
        "a number": b"1",
        "NaN as a name": b'{"client_id": NaN, "client": NaN, "label": NaN, "reason": NaN}',
        "a huge number": b'{"client_id": 1' + b"0" * 400 + b', "client": 1e999, "label": 1e999, "reason": 1e999}',
        "a number of thousands of digits": b'{"client_id": 1' + b"0" * 6000 + b"}",
        "wrong types": b'{"client_id": {"a": []}, "client": {"a": []}, "label": [], "reason": {}}',
        "a key twice": b'{"client_id": "a", "client": "a", "label": "a", "reason": "x", "client_id": 5, "client": 5, "label": 5, "reason": 5}',
        "half a character": b'{"client_id": "\\ud800", "client": "\\ud800", "label": "\\ud800", "reason": "\\ud800"}',
        "half a character as a key": b'{"\\ud800": 1, "client_id": 5, "client": 5}',
        "NUL": b'{"client_id": "a\\u0000", "client": "a\\u0000", "label": "a\\u0000", "reason": "a\\u0000"}',
        "line breaks": b'{"client_id": "a\\r\\nX-Injected: 1", "client": "a\\r\\nX-Injected: 1", "label": "a\\r\\nb", "reason": 1}',
        "too long": as_json(dict.fromkeys(("client_id", "client", "label", "reason"), "x" * 30000)),
        "UTF-16": '{"client_id": 5}'.encode("utf-16"),
        "bytes that are no text": b'{"client_id": "\xff\xfe", "client": "\xff\xfe"}',
        "comments": b'{"client_id": "a" /* */}',
        "prototype": b'{"__proto__": {"role": "admin"}, "client_id": [], "client": [], "constructor": {}}',
    }  # fmt: skip
    targets = {
        "hand-out": ("POST", "/activelearning/random", own),
        "wish": ("POST", "/api/v1/examinations/hand-out", own),
        "app password": ("POST", "/auth/app-passwords", own),
        "unusable": ("POST", f"/api/v1/examinations/{s.examination}/unusable", own),
        "decision": ("POST", f"/api/v1/annotations/{s.annotation}/reject", robot),
    }
    found = {
        f"{where}: {what}": request(method, target, who, JSON, body=body)
        for where, (method, target, who) in targets.items()
        for what, body in bodies.items()
    }
    put, infer = f"/datastore/label?image={s.own_ticket}", f"/infer/mrseg?image={s.own_ticket}"
    for what, body in bodies.items():
        found[f"params of a label: {what}"] = upload(
            "PUT", put, own, name="a.nii.gz", content=s.label, field="label", params=body
        )
        if what not in ("half a character as a key",):
            found[f"params of an upload: {what}"] = upload(
                "PUT", "/datastore/image?image=a", own, name="a.nii.gz", content=b"x", params=body
            )
    for wait in (-1, "x", [], {}, 10**400, float("nan"), float("inf"), 601, "1e999", None):
        found[f"wait_seconds {str(wait)[:9]}"] = request(
            "POST", infer, own, MULTIPART, body=form(part('form-data; name="params"', as_json({"wait_seconds": wait})))
        )
    for key, value in (("result_extension", "../x"), ("result_extension", ["a"]), ("result_extension", {"a": 1}),
                       ("result_dtype", "object"), ("result_dtype", {}), ("client_id", "a\r\nX-Injected: 1")):  # fmt: skip
        found[f"{key} {value}"] = request(
            "POST", infer, own, MULTIPART, body=form(part('form-data; name="params"', as_json({key: value})))
        )
    names = [{"name": name} for name in s.server.workspace.scheme.label_names]
    for what, info in {
        "SQL as a name": [{"name": SQL[2]}, *names[1:]],
        "path as a name": [{"name": "../../etc/passwd"}, *names[1:]],
        "line break as a name": [{"name": "spleen\r\nX-Injected: 1"}, *names[1:]],
        "half a character as a name": [{"name": "\ud800"}, *names[1:]],
        "NUL as a name": [{"name": "spleen\0"}, *names[1:]],
        "nested": [[[[names]]]],
        "a number": 7,
        "a hundred thousand": names * 3000,
    }.items():
        found[f"label_info: {what}"] = upload(
            "PUT", put, own, name="a.nii.gz", content=s.label, field="label", params={"label_info": info}
        )
    return found


@category
def too_many_privileges(s: Scene) -> dict[str, Any]:
    """Fields that nobody asked for."""
    own = s.by()
    extra = {"role": "admin", "user": "root", "author": "alice", "name": "root", "mrseg_caller": {"role": "admin"}}
    found = {}
    for what, (target, base, who) in {
        "app password": ("/auth/app-passwords", {"label": "x", "account_name": "root", "kind": "api_key"}, own),
        "wish": ("/api/v1/examinations/hand-out", {"purpose": "correct", "user": "root"}, own),
        "round": ("/api/v1/rounds", {"final": True, "state": "done"}, s.by("root")),
        "decision": (f"/api/v1/annotations/{s.annotation}/accept", {"reviewer": "root"}, s.by("rita")),
        "withdrawal": (f"/api/v1/annotations/{s.annotation}/withdraw", {"author": "alice"}, s.by("rita")),
        "release": (f"/api/v1/examinations/{s.examination}/release", {"user": "alice"}, own),
    }.items():
        found[f"{what}: more fields"] = request("POST", target, who, JSON, body=as_json({**base, **extra}))
    found |= {
        "a review by a radiologist": request(
            "POST", "/api/v1/examinations/hand-out", own, JSON, body=as_json({"purpose": "review"})
        ),
        "a wish of an examination that is SQL": request(
            "POST", "/api/v1/examinations/hand-out", own, JSON, body=as_json({"examination": SQL[0]})
        ),
        "a wish of a NUL": request(
            "POST", "/api/v1/examinations/hand-out", own, JSON, body=as_json({"examination": "ex-\0"})
        ),
        "sign-in with a role and a wrong password": request(
            "POST", "/auth/token", FORM, body=b"username=mallory&password=x&role=admin&scope=admin&grant_type=password"
        ),
        "sign-in with another grant": request(
            "POST", "/auth/token", FORM, body=b"username=mallory&password=x&grant_type=client_credentials"
        ),
        "the grant of a refresh": request(
            "POST", "/auth/token", FORM, body=b"refresh_token=x&grant_type=refresh_token"
        ),
        "names as a list": request(
            "POST", "/auth/token", JSON, body=as_json({"username": {"$ne": ""}, "password": {"$ne": ""}})
        ),
    }
    for name in (
        "root\0",
        "ｒｏｏｔ",
        "r\u043e\u043et",
        "root%00",
        "root ",
        " ROOT",
        "root'--",
        "root\u202e",
        "root\u200b",
        "\u212aoot",
        "*",
        "%",
        "../root",
    ):
        body = f"username={quote(name)}&password=not+the+password&grant_type=password".encode()
        found[f"sign-in as {name!a}"] = request("POST", "/auth/token", FORM, body=body)
    return found


@category
def odd_methods_and_headers(s: Scene) -> dict[str, Any]:
    own = s.by()
    found: dict[str, Any] = {
        f"{method} {target}": request(method, target, own)
        for method in ("TRACE", "PATCH", "PROPFIND", "OPTIONS", "LINK", "PURGE")
        for target in ("/info/", "/datastore/image", "/api/v1/models/current")
    }
    found |= {
        f"{method} {target} of the stock server": request(method, target, s.by("root"))
        for method, target in (
            ("GET", "/logs/"), ("GET", "/logs/?logfile=../../mrseg.db"), ("GET", "/proxy/dicom?url=http://127.0.0.1"),
            ("GET", "/reload"), ("GET", "/admin/reload/"), ("GET", "/docs"), ("GET", "/redoc"), ("GET", "/static/../main.py"),
            ("PUT", "/model/mrseg"), ("GET", "/model/mrseg"), ("DELETE", "/datastore/?id=x"), ("GET", "/datastore/download"),
            ("POST", "/scoring/sum"), ("POST", "/batch/infer/mrseg"), ("PUT", "/datastore/updatelabelinfo?label=x"),
            ("GET", "/ohif/"), ("GET", "/.env"), ("GET", "/mrseg.db"), ("GET", "/mrseg.toml"), ("GET", "//etc/passwd"),
            ("GET", "/info/..;/api/v1/audit"), ("GET", "/login"), ("GET", "/wado?url=file:///etc/passwd"),
        )
    }  # fmt: skip
    found |= {
        f"HEAD {target}": request("HEAD", target, own)
        for target in ("/api/v1/audit", "/metrics", "/api/v1/rounds/1/log", "/api/v1/models/bootstrap/archive")
    }
    found |= {
        f"the address {target}": request("GET", target, own)
        for target in ("//api/v1/audit", "/api/v1/./audit", "/api/v1/models/../audit", "/api/v1/models/%2e%2e/audit", "/API/V1/AUDIT",
                       "/api/v1/audit;x=/info/", "/api/v1/audit%00", "/api/v1/audit%2f", "/api/v1/audit/", "/api/v1/audit%20", "/info/%2e%2e/api/v1/audit",
                       "/auth/..%2fapi/v1/audit", "/api/v1/audit?/info/", "/api/v1/audit#/info/", "/api%2fv1%2faudit")
    }  # fmt: skip
    audit = "/api/v1/audit"
    preflight = (
        "Origin: https://evil.example",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: authorization",
    )
    found |= {
        "CONNECT": head("CONNECT", "127.0.0.1:22", own),
        "no such method": head("BREW", "/info/", own),
        "method of control characters": head("G\x01T", "/info/", own),
        "a method in lower case": head("get", "/info/", own),
        "HTTP/9.9": head("GET", "/info/", own).replace(b"HTTP/1.1", b"HTTP/9.9"),
        "HTTP/2 out of the blue": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "a blank in the address": head("GET", "/info/ /x", own),
        "no version": b"GET /info/\r\n\r\n",
        "space before the colon": head("GET", "/info/", "Authorization : Bearer x"),
        "folded header": head("GET", "/info/", f"X-A: b\r\n {own}"),
        "bare line feed in a header": head("GET", audit, "X-A: b\nAuthorization: Bearer x", own),
        "NUL in a header": head("GET", "/info/", own, "X-A: a\0b"),
        "bytes in the token": head("GET", "/info/", "Authorization: Bearer \xff\xfe"),
        "method override": request("GET", audit, own, "X-HTTP-Method-Override: POST", "X-HTTP-Method: DELETE"),
        "original address": request("GET", audit, own, "X-Original-URL: /info/", "X-Rewrite-URL: /info/"),
        "forwarded as from this machine": request(
            "GET", audit, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Forwarded-User: root", "Forwarded: for=127.0.0.1",
        ),
        "remote user": request("GET", audit, "Remote-User: root", "X-Remote-User: root", "X-Auth-Request-User: root", "X-Forwarded-Email: root"),
        "a role of one's own": request("GET", audit, own, "X-Role: admin", "X-User: root"),
        "preflight": request("OPTIONS", "/datastore/label", *preflight),
        "preflight with credentials": request("OPTIONS", "/datastore/label", *preflight, own, "Cookie: mrseg_session=x"),
        "preflight of a private network": request("OPTIONS", "/info/", *preflight, "Access-Control-Request-Private-Network: true"),
        "websocket": request("GET", "/info/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").replace(b"Connection: close\r\n", b""),
        "websocket, signed in": request("GET", "/info/", own, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").replace(b"Connection: close\r\n", b""),
        "another protocol": request("GET", audit, own, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "another protocol with a body": request("POST", "/activelearning/none", own, JSON, "Connection: Upgrade", "Upgrade: h2c", body=b"{}"),
        "range beyond the end": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=99999999-"),
        "range that is none": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=a-b"),
        "range backwards": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=9-1"),
        "two lengths": head("POST", "/activelearning/random", own, JSON, "Content-Length: 2", "Content-Length: 3") + b"{}}",
        "negative length": head("POST", "/activelearning/random", own, JSON, "Content-Length: -1"),
        "length in words": head("POST", "/activelearning/random", own, JSON, "Content-Length: two"),
        "length with a sign": head("POST", "/activelearning/random", own, JSON, "Content-Length: +2") + b"{}",
        "length beyond numbers": head("POST", "/activelearning/random", own, JSON, "Content-Length: 99999999999999999999999"),
        "length and chunks": head("POST", "/activelearning/random", own, JSON, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /api/v1/audit HTTP/1.1\r\n\r\n",
        "chunks and length": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n",
        "chunks, oddly spelt": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: xchunked", "Content-Length: 2") + b"{}",
        "chunks that are not last": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        "a chunk's size that is none": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
        "a chunk's size beyond numbers": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n{}",
        "absolute address of another host": head("GET", "http://evil.example/api/v1/audit", own),
        "absolute address without a path": head("GET", "http://evil.example", own),
        "an asterisk": head("OPTIONS", "*", own),
        "long address": request("GET", "/datastore/image?image=" + "a" * 9000, own),
        "very long address": request("GET", "/" + "a" * 60_000, own),
        "many parameters": request("GET", "/datastore/image?" + "&".join(f"image={n}" for n in range(900)), own),
        "large header": request("GET", "/info/", own, "X-A: " + "a" * 200_000),
        "many headers": request("GET", "/info/", own, *[f"X-{n}: {'a' * 50}" for n in range(5000)]),
        "parameter twice": request("GET", f"/datastore/image?image={s.own_ticket}&image=/etc/passwd", own),
        "letters that are none": request("GET", "/datastore/image?image=%c0%ae%c0%ae%c0%af", own),
        "a path of bytes": b"GET /\xff\xfe/../etc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "control characters in the path": request("GET", "/info/%0d%0aX-Injected:1", own),
        "line break in the query": request("GET", "/datastore/image?image=a%0d%0aX-Injected:%201&client_id=%0d%0aX-Injected:1", own),
        "line break in a client's name": request("GET", f"/datastore/image?image={s.own_ticket}&client_id=a%0d%0aX-Injected:1", own),
    }  # fmt: skip
    for limit in ("0", "-1", "501", "99999999999999999999999", "1e3", "NaN", "0x10", "١٠٠٠", ""):
        found[f"limit {limit!a}"] = request("GET", f"/api/v1/examinations?limit={quote(limit)}", own)
    for number in ("0", "-1", "2147483648", "99999999999999999999999", "1.5", "NaN", "1e2", "true"):
        found[f"round {number}"] = request("GET", f"/api/v1/rounds/{number}", own)
    cursors = (
        [], {}, None, "x", [1e308 * 10], ["2026-01-01T00:00:00+00:00"], ["2026-01-01T00:00:00", "x"], ["0001-01-01T00:00:00+14:00", "x"],
        ["9999-12-31T23:59:59-14:00", "x"], ["2026-01-01T00:00:00+00:00", 5], ["2026-01-01T00:00:00+00:00", "a\0"],
        ["2026-01-01T00:00:00+00:00", "\ud800"], [2**31], [-1], [2**70], [True], [[1]], [SQL[0], SQL[2]],
    )  # fmt: skip
    for cursor in cursors:
        for target in ("/api/v1/examinations", "/api/v1/rounds", "/api/v1/annotations"):
            text = base64url(cursor)
            found[f"cursor {cursor!a} of {target}"] = request("GET", f"{target}?cursor={text}", own)
    deep = base64url("[" * 250)
    found["deep cursor"] = request("GET", f"/api/v1/examinations?cursor={deep}", own)
    found["long cursor"] = request("GET", f"/api/v1/examinations?cursor={'A' * 3000}", own)
    return found


@category
def pages_and_their_forms(s: Scene) -> dict[str, Any]:
    """Another site's pages, names that are markup, answers that no identity provider sent."""
    cookie = f"Cookie: mrseg_session={s.tokens['mallory']}"
    own, html = "Origin: http://localhost", "Accept: text/html"
    good = f"username=mallory&password={quote(PASSWORD)}".encode()
    elsewhere = {
        "another site": "Origin: https://evil.example",
        "nowhere": "Origin: null",
        "who knows where": "X-A: b",
        "a name that begins alike": "Origin: http://localhost.evil.example",
        "a name that ends alike": "Origin: http://evil-localhost",
        "another port": "Origin: http://localhost:8080",
        "another scheme": "Origin: https://localhost",
        "a site beside": "Sec-Fetch-Site: same-site",
        "a referrer alone": "Referer: http://localhost/account",
    }
    forms = {
        "/account/sign-in": good,
        "/account/sign-out": b"",
        "/account/app-passwords": b"label=Slicer",
        f"/account/app-passwords/{s.app_password}/revoke": b"",
    }
    found = {
        f"{path} from {what}": request("POST", path, cookie, origin, html, FORM, body=body)
        for path, body in forms.items()
        for what, origin in elsewhere.items()
    }
    markup = "<script>alert(1)</script>"
    for name in (
        markup,
        '"><img src=x onerror=alert(1)>',
        "{{7*7}}",
        "{% raw %}",
        SQL[0],
        "a\0b",
        "a\r\nSet-Cookie: a=b",
        "x" * 5000,
    ):
        body = f"username={quote(name)}&password=x".encode()
        found[f"sign-in as {name[:30]!a}"] = request("POST", "/account/sign-in", own, html, FORM, body=body)
        found[f"app password for {name[:30]!a}"] = request(
            "POST", "/account/app-passwords", cookie, own, html, FORM, body=f"label={quote(name + chr(7))}".encode()
        )
    answers = ("", "?code=x&state=y", "?error=access_denied", f"?error={quote(markup)}&error_description={quote(markup)}",
               "?code=a&code=b&state=c", "?code=x&state=y&iss=https://evil.example", "?code=%0d%0aX-Injected:1&state=y")  # fmt: skip
    forged = base64.b64encode(
        b'{"_state_provider_y": {"data": {"redirect_uri": "https://evil.example"}, "exp": 9999999999}}'
    )
    for answer in answers:
        found[f"the provider's answer {answer}"] = request(
            "GET", f"/auth/oidc/callback{answer}", html, f"Cookie: mrseg_oidc={forged.decode()}.x.y"
        )
    found |= {
        "the way to a provider": request("GET", "/auth/oidc/login?redirect_uri=https://evil.example", html),
        "a page for a program": request("GET", "/account", s.by("robot"), html),
        "a page with a spoiled cookie, as a program": request("GET", "/account", "Cookie: mrseg_session=x"),
        "a path instead of an id": request("POST", "/account/app-passwords/..%2f..%2fetc/revoke", cookie, own, html, FORM, body=b""),
        "a page that is none": request("GET", f"/account/{quote(markup)}", cookie, html),
        "a style sheet's folder": request("GET", "/account/../../style.css", cookie, html),
        "a form as JSON": request("POST", "/account/sign-in", own, html, JSON, body=b'{"username": "root"}'),
        "a form of files": upload("POST", "/account/sign-in", own, html, name="a", content=b"x", field="username"),
    }  # fmt: skip
    return found


@pytest.mark.parametrize("name", CATEGORIES)
def test_each_is_refused_and_changes_nothing(scene: Scene, name: str) -> None:
    before = scene.state()
    wrong = []
    for what, data in CATEGORIES[name](scene).items():
        try:
            check(scene, what, data)
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"{what}: {error!s:.400}")
    assert not wrong, "\n".join([f"{len(wrong)} of {name}", *wrong])
    unchanged(scene, before)


def chunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n" % len(piece) + piece + b"\r\n"


def endless(piece: bytes) -> Iterator[bytes]:
    """Much more than anybody should take; not for ever, so that a server that takes it fails the test in time."""
    for _ in range(48 * MB // len(piece)):
        yield piece


def drip(first: bytes, piece: bytes, pause: float = 0.1, seconds: float = 4 * IDLE) -> Iterator[bytes]:
    """Little by little; stops some time after the server should have lost its patience."""
    yield first
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield piece


def start_of_upload(s: Scene, *headers: str, who: str = "mallory") -> bytes:
    target = f"/datastore/label?image={s.own_ticket}"
    begun = b'--b\r\nContent-Disposition: form-data; name="label"; filename="a.nii.gz"\r\n\r\n'
    body = b"%x\r\n" % len(begun) + begun + b"\r\n" if "Transfer-Encoding: chunked" in headers else begun
    return head("PUT", target, s.by(who), MULTIPART, *headers) + body


CHUNKED = "Transfer-Encoding: chunked"
PERSISTENT: dict[str, tuple[tuple[int, ...], Callable[[Scene], Body]]] = {
    "announced too large": ((413,), lambda s: start_of_upload(s, f"Content-Length: {5 * MB}")),
    "announced far too large": ((413,), lambda s: start_of_upload(s, f"Content-Length: {10**18}")),
    "announced too large, where no file is taken": (
        (413,),
        lambda s: head("POST", "/activelearning/random", s.by(), JSON, f"Content-Length: {2 * MB}"),
    ),
    "endless": (
        (413,),
        lambda s: _joined(start_of_upload(s, CHUNKED), chunked(endless(bytes(64 * 1024)))),
    ),
    "endless, where no file is taken": (
        (413,),
        lambda s: _joined(
            head("POST", "/activelearning/random", s.by(), JSON, CHUNKED), chunked(endless(b" " * 65536))
        ),
    ),
    "larger than announced": ((400, 422), lambda s: start_of_upload(s, "Content-Length: 40") + b"x" * 100_000),
    "announced and never sent": ((408,), lambda s: start_of_upload(s, "Content-Length: 1000")),
    "announced and never sent, as JSON": (
        (408,),
        lambda s: head("POST", "/activelearning/random", s.by(), JSON, "Content-Length: 1000"),
    ),
    "asks for leave and never sends": (
        (408,),
        lambda s: start_of_upload(s, "Content-Length: 1000", "Expect: 100-continue"),
    ),
    "a byte now and then": ((408,), lambda s: drip(start_of_upload(s, "Content-Length: 1000000"), b"x")),
    "a chunk of a byte now and then": ((408,), lambda s: drip(start_of_upload(s, CHUNKED), b"1\r\nx\r\n")),
    "an endless chunk extension": ((408, 413), lambda s: drip(start_of_upload(s, CHUNKED) + b"1;", b"x" * 100)),
    "endless trailers": (
        (0, 400, 408, 413, 422, 431),
        lambda s: drip(start_of_upload(s, CHUNKED) + b"0\r\n", b"X-A: a\r\n"),
    ),
    "a head now and then": ((408,), lambda s: drip(b"GET /info/ HTTP/1.1\r\nHost: localhost\r\n", b"X-A: a\r\n")),
    "a word now and then": ((408,), lambda s: drip(b"GET /in", b"f")),
    "empty lines for ever": ((0, 408), lambda s: drip(b"\r\n", b"\r\n")),
    "nothing at all": ((0, 408), lambda s: drip(b"", b"")),
    "an endless header": (
        (431,),
        lambda s: _joined(b"GET /info/ HTTP/1.1\r\nX-A: ", endless(b"a" * 16384)),
    ),
    "endless headers": (
        (431,),
        lambda s: _joined(b"GET /info/ HTTP/1.1\r\n", endless(b"X-A: a\r\n" * 2048)),
    ),
    "an endless address": ((400, 431), lambda s: _joined(b"GET /", endless(b"a" * 16384))),
    "a stranger's 100 MB": (
        (401,),
        lambda s: _joined(
            request("PUT", "/datastore/label?image=x", MULTIPART, f"Content-Length: {100 * MB}"),
            iter([bytes(MB)] * 100),
        ),
    ),
    "a stranger's endless body": (
        (401,),
        lambda s: _joined(head("PUT", "/datastore/", MULTIPART, CHUNKED), chunked(endless(bytes(65536)))),
    ),
    "a stranger's slow body": (
        (401,),
        lambda s: drip(head("PUT", "/datastore/", MULTIPART, "Content-Length: 10000000"), b"x"),
    ),
    "an endless sign-in": (
        (400, 413),
        lambda s: _joined(head("POST", "/auth/token", FORM, CHUNKED), chunked(endless(b"username=a&" * 5000))),
    ),
}


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def test_bodies_and_heads_that_are_too_large_or_too_slow(scene: Scene) -> None:
    """All at once: each waits for the server's patience, and none makes the others wait."""
    before = scene.state()
    wrong: list[str] = []

    def attempt(what: str, statuses: tuple[int, ...], make: Callable[[Scene], Body]) -> None:
        begun = time.monotonic()
        try:
            reply = check(scene, what, make(scene), statuses)
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"{what}: {error!s:.300}")
            return
        if reply.sent > 32 * MB:
            wrong.append(f"{what}: {reply.sent:,} bytes were taken")
        if time.monotonic() - begun > 10 * IDLE:
            wrong.append(f"{what}: the connection was held for {time.monotonic() - begun:.1f} s")

    with ThreadPoolExecutor(len(PERSISTENT)) as pool:
        for what, (statuses, make) in PERSISTENT.items():
            pool.submit(attempt, what, statuses, make).add_done_callback(lambda done: done.result())
        assert scene.server.http.get("/info/", headers={"Authorization": scene.by()[15:]}).status_code == 200
    assert not wrong, "\n".join(wrong)
    unchanged(scene, before)


def test_a_connection_is_not_held_by_a_body_nobody_wants(scene: Scene) -> None:
    """The answer comes first, then the end: a client that sends on for ever is not listened to for ever."""
    with socket.create_connection(("127.0.0.1", scene.port), timeout=20) as connection:
        connection.sendall(
            head("PUT", "/datastore/", MULTIPART, "Content-Length: 10000000").replace(b"close", b"keep-alive")
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            for _ in range(200):
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - begun < 4 * IDLE


def test_a_strangers_upload_is_not_received(scene: Scene) -> None:
    """What comes after the answer is dropped, up to a limit, and the connection with it."""
    before, taken = scene.state(), 0
    with socket.create_connection(("127.0.0.1", scene.port), timeout=20) as connection:
        announced = head("PUT", "/datastore/", MULTIPART, f"Content-Length: {100 * MB}")
        connection.sendall(announced.replace(b"close", b"keep-alive"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")  # before a byte of it was sent
        with pytest.raises(ConnectionError):
            for _ in range(100):
                connection.sendall(bytes(MB))
                taken += 1
    assert taken < 32
    unchanged(scene, before)


def test_one_connection_serves_many_requests(scene: Scene) -> None:
    """What keeps connections short does so with those alone that deserve it."""
    large = bytes(300_000)  # more than a head may have
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    authorization = {"Authorization": scene.by().partition(": ")[2]}
    connection.connect()
    own = connection.sock
    for pause in (0, 0, IDLE * 1.2, 0):
        time.sleep(pause)
        connection.request("PUT", "/datastore/image?image=a", body=large, headers=authorization)
        reply = connection.getresponse()
        assert (reply.status, b"file" in reply.read()) == (422, True)
        connection.request("GET", "/info/", headers=authorization)
        assert connection.getresponse().read().startswith(b"{")
        connection.request("PUT", "/datastore/image?image=a", body=large)  # refused before the body is read
        reply = connection.getresponse()
        assert (reply.status, b"sign in" in reply.read()) == (401, True)
    assert connection.sock is own
    connection.close()


def test_smuggled_requests_are_not_answered(scene: Scene) -> None:
    """Length and chunks together: whatever is made of the first request, the second one is none."""
    second = request("GET", "/api/v1/audit", scene.by("root"))
    for lines in (
        ("Content-Length: {}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: {}"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: {}"),
        ("Transfer-Encoding: \x0bchunked", "Content-Length: {}"),
        ("Content-Length: 0", "Content-Length: {}"),
        ("Content-Length: 0{}",),
    ):
        given = [line.format(len(second)) for line in lines]
        first = head("POST", "/activelearning/none", scene.by(), JSON, *given).replace(b"Connection: close\r\n", b"")
        with socket.create_connection(("127.0.0.1", scene.port), timeout=1.5) as connection:
            connection.sendall(first + (b"0\r\n\r\n" if "Transfer-Encoding: chunked" in lines else b"") + second)
            answer = b""
            with contextlib.suppress(ConnectionError, TimeoutError):  # one is kept open
                while piece := connection.recv(65536):
                    answer += piece
        SENT.append(f"smuggled by {lines}")
        assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
        assert b" 200 " not in answer and b"items" not in answer


def test_forwarded_addresses_do_not_help_to_guess(scene: Scene) -> None:
    """Who guesses is slowed down whatever address the request says it comes from."""
    accounts.add(scene.server.catalog, "victim", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    codes = []
    for n in range(10):
        forwarded = (f"X-Forwarded-For: 10.0.0.{n}", f"X-Real-IP: 10.0.0.{n}", f"Forwarded: for=10.0.0.{n}")
        body = b"username=victim&password=guess+number+%d" % n
        codes.append(check(scene, f"guess {n}", request("POST", "/auth/token", FORM, *forwarded, body=body)).status)
    assert codes[:5] == [401] * 5 and codes[-4:] == [429] * 4


def test_a_role_is_not_asked_for(scene: Scene) -> None:
    """Nothing in a good sign-in makes a reader an admin."""
    more = {"role": "admin", "scope": "admin monailabel-admin", "user": "root", "client_id": "root"}
    reply = scene.server.http.post("/auth/token", data={"username": "mallory", "password": PASSWORD, **more})
    token = {"Authorization": f"Bearer {reply.json()['access_token']}"}
    assert scene.server.http.get("/auth/token/valid", headers=token).json()["username"] == "mallory"
    assert scene.server.http.get("/api/v1/audit", headers=token).status_code == 403


def test_what_is_shown_on_a_page_is_text(scene: Scene) -> None:
    """Markup in the words for an app password is shown, not obeyed; another's is not ended, nor is it told of."""
    authorization = {"Authorization": scene.by("rita").partition(": ")[2]}
    label = "<script>alert(1)</script>"
    assert (
        scene.server.http.post("/auth/app-passwords", headers=authorization, json={"label": label}).status_code == 201
    )
    shown = scene.server.http.get("/account", headers=authorization)
    assert shown.status_code == 200 and "&lt;script&gt;" in shown.text and "<script" not in shown.text
    assert "script-src" not in shown.headers["content-security-policy"]
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    before = scene.state()
    path = f"/account/app-passwords/{scene.app_password}/revoke"
    for_another = request("POST", path, scene.by("rita"), "Origin: http://localhost", FORM, body=b"")
    mine = exchange(scene.port, for_another)
    none = exchange(scene.port, for_another.replace(scene.app_password.encode(), b"cr-" + b"0" * 16))
    assert (mine.status, mine.body) == (none.status, none.body)
    unchanged(scene, before)


def test_names_that_are_sql_are_names(scene: Scene) -> None:
    """A client may call itself what it likes: it is kept as it is, and is nobody's user."""
    name = "Robert'); DROP TABLE leases;--"
    authorization = {"Authorization": scene.by("rita").partition(": ")[2]}
    case = scene.server.http.post("/activelearning/sequential", headers=authorization, json={"client_id": name}).json()
    with scene.server.catalog.read() as session:
        assignment = session.query(Assignment).filter_by(ticket=case["id"]).one()
        assert (assignment.client, assignment.account) == (name, "rita")


@pytest.mark.parametrize(
    "name", ["/etc/passwd/../label.nii.gz", "C:\\Users\\..\\label.nii.gz", "../../../../tmp/pwned.nii.gz", "a.nii.gz/"]
)
def test_a_path_as_file_name_is_what_slicer_sends(scene: Scene, name: str) -> None:
    """Accepted, as its suffix alone counts; and the watch that nothing else changes does see a change."""
    before = scene.state()
    names = [{"name": item} for item in scene.server.workspace.scheme.label_names]
    names = names[len(name) :] + names[: len(name)]  # another mask each time: the same one again would be no change
    data = upload(
        "PUT", f"/datastore/label?image={scene.own_ticket}", scene.by(), name=name.replace("\\", "\\\\"),
        content=scene.label, field="label", params={"label_info": names},
    )  # fmt: skip
    reply = exchange(scene.port, data)
    assert reply.status == 200, reply.body
    after = scene.state()
    assert after.rows != before.rows and set(after.inside) > set(before.inside) and after.outside == before.outside
    new = [Path(path) for path in set(after.inside) - set(before.inside)]
    assert not any("pwned" in str(path) or "passwd" in str(path) for path in new)


def test_nothing_of_it_is_left(scene: Scene) -> None:
    """Enough was tried, the log tells of no mistake and no secret, and the server goes on."""
    print(f"{len(SENT)} hostile requests, {len(set(SENT))} of them different")
    assert len(set(SENT)) >= 60
    log = (scene.folder / "serve.log").read_text(errors="replace")
    assert "Traceback" not in log and "made a mistake" not in log
    for secret in (scene.ticket, scene.own_ticket, *scene.tokens.values(), PASSWORD, "/etc/passwd"):
        assert secret not in log
    assert not list((scene.folder / "temporary").iterdir())
    assert not [path for path in files(scene.folder) if "pwned" in path]
    assert not Path("pwned").exists()
    assert scene.server.http.get("/readyz").status_code == 200
