"""Accounts at the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Assignment
from mrseg_label.catalog.types import Role, Scope
from mrseg_label.cli import main
from mrseg_label.errors import Unauthorized
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant

PASSWORD = "four words of a secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Workspace.init(tmp_path / "ws").root


@pytest.fixture
def users(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run ``users ...``; ``typed`` is what stands on standard input."""

    def run(*arguments: str, typed: str = "", group: str = "users") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        words = [group, *arguments] if group == "users" else list(arguments)
        with pytest.raises(SystemExit) as ended:
            main([*words, "--workspace", str(folder)])
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def twice(password: str = PASSWORD) -> str:
    return f"{password}\n{password}\n"


def test_a_command_creates_the_first_admin(users: Any, folder: Path) -> None:
    assert "users add NAME --role admin" in users("list")[1]
    assert users("add", "Chief", "--role", "admin", typed=twice())[0] == 0
    code, out, _ = users("list", "--json")
    (chief,) = json.loads(out)["items"]
    assert code == 0
    assert (chief["name"], chief["role"], chief["signs_in_by"], chief["disabled"]) == (
        "chief",
        "admin",
        "password",
        None,
    )
    assert "argon2" not in out and PASSWORD not in out
    opened = open_workspace(folder)
    sign_in = SignIn(opened.catalog, 1.0)
    assert sign_in.identify(sign_in.sign_in_with_password("CHIEF", PASSWORD, "test")).role is Role.ADMIN
    opened.catalog.close()


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "message"),
    [
        (("add", "ada", "--role", "radiologist"), f"{PASSWORD}\nanother one altogether\n", 2, "do not match"),
        (("add", "ada", "--role", "radiologist"), "", 1, "12 to 256"),
        (("add", "ada", "--role", "radiologist"), twice("short"), 1, "12 to 256"),
        (("add", "ada", "--role", "king"), twice(), 2, "choose from"),
        (("add", "a/b", "--role", "radiologist"), twice(), 1, "cannot be the name"),
        (("add", "ada"), twice(), 2, "--role"),
        (("disable", "nobody"), "", 1, "no account"),
        (("password", "nobody"), twice(), 1, "no account"),
        (("key", "nobody"), "", 1, "no account"),
        (("revoke", "cr-none"), "", 1, "no credential"),
    ],
)
def test_wrong_input_is_refused_with_the_reason(
    users: Any, arguments: tuple[str, ...], typed: str, code: int, message: str
) -> None:
    result = users(*arguments, typed=typed)
    assert (result[0], result[1]) == (code, "")
    assert message in result[2]
    assert json.loads(users("list", "--json")[1])["items"] == []


def test_a_life_of_an_account(users: Any, folder: Path) -> None:
    for name, role in (("chief", "admin"), ("ada", "radiologist")):
        assert users("add", name, "--role", role, typed=twice())[0] == 0
    assert users("add", "robot", "--role", "service")[0] == 0
    key = json.loads(users("key", "robot", "--label", "nightly download", "--scope", "masks", "--json")[1])
    assert key["scopes"] == ["masks"] and "masks" in users("list")[1]
    assert users("key", "robot", "--scope", "models")[0] == 2
    shown = users("app-password", "ada")[1].strip()
    opened = open_workspace(folder)
    sign_in = SignIn(opened.catalog, 1.0)
    assert sign_in.identify(key["secret"]).name == "robot"
    assert sign_in.identify(key["secret"]).scopes == {Scope.MASKS}
    token = sign_in.sign_in_with_password("ada", shown, "test")
    assert sign_in.identify(token).name == "ada"
    assert users("role", "ada", "--role", "reviewer")[0] == 0
    assert sign_in.identify(token).role is Role.REVIEWER
    assert users("password", "ada", typed=twice("a new secret of words"))[0] == 0
    with pytest.raises(Unauthorized, match="wrong name or password"):
        sign_in.sign_in_with_password("ada", shown, "test")  # ended with the password
    token = sign_in.sign_in_with_password("ada", "a new secret of words", "test")
    assert users("sign-out", "ada")[0] == 0
    with pytest.raises(Unauthorized):
        sign_in.identify(token)
    assert json.loads(users("disable", "ada", "--json")[1])["disabled"]
    with pytest.raises(Unauthorized, match="disabled"):
        sign_in.sign_in_with_password("ada", "a new secret of words", "test")
    assert json.loads(users("enable", "ada", "--json")[1])["disabled"] is None
    assert json.loads(users("revoke", key["id"], "--json")[1]) == {"revoked": key["id"]}
    with pytest.raises(Unauthorized):
        sign_in.identify(key["secret"])
    opened.catalog.close()
    assert "last admin" in users("disable", "chief")[2]
    trail = json.loads(users("audit", "--json", "--limit", "500", group="")[1])["items"]
    actions = [(event["actor"], event["action"], event["subject"]) for event in trail]
    assert ("local", "account.disable", "ada") in actions
    assert ("local", "api_key.revoke", "robot") in actions
    assert not any(secret in json.dumps(trail) for secret in (PASSWORD, shown, key["secret"]))


def test_a_case_is_reserved_for_an_account(users: Any, folder: Path) -> None:
    opened = open_workspace(folder)
    with opened.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p1"))
        add_annotation(session, case)
        examination = case.primary_examination_id or ""
    assign = ("cases", "assign", examination, "--reader", "Ada")
    code, _, message = users(*assign, group="")
    assert code == 1 and "no account 'ada'" in message
    assert users("add", "ada", "--role", "radiologist", typed=twice())[0] == 0
    assert users(*assign, group="")[0] == 0
    with opened.catalog.read() as session:
        assignment = session.query(Assignment).one()
        assert (assignment.account, assignment.client, assignment.ended_at) == ("ada", "ada", None)
    assert users("cases", "return", examination, "--reader", "ada", group="")[0] == 0
    with opened.catalog.read() as session:
        assert session.query(Assignment).one().ended_at is not None
    opened.catalog.close()
