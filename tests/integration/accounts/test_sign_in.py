"""Sign-in: who gets in, with what, and for how long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlretrieve

import jwt
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import AccessToken, Annotation, Assignment, AuditEvent
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.ids import new_id
from mrseg_label.worklist.requests import Purpose, request_case
from tests.integration.conftest import PASSWORD, Guarded


@pytest.fixture
def person(guarded: Guarded) -> Callable[..., str]:
    """Makes a new account."""

    def make(role: Role = Role.RADIOLOGIST) -> str:
        return accounts.add(guarded.catalog, new_id("u").replace("-", "."), role, password=PASSWORD, actor="test").name

    return make


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_token_says_who_and_lasts_a_working_day(guarded: Guarded) -> None:
    reply = guarded.http.post("/auth/token", data={"username": "Reviewer", "password": PASSWORD})
    answer = reply.json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 10 * 3600)
    valid = guarded.http.get("/auth/token/valid", headers=bearer(answer["access_token"])).json()
    assert valid["username"] == "reviewer" and "monailabel-reviewer" in valid["roles"]
    assert "monailabel-admin" not in valid["roles"]
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["preferred_username"] == "reviewer" and claims["realm_access"]["roles"] == valid["roles"]
    assert claims["exp"] - claims["iat"] == 10 * 3600
    assert guarded.http.get("/auth/").json()["enabled"] is True


@pytest.mark.parametrize("name", ["radiologist", "nobody-of-that-name", "x' OR '1'='1", "", "a" * 300])
def test_a_wrong_name_or_password_is_one_answer(guarded: Guarded, name: str) -> None:
    reply = guarded.http.post("/auth/token", data={"username": name, "password": "wrong" * 4})
    if name:
        assert (reply.status_code, reply.json()) == (401, {"detail": "wrong name or password"})
        assert reply.headers["www-authenticate"] == "Bearer"
    else:
        assert reply.status_code in (401, 422)


def test_guessing_gets_slow_for_the_guesser_alone(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    replies = [
        guarded.http.post("/auth/token", data={"username": name, "password": f"guess {n} of many"}) for n in range(8)
    ]
    codes = [reply.status_code for reply in replies]
    assert codes[:5] == [401] * 5 and 429 in codes[5:]
    assert int(replies[-1].headers["retry-after"]) >= 1
    # The right password has to wait as well, or the delay would tell that it is the right one.
    assert guarded.http.post("/auth/token", data={"username": name, "password": PASSWORD}).status_code == 429
    assert guarded.sign_in("radiologist")  # nobody else waits
    time.sleep(int(replies[-1].headers["retry-after"]) + 0.2)
    assert guarded.sign_in(name)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer x",
        "Bearer",
        "Basic cmFkaW9sb2dpc3Q6Zm91ciB3b3Jkcw==",
        "bearer a.b.c",
        "Bearer mrseg-key-0000",
        "Bearer " + "x" * 5000,
        "Token x",
    ],
)
def test_what_is_no_token_of_ours_opens_nothing(guarded: Guarded, header: str) -> None:
    assert guarded.http.get("/info/", headers={"Authorization": header}).status_code == 401


def test_forged_tokens_open_nothing(guarded: Guarded) -> None:
    good = guarded.tokens[Role.ADMIN]
    claims = jwt.decode(good, options={"verify_signature": False})
    secret = tokens.signing_secret(guarded.catalog)
    moment = int(time.time())
    unknown = {**claims, "jti": new_id("tk")}
    forged = {
        "another secret": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "no signature": jwt.encode(claims, "", algorithm="none"),
        "another algorithm": jwt.encode(claims, secret, algorithm="HS512"),
        "expired": jwt.encode({**claims, "exp": moment - 1}, secret, algorithm="HS256"),
        "another issuer": jwt.encode({**claims, "iss": "https://evil.example"}, secret, algorithm="HS256"),
        "another audience": jwt.encode({**claims, "aud": "other"}, secret, algorithm="HS256"),
        "no row": jwt.encode(unknown, secret, algorithm="HS256"),
        "another subject": jwt.encode({**claims, "sub": "radiologist"}, secret, algorithm="HS256"),
        "no end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, algorithm="HS256"),
        "a number as id": jwt.encode({**claims, "jti": 7}, secret, algorithm="HS256"),
        "cut": good[:-4],
    }
    assert guarded.http.get("/info/", headers=bearer(good)).status_code == 200
    for what, token in forged.items():
        assert guarded.http.get("/info/", headers=bearer(token)).status_code == 401, what
    two = [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer x")]
    assert guarded.http.get("/info/", headers=two).status_code == 401


def test_tokens_end_by_time_sign_out_password_and_disabling(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    catalog = guarded.catalog

    def works(token: str) -> bool:
        return guarded.http.get("/info/", headers=bearer(token)).status_code == 200

    old, other = guarded.sign_in(name), guarded.sign_in(name)
    with catalog.begin() as session:
        row = session.get_one(AccessToken, jwt.decode(old, options={"verify_signature": False})["jti"])
        row.expires_at = now() - timedelta(seconds=1)
    assert not works(old) and works(other)
    assert guarded.http.delete("/auth/token", headers=bearer(other)).status_code == 204
    assert not works(other)
    token = guarded.sign_in(name)
    accounts.set_password(catalog, name, "quite another secret", actor="test")
    assert not works(token)
    token = guarded.sign_in(name, "quite another secret")
    accounts.sign_out(catalog, name, actor="test")
    assert not works(token)
    token = guarded.sign_in(name, "quite another secret")
    accounts.disable(catalog, name, actor="test")
    refused = guarded.http.get("/info/", headers=bearer(token))
    assert refused.status_code == 401 and "disabled" in refused.json()["detail"]
    again = guarded.http.post("/auth/token", data={"username": name, "password": "quite another secret"})
    assert again.status_code == 401 and "disabled" in again.json()["detail"]
    wrong = guarded.http.post("/auth/token", data={"username": name, "password": "not the secret at all"})
    assert "disabled" not in wrong.json()["detail"]  # only who knows the password learns it
    accounts.enable(catalog, name, actor="test")
    assert not works(token) and works(guarded.sign_in(name, "quite another secret"))


def test_a_role_holds_from_the_next_request_on(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    token = guarded.sign_in(name)
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 403
    accounts.set_role(guarded.catalog, name, Role.ADMIN, actor="test")
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 200
    accounts.set_role(guarded.catalog, name, Role.RADIOLOGIST, actor="test")
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 403


def test_api_keys_are_revocable_and_of_programs_alone(guarded: Guarded, person: Callable[..., str]) -> None:
    catalog = guarded.catalog
    made, key = credentials.make(catalog, "service", CredentialKind.API_KEY, "a program", actor="test")
    assert guarded.http.get("/api/v1/models", headers=bearer(key)).status_code == 200
    assert guarded.http.post("/activelearning/random", headers=bearer(key), json={}).status_code == 403
    credentials.revoke(catalog, made.id, actor="test")
    assert guarded.http.get("/api/v1/models", headers=bearer(key)).status_code == 401
    assert made.last_used_at is None  # the row as it was made; the table has noted the use
    noted = {item.id: item.last_used_at for item in credentials.listing(catalog, "service")}
    assert noted[made.id] is not None
    with pytest.raises(InvalidInput, match="programs"):
        credentials.make(catalog, person(), CredentialKind.API_KEY, "x", actor="test")
    with pytest.raises(InvalidInput, match="keys and no password"):
        accounts.add(catalog, "other.program", Role.SERVICE, password=PASSWORD, actor="test")


def test_app_passwords_open_slicers_form_until_they_are_revoked(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    mine = bearer(guarded.sign_in(name))
    made = guarded.http.post("/auth/app-passwords", headers=mine, json={"label": "Slicer, room 3"})
    assert made.status_code == 201
    secret = made.json()["password"]
    token = guarded.sign_in(name, secret)
    listed = guarded.http.get("/auth/app-passwords", headers=mine).json()["items"]
    assert [(item["label"], item["password"], item["revoked"]) for item in listed] == [("Slicer, room 3", None, None)]
    assert listed[0]["last_used"] is not None
    other = bearer(guarded.sign_in(person()))
    path = f"/auth/app-passwords/{made.json()['id']}"
    assert guarded.http.delete(path, headers=other).status_code == 404
    more = guarded.http.post("/auth/app-passwords", headers=bearer(token), json={"label": "another"})
    assert more.status_code == 403  # one that leaked makes no others
    wrong_owner = guarded.http.post("/auth/token", data={"username": person(), "password": secret})
    assert wrong_owner.status_code == 401
    assert guarded.http.delete(path, headers=mine).status_code == 204
    assert guarded.http.get("/info/", headers=bearer(token)).status_code == 401
    assert guarded.http.post("/auth/token", data={"username": name, "password": secret}).status_code == 401


def test_names_and_passwords_have_rules(guarded: Guarded) -> None:
    catalog = guarded.catalog
    for bad in ("", "a b", "ä", "../x", "anonymous", "user-xyz", "x" * 65, "a\nb", "-x"):
        with pytest.raises(InvalidInput, match="cannot be the name"):
            accounts.add(catalog, bad, Role.ADMIN, password=PASSWORD, actor="test")
    for bad in ("short", "x" * 300, "aaaaaaaaaaaaaaaa", "weak.weak.weak.weak"):
        with pytest.raises(InvalidInput, match="password"):
            accounts.add(catalog, "weak.", Role.ADMIN, password=bad, actor="test")
    with pytest.raises(Conflict, match="already"):
        accounts.add(catalog, "ADMIN", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    stored = {item.name: item.password_hash for item in accounts.listing(catalog)}
    assert (stored["admin"] or "").startswith("$argon2id$")


def test_the_last_admin_stays(guarded: Guarded) -> None:
    with pytest.raises(Conflict, match="last admin"):
        accounts.disable(guarded.catalog, "admin", actor="test")
    with pytest.raises(Conflict, match="last admin"):
        accounts.set_role(guarded.catalog, "admin", Role.REVIEWER, actor="test")


def take(guarded: Guarded, token: str) -> dict[str, str]:
    reply = guarded.http.post("/activelearning/sequential", headers=bearer(token), json={"client_id": "user-xyz"})
    assert reply.status_code == 200, reply.text
    case: dict[str, str] = reply.json()
    return case


def url(guarded: Guarded, image: str) -> str:
    return f"{guarded.url}/datastore/image?image={image}"


def test_urlretrieve_opens_a_case_by_its_ticket(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    name = person()
    token = guarded.sign_in(name)
    case = take(guarded, token)
    ticket = case["id"]
    assert not ticket.startswith("ex-") and len(ticket) >= 22  # 128 bits
    target, _ = urlretrieve(url(guarded, ticket), tmp_path / case["name"])
    with guarded.catalog.read() as session:
        assignment = session.query(Assignment).filter_by(ticket=ticket).one()
        assert (assignment.account, assignment.client) == (name, "user-xyz")
    examination = case["name"].removesuffix(".nii.gz")
    assert sitk.ReadImage(str(target)).GetSize() == sitk.ReadImage(str(guarded.images[examination])).GetSize()
    # The ticket opens that image and nothing else.
    strangers = {
        "the id of an image": url(guarded, examination),
        "a ticket that was never given": url(guarded, "A" * 32),
        "two images": url(guarded, ticket) + f"&image={examination}",
        "what is known of the image": f"{guarded.url}/datastore/image/info?image={ticket}",
        "its draft": f"{guarded.url}/datastore/label?label={ticket}&tag=original",
        "the examination": f"{guarded.url}/api/v1/examinations/{examination}",
    }
    for what, address in strangers.items():
        with pytest.raises(HTTPError) as refused:
            urlretrieve(address, tmp_path / "none")
        assert refused.value.code in (401, 422), what
    log = (guarded.workspace.root.parent / "serve.log").read_text()
    assert ticket not in log and token not in log and PASSWORD not in log and "/datastore" not in log
    # Who has signed in has no use for another's ticket.
    other = bearer(guarded.sign_in(person()))
    assert guarded.http.get(url(guarded, ticket), headers=other).status_code == 404
    # The whole listing is the reader's own cases, under their tickets.
    listing = guarded.http.get("/datastore/", params={"output": "all"}, headers=bearer(token)).json()
    assert list(listing["objects"]) == [ticket]
    names = listing["objects"][ticket]["labels"]["original"]["info"]["params"]["label_names"]
    assert names == guarded.workspace.scheme.label_names
    assert guarded.http.get("/datastore/", params={"output": "all"}, headers=other).json()["objects"] == {}
    label = guarded.http.get("/datastore/label", params={"label": ticket, "tag": "original"}, headers=bearer(token))
    assert label.status_code == 200


def submit(guarded: Guarded, token: str, ticket: str, tmp_path: Path, **params: object) -> tuple[int, dict[str, str]]:
    """Send the draft of a case back as the correction."""
    reply = guarded.http.post(f"/infer/mrseg?image={ticket}", headers=bearer(token), data={"params": "{}"})
    assert reply.status_code == 200, reply.text
    presegmentation = guarded.http.get(
        "/datastore/label", params={"label": ticket, "tag": "original"}, headers=bearer(token)
    )
    file = tmp_path / "label.nii.gz"
    file.write_bytes(presegmentation.content)
    info = [{"name": name, "idx": index} for index, name in enumerate(guarded.workspace.scheme.label_names, start=1)]
    answer = guarded.http.put(
        "/datastore/label",
        params={"image": ticket},
        headers=bearer(token),
        files={"label": ("C:\\Temp\\label.nii.gz", file.read_bytes())},
        data={"params": json.dumps({"label_info": info, **params})},
    )
    return answer.status_code, answer.json()


def test_the_ticket_lives_through_submissions_and_the_author_is_who_signed_in(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    name, other = person(), person()
    token = guarded.sign_in(name)
    ticket = take(guarded, token)["id"]
    assert submit(guarded, token, ticket, tmp_path, client_id=other)[0] == 200
    assert submit(guarded, token, ticket, tmp_path, client_id="chief", mrseg_caller="admin", user="admin")[0] == 200
    with guarded.catalog.read() as session:
        case = session.query(Assignment).filter_by(ticket=ticket).one().acquisition_id
        found = session.query(Annotation).filter_by(acquisition_id=case).all()
        assert {(row.author, row.client) for row in found} <= {(name, other), (name, "chief")} and found
    assert urlretrieve(url(guarded, ticket), tmp_path / "image.nii.gz")
    accounts.disable(guarded.catalog, name, actor="test")
    with pytest.raises(HTTPError) as refused:
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert refused.value.code == 401
    accounts.enable(guarded.catalog, name, actor="test")
    with pytest.raises(HTTPError):  # it has ended for good
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert urlretrieve(url(guarded, take(guarded, guarded.sign_in(name))["id"]), tmp_path / "image.nii.gz")


def test_a_ticket_ends_with_its_time(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    ticket = take(guarded, guarded.sign_in(person()))["id"]
    with guarded.catalog.begin() as session:
        session.query(Assignment).filter_by(ticket=ticket).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(HTTPError) as refused:
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert refused.value.code == 401


def test_a_released_case_is_closed_to_its_ticket(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    token = guarded.sign_in(person())
    case = take(guarded, token)
    examination = case["name"].removesuffix(".nii.gz")
    released = guarded.http.post(f"/api/v1/examinations/{examination}/release", headers=bearer(token), json={})
    assert released.status_code == 200
    with pytest.raises(HTTPError):
        urlretrieve(url(guarded, case["id"]), tmp_path / "none")
    for image in (case["id"], examination):
        refused = guarded.http.get(url(guarded, image), headers=bearer(token))
        assert refused.status_code in (403, 404)
        stranger = guarded.sign_in(person())
        assert submit_refused(guarded, stranger, image)
    assert guarded.http.get(url(guarded, examination), headers=guarded.as_(Role.REVIEWER)).status_code == 200


def submit_refused(guarded: Guarded, token: str, image: str) -> bool:
    files = {"label": ("label.nii.gz", b"x")}
    reply = guarded.http.put("/datastore/label", params={"image": image}, headers=bearer(token), files=files)
    return reply.status_code in (403, 404)


def test_a_reader_holds_three_cases_at_most(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    token = guarded.sign_in(person())
    tickets = [take(guarded, token)["id"] for _ in range(4)]
    with pytest.raises(HTTPError):
        urlretrieve(url(guarded, tickets[0]), tmp_path / "none")
    for ticket in tickets[1:]:
        assert urlretrieve(url(guarded, ticket), tmp_path / "image.nii.gz")


def test_work_on_a_case_that_was_released_meanwhile_is_kept_as_a_further_reading(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    """Next, Next, Next, Next in Slicer, and then back to the first case."""
    late, other = person(), person()
    token = guarded.sign_in(late)
    first, *_ = (take(guarded, token) for _ in range(4))
    examination = first["name"].removesuffix(".nii.gz")
    mask = guarded.http.get(url(guarded, examination), headers=guarded.as_(Role.REVIEWER)).content
    (tmp_path / "image.nii.gz").write_bytes(mask)
    image = nib.load(tmp_path / "image.nii.gz")

    def send(name: str, ticket: str, structure: str) -> None:
        nib.save(nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine), tmp_path / "label.nii.gz")
        reply = guarded.http.put(
            "/datastore/label",
            params={"image": ticket},
            headers=bearer(guarded.sign_in(name)),
            files={"label": ("label.nii.gz", (tmp_path / "label.nii.gz").read_bytes())},
            data={"params": json.dumps({"label_info": [{"name": structure}]})},
        )
        assert reply.status_code == 200, reply.text

    with guarded.catalog.read() as session:
        case = session.query(Assignment).filter_by(ticket=first["id"]).one().acquisition_id
    requested(guarded, case, other)
    send(other, take(guarded, guarded.sign_in(other))["id"], "liver")
    send(late, first["id"], "spleen")
    with guarded.catalog.read() as session:
        found = session.query(Annotation).filter_by(acquisition_id=case).order_by(Annotation.number).all()
    assert [(row.author, row.is_final) for row in found] == [(other, True), (late, False)]
    with pytest.raises(HTTPError):  # it opens nothing all the same
        urlretrieve(url(guarded, first["id"]), tmp_path / "none")


def requested(guarded: Guarded, acquisition: str, reader: str) -> None:
    """Let a reader's next case be this one."""
    request_case(guarded.workspace, Reader("user-xyz", reader), Purpose.CORRECT, acquisition)


