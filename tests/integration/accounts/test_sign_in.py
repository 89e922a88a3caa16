"""Sign-in with passwords, tokens, API keys and app passwords: what they open, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.tables import AccessToken
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.ids import new_id
from tests.integration.conftest import PASSWORD, Guarded
from tests.support.signed_in import bearer, token_id


def test_a_token_names_the_account_and_lasts_a_working_day(guarded: Guarded) -> None:
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
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(guarded: Guarded, name: str) -> None:
    reply = guarded.http.post("/auth/token", data={"username": name, "password": "wrong" * 4})
    if name:
        assert (reply.status_code, reply.json()) == (401, {"detail": "wrong name or password"})
        assert reply.headers["www-authenticate"] == "Bearer"
    else:
        assert reply.status_code in (401, 422)


def test_guessing_slows_down_only_the_guesser(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    replies = [
        guarded.http.post("/auth/token", data={"username": name, "password": f"guess {n} of many"}) for n in range(8)
    ]
    codes = [reply.status_code for reply in replies]
    assert codes[:5] == [401] * 5 and 429 in codes[5:]
    assert int(replies[-1].headers["retry-after"]) >= 1
    # The right password has to wait as well, or the delay would tell that it is the right one.
    assert guarded.http.post("/auth/token", data={"username": name, "password": PASSWORD}).status_code == 429
    assert guarded.sign_in("radiologist")  # others do not wait
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
def test_a_malformed_token_is_refused(guarded: Guarded, header: str) -> None:
    assert guarded.http.get("/info/", headers={"Authorization": header}).status_code == 401


def test_forged_tokens_are_refused(guarded: Guarded) -> None:
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
        "the id of its row": jwt.encode({**claims, "jti": token_id(good)}, secret, algorithm="HS256"),
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
        row = session.get_one(AccessToken, token_id(old))
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


def test_a_new_role_applies_from_the_next_request(guarded: Guarded, person: Callable[..., str]) -> None:
    name = person()
    token = guarded.sign_in(name)
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 403
    accounts.set_role(guarded.catalog, name, Role.ADMIN, actor="test")
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 200
    accounts.set_role(guarded.catalog, name, Role.RADIOLOGIST, actor="test")
    assert guarded.http.get("/api/v1/audit", headers=bearer(token)).status_code == 403


def test_api_keys_are_revocable_and_only_for_programs(guarded: Guarded, person: Callable[..., str]) -> None:
    catalog = guarded.catalog
    made, key = credentials.make(catalog, "service", CredentialKind.API_KEY, "a program", actor="test")
    assert guarded.http.get("/api/v1/models", headers=bearer(key)).status_code == 200
    assert guarded.http.post("/activelearning/random", headers=bearer(key), json={}).status_code == 403
    credentials.revoke(catalog, made.id, actor="test")
    assert guarded.http.get("/api/v1/models", headers=bearer(key)).status_code == 401
    assert made.last_used_at is None  # the row as it was made; the table has noted the use
    noted = {item.id: item.last_used_at for item in credentials.list_credentials(catalog, "service")}
    assert noted[made.id] is not None
    with pytest.raises(InvalidInput, match="programs"):
        credentials.make(catalog, person(), CredentialKind.API_KEY, "x", actor="test")
    with pytest.raises(InvalidInput, match="keys and no password"):
        accounts.add(catalog, "other.program", Role.SERVICE, password=PASSWORD, actor="test")


def test_app_passwords_work_in_slicers_form_until_they_are_revoked(
    guarded: Guarded, person: Callable[..., str]
) -> None:
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
    for bad in ("", "a b", "ä", "../x", "anonymous", "user-xyz", "local", "mrseg-label", "x" * 65, "a\nb", "-x"):
        with pytest.raises(InvalidInput, match="cannot be the name"):
            accounts.add(catalog, bad, Role.ADMIN, password=PASSWORD, actor="test")
    for bad in ("short", "x" * 300, "aaaaaaaaaaaaaaaa", "weak.weak.weak.weak"):
        with pytest.raises(InvalidInput, match="password"):
            accounts.add(catalog, "weak.", Role.ADMIN, password=bad, actor="test")
    with pytest.raises(Conflict, match="already"):
        accounts.add(catalog, "ADMIN", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    stored = {item.name: item.password_hash for item in accounts.list_accounts(catalog)}
    assert (stored["admin"] or "").startswith("$argon2id$")
