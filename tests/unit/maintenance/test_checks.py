"""What ``doctor`` finds over real files and a real database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.types import Role
from mrseg_label.maintenance.checks import Check, State, check_workspace
from mrseg_label.maintenance.checks.database import check_database, file_system
from mrseg_label.maintenance.checks.installation import check_packages
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import store_case, stored_annotation_file
from tests.unit.registry.test_registry import add_version


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


def states(found: Iterable[Check]) -> dict[str, State]:
    return {check.name: check.state for check in found}


def test_doctor_finds_a_changed_and_a_missing_file(workspace: OpenedWorkspace) -> None:
    case = store_case(workspace, "p1")
    add_version(workspace, "r1")
    calls: list[tuple[int, int]] = []

    def look(verify: bool = True) -> dict[str, Check]:
        found = check_workspace(workspace.root, verify=verify, progress=lambda *call: calls.append(call))
        return {check.name: check for check in found}

    assert look()["digests"].state is State.OK
    assert calls[-1][0] == calls[-1][1] > 4
    assert "digests" not in look(verify=False)
    stored_annotation_file(workspace, case).write_bytes(b"other")
    workspace.path("images/p1/in.nii.gz").unlink()
    next((workspace.models / "r1").rglob("*.pth")).write_bytes(b"other")
    damaged = look()["digests"]
    assert damaged.state is State.FAILED
    assert all(
        name in damaged.detail for name in (f"annotations/{case}", "images/p1/in.nii.gz is missing", "models/r1")
    )


def test_an_old_database_is_to_be_upgraded(workspace: OpenedWorkspace) -> None:
    assert states(check_database(workspace))["database"] is State.OK
    with workspace.catalog.begin() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    found = next(iter(check_database(workspace)))
    assert (found.state, found.advice) == (State.FAILED, "run: mrseg-label upgrade")


def test_sign_in_needs_an_admin(workspace: OpenedWorkspace) -> None:
    def look() -> Check:
        found = check_workspace(workspace.root, verify=False, progress=lambda *_: None)
        return next(check for check in found if check.name == "sign-in")

    assert (look().state, "users add NAME --role admin" in (look().advice or "")) == (State.WARNING, True)
    accounts.add(workspace.catalog, "chief", Role.ADMIN, password="four words of a secret", actor="test")
    assert (look().state, look().detail) == (State.OK, "1 accounts can sign in, over plain HTTP")
    (workspace.root / "mrseg.toml").write_text('AUTH = "off"\n')
    assert "only programs on this machine" in look().detail


def test_doctor_creates_no_workspace(tmp_path: Path) -> None:
    found = list(check_workspace(tmp_path, verify=True, progress=lambda *_: None))
    assert states(found)["workspace"] is State.WARNING
    assert f"{tmp_path} is not a workspace" in [check.detail for check in found]
    assert list(tmp_path.iterdir()) == []


def test_doctor_shows_no_password(tmp_path: Path) -> None:
    Workspace.init(
        tmp_path / "ws", settings_text='DATABASE_URL = "postgresql://anna:secret@127.0.0.1:1/none?connect_timeout=1"\n'
    )
    for check in check_database(Workspace.open(tmp_path / "ws")):
        assert "secret" not in check.detail


def test_a_database_url_that_is_none_is_named(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text='DATABASE_URL = "mrseg.db"\n')
    found = states(check_workspace(tmp_path / "ws", verify=True, progress=lambda *_: None))
    assert found["database"] is State.FAILED and "digests" not in found


def test_versions_of_packages_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_packages().state is State.OK
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["numpy>=99", "no-such-package-here", "tomli; python_version < '3'"]
    )
    found = check_packages()
    assert found.state is State.FAILED
    assert "numpy" in found.detail and "no-such-package-here is missing" in found.detail and "tomli" not in found.detail


def test_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/Zürich\\040%20\\134x nfs4 rw 0 0\n")
    assert file_system(tmp_path / "Zürich %20\\x" / "mrseg.db", mounts) == "nfs4"
    assert file_system(tmp_path / "own" / "mrseg.db", mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "nothing") is None
