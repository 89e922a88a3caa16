"""Accounts on the dashboard: make, change, disable; API keys; who may not; the audit trail."""

from __future__ import annotations

import re

from mrseg_label.accounts import credentials, service
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.reports.accounts import read_accounts
from tests.integration.conftest import PASSWORD
from tests.integration.web.conftest import URL, Browser, open_browser
from tests.integration.web.test_dashboard import words

USERS = "/dashboard/users"


def test_accounts_are_made_changed_and_disabled(signed_in: dict[str, Browser]) -> None:
    root = signed_in["root"]
    fields = {"name": "Vera@x.example", "role": "radiologist", "password": PASSWORD, "again": PASSWORD}
    for wrong, said in (({"again": "x"}, "two passwords differ"), ({"password": "", "again": ""}, "needs a password"),
                        ({"name": "a b"}, "cannot be the name"), ({"name": "root"}, "already exists"), ({"role": "king"}, "Role: Input should be")):  # fmt: skip
        status, _, text = root.submit(USERS, USERS, **fields | wrong)
        assert status in (409, 422) and said in text and PASSWORD not in text, wrong
    assert root.submit(USERS, USERS, **fields)[:2] == (303, f"{USERS}?note=added")
    assert "vera@x.example radiologist" in words(root.get(USERS))
    assert root.submit(USERS, f"{USERS}/role", name="vera@x.example", role="reviewer")[0] == 303
    vera = open_browser(root.workspace)
    vera.http.post(
        "/account/sign-in", data={"username": "vera@x.example", "password": PASSWORD}, headers={"Origin": URL}
    )
    assert "vera@x.example reviewer" in words(vera.get("/dashboard"))
    assert root.submit(USERS, f"{USERS}/sign-out", name="vera@x.example")[0] == 303
    assert vera.http.get("/dashboard").headers["location"] == "/account/sign-in"
    assert root.submit(USERS, f"{USERS}/disable", name="vera@x.example")[0] == 303
    assert "Enable" in root.get(USERS) and root.submit(USERS, f"{USERS}/enable", name="vera@x.example")[0] == 303
    new = "another secret of words"
    status, _, text = root.submit(USERS, f"{USERS}/password", name="vera@x.example", password=new, again="x")
    assert status == 422 and "two passwords differ" in text and new not in text
    assert root.submit(USERS, f"{USERS}/password", name="vera@x.example", password=new, again=new)[0] == 303
    sent = {"username": "vera@x.example", "password": PASSWORD}
    assert vera.http.post("/account/sign-in", data=sent, headers={"Origin": URL}).status_code == 401
    assert vera.http.post("/account/sign-in", data=sent | {"password": new}, headers={"Origin": URL}).status_code == 303
    status, _, text = root.submit(USERS, f"{USERS}/disable", name="root")
    assert status == 409 and "last admin" in text
    audit = words(root.get("/dashboard/audit"))
    assert "root account.disable vera@x.example" in audit and "before: radiologist; role: reviewer" in audit


def test_a_program_gets_a_key_that_is_shown_once(signed_in: dict[str, Browser]) -> None:
    root = signed_in["root"]
    assert root.submit(USERS, USERS, name="nightly", role="service")[0] == 303
    status, _, text = root.submit(USERS, f"{USERS}/key", name="nightly", label="masks", scope="masks")
    (key,) = re.findall(r'<code class="secret">([^<]+)</code>', text)
    assert (
        status == 201
        and key not in root.get(USERS)
        and "API key for masks" in words(root.get(USERS)).replace("api", "API")
    )
    bearer = {"Authorization": f"Bearer {key}", "Accept": "*/*"}
    program = open_browser(root.workspace).http
    assert program.get("/api/v1/models", headers=bearer).status_code == 200
    assert program.get("/dashboard", headers=bearer).status_code == 403, "pages are for people"
    (credential,) = [one.id for account in read_accounts(root.workspace.catalog) for one in account.credentials if one.label == "masks"]  # fmt: skip
    assert root.submit(USERS, f"{USERS}/revoke", credential=credential)[0] == 303
    assert program.get("/api/v1/models", headers=bearer).status_code == 401


def test_no_lower_role_and_no_app_password_manages_accounts(signed_in: dict[str, Browser]) -> None:
    for name in ("ada", "rita", ""):
        for path in ("", "/role", "/password", "/disable", "/enable", "/sign-out", "/key", "/revoke"):
            reply = signed_in[name].http.post(USERS + path, data={"name": "root"}, headers={"Origin": URL})
            assert reply.status_code == (403 if name else 303) and (name or "sign-in" in reply.headers["location"])
        for path in (USERS, "/dashboard/audit"):
            assert signed_in[name].http.get(path).status_code == (403 if name else 303)
    catalog = signed_in["root"].workspace.catalog
    service.add(catalog, "second.admin", Role.ADMIN, password=PASSWORD, actor="test")
    _, leaked = credentials.make(catalog, "second.admin", CredentialKind.APP_PASSWORD, "Slicer", actor="test")
    thief = open_browser(signed_in["root"].workspace)
    thief.http.post("/account/sign-in", data={"username": "second.admin", "password": leaked}, headers={"Origin": URL})
    status, _, text = thief.submit(USERS, USERS, name="mallory", role="admin", password=PASSWORD, again=PASSWORD)
    assert status == 403 and "signed in with an app password" in text
    assert "mallory" not in [account.name for account in service.list_accounts(catalog)]


def test_without_sign_in_accounts_can_be_prepared(own: Browser) -> None:
    assert "There are no accounts yet." in own.get(USERS) and "Sign-in is off" in own.get(USERS)
    assert own.submit(USERS, USERS, name="chief", role="admin", password=PASSWORD, again=PASSWORD)[0] == 303
    assert "chief admin" in words(own.get(USERS)) and "account.add" in own.get("/dashboard/audit")


def test_images_are_sent_and_their_import_is_started(own: Browser, signed_in: dict[str, Browser]) -> None:
    text = own.get("/dashboard/import")
    assert "From this computer" in text and str(own.workspace.root / "inbox") in text and "Nothing is there now" in text
    data = {"form_token": re.findall(r'name="form_token" value="(\w+)"', text)[0]}
    headers = {"Origin": URL}
    files = [
        ("files", ("study/p1_in.nii.gz", b"image")),
        ("files", ("", b"")),
    ]  # an input without a file sends an empty one
    reply = own.http.post("/dashboard/import/files", data={**data, "participant": "p 1"}, files=files, headers=headers)
    assert reply.status_code == 303, words(reply.text)
    text = own.get("/dashboard/import?note=started")
    assert "Files from a browser" in text and "queued" in text and 'hx-trigger="every 3s"' in text
    refused = own.http.post("/dashboard/import/files", data={**data, "pattern": "{x}"}, files=files, headers=headers)
    assert refused.status_code == 422 and len(list((own.workspace.root / "inbox").iterdir())) == 1
    assert own.http.post("/dashboard/import", data={**data, "entry": "../images"}, headers=headers).status_code == 404
    assert own.http.post("/dashboard/import/files", files=files, headers=headers).status_code == 403, "no token"
    for name in ("ada", "rita"):
        assert signed_in[name].http.get("/dashboard/import").status_code == 403
        assert signed_in[name].http.post("/dashboard/import/files", files=files, headers=headers).status_code == 403