def test_writes_and_sign_ins_are_in_the_audit_trail(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    name = person()
    token = guarded.sign_in(name)
    guarded.http.post("/auth/token", data={"username": name, "password": "not the secret at all"})
    guarded.http.post("/auth/token", data={"username": "my secret password", "password": "x"})
    ticket = take(guarded, token)["id"]
    submit(guarded, token, ticket, tmp_path)
    with guarded.catalog.read() as session:
        mine = [event.action for event in audit.page(session, 20, actor=name)]
        everything = [str(vars(event)) for event in session.query(AuditEvent)]
    assert {"sign-in", "sign-in.failed", "assigned"} <= set(mine) and len(mine) >= 4
    assert not any("my secret password" in event or ticket in event or token in event for event in everything)
    trail = guarded.http.get("/api/v1/audit", params={"actor": name}, headers=guarded.as_(Role.ADMIN)).json()
    assert [event["action"] for event in trail["items"]] == mine


def test_every_write_over_http_is_an_audit_event_of_who_signed_in(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    reader, reviewer, admin = person(), person(Role.REVIEWER), person(Role.ADMIN)
    signed = {name: guarded.sign_in(name) for name in (reader, reviewer, admin)}

    def written(name: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with guarded.catalog.read() as session:
            before = session.query(AuditEvent).filter_by(actor=name).count()
        reply = guarded.http.request(method, path, headers=bearer(signed[name]), **arguments)
        assert reply.is_success, f"{method} {path}: {reply.text}"
        with guarded.catalog.read() as session:
            assert session.query(AuditEvent).filter_by(actor=name).count() > before, f"{method} {path}"
        return reply.json() if reply.content else {}

    image = next(iter(guarded.images.values())).read_bytes()
    altered = tmp_path / "own.nii.gz"
    altered.write_bytes(image)
    own = sitk.ReadImage(str(altered)) + 1
    sitk.WriteImage(own, str(altered))
    written(reader, "PUT", "/datastore/?image=own scan", files={"file": ("own.nii.gz", altered.read_bytes())})
    sample = written(reader, "POST", "/activelearning/sequential", json={})
    examination = str(sample["name"]).removesuffix(".nii.gz")
    assert submit(guarded, signed[reader], str(sample["id"]), tmp_path)[0] == 200
    with guarded.catalog.read() as session:
        events = [event.action for event in session.query(AuditEvent).filter_by(actor=reader)]
        annotation = session.query(Annotation).filter_by(author=reader).one().id
    assert "submitted" in events
    again = {"purpose": "correct", "examination": examination}
    written(reader, "POST", "/api/v1/examinations/hand-out", json=again)
    written(reader, "POST", f"/api/v1/examinations/{examination}/release", json={})
    written(reader, "POST", f"/api/v1/annotations/{annotation}/withdraw", json={"comment": "wrong side"})
    written(reviewer, "POST", f"/api/v1/annotations/{annotation}/restore", json={})
    other = written(reader, "POST", "/activelearning/sequential", json={})
    other_id = str(other["name"]).removesuffix(".nii.gz")
    written(reader, "POST", f"/api/v1/examinations/{other_id}/unusable", json={"reason": "motion"})
    number = written(admin, "POST", "/api/v1/rounds")["number"]
    written(admin, "POST", f"/api/v1/rounds/{number}/cancel")
    made = written(reader, "POST", "/auth/app-passwords", json={"label": "Slicer"})
    written(reader, "DELETE", f"/auth/app-passwords/{made['id']}")
    written(reader, "DELETE", "/auth/token")


def test_a_radiologist_sees_their_own_submissions_alone(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    mine, other = guarded.sign_in(name := person()), guarded.sign_in(person())
    sample = take(guarded, mine)
    assert submit(guarded, mine, sample["id"], tmp_path)[0] == 200
    (found,) = guarded.http.get("/api/v1/annotations", headers=bearer(mine)).json()["items"]
    assert found["author"] == name
    examination = sample["name"].removesuffix(".nii.gz")
    for path in (f"/api/v1/annotations/{found['id']}", f"/api/v1/annotations/{found['id']}/mask"):
        assert guarded.http.get(path, headers=bearer(mine)).status_code == 200
        assert guarded.http.get(path, headers=bearer(other)).status_code == 403
        assert guarded.http.get(path, headers=guarded.as_(Role.REVIEWER)).status_code == 200
    asked = guarded.http.get("/api/v1/annotations", params={"author": name}, headers=bearer(other)).json()
    assert asked["items"] == []
    listed = guarded.http.get(f"/api/v1/examinations/{examination}/annotations", headers=bearer(other)).json()
    assert listed["items"] == []
    for action in ("withdraw", "accept", "reject", "restore"):
        path = f"/api/v1/annotations/{found['id']}/{action}"
        assert guarded.http.post(path, headers=bearer(other), json={"comment": "x"}).status_code == 403
    path = f"/api/v1/examinations/{examination}/unusable"
    assert guarded.http.post(path, headers=bearer(other), json={"reason": "mine"}).status_code == 403
    seen = guarded.http.get(f"/api/v1/examinations/{examination}", headers=bearer(mine)).json()
    assert seen["source"] is None
    assert guarded.http.get(f"/api/v1/examinations/{examination}", headers=guarded.as_(Role.ADMIN)).json()["source"]
    review = {"purpose": "review"}
    assert guarded.http.post("/api/v1/examinations/hand-out", headers=bearer(other), json=review).status_code == 403


@pytest.mark.parametrize(
    "charset", ["punycode", "unicode_escape", "utf-7", "latin-1", '"idna"', "utf-8; charset=punycode"]
)
def test_no_client_chooses_the_codec_that_runs_in_the_server(guarded: Guarded, charset: str) -> None:
    """A megabyte of punycode kept the event loop for 28 s."""
    for kind in ("multipart/form-data; boundary=b", "application/x-www-form-urlencoded"):
        field = b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n' + b"a" * 900_000 + b"\r\n--b--\r\n"
        headers = {"Content-Type": f"{kind}; charset={charset}"}
        assert guarded.http.post("/auth/token", content=field, headers=headers).status_code == 415
    good = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    form = f"username=radiologist&password={PASSWORD}".replace(" ", "+").encode()
    assert guarded.http.post("/auth/token", content=form, headers=good).status_code == 200


def test_another_applications_cookies_do_not_matter(guarded: Guarded) -> None:
    token = guarded.tokens[Role.RADIOLOGIST]
    for cookie in (
        f"mrseg_session={token}",
        f'odd="x;y; a b=c; ; mrseg_session={token}',
        f"a=b;mrseg_session={token};c=d",
    ):
        assert guarded.http.get("/info/", headers={"Cookie": cookie}).status_code == 200
    for cookie in ('a="' + '\\"' * 20_000 + '"', "mrseg_session=", "mrseg_session=x", "xmrseg_session=" + token):
        assert guarded.http.get("/info/", headers={"Cookie": cookie}).status_code == 401
    large = {"Cookie": 'a="' + '\\"' * 20_000 + '"'}
    assert guarded.http.get("/auth/oidc/login", headers=large).status_code == 431
    changing = {"Cookie": f"mrseg_session={token}"}
    assert guarded.http.post("/activelearning/random", json={}, headers=changing).status_code == 403
    foreign = changing | {"Origin": "https://evil.example"}
    assert guarded.http.post("/activelearning/random", json={}, headers=foreign).status_code == 403
