"""Nobody but its owner can read what is written, whatever the umask."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.cli import main
from mrseg_label.maintenance.backup import backup
from mrseg_label.maintenance.checks import State
from mrseg_label.maintenance.checks.permissions import check_permissions, check_tls_key
from mrseg_label.maintenance.permissions import close_workspace
from mrseg_label.maintenance.restoring import restore
from mrseg_label.private import access_of_this_process
from mrseg_label.registry.service import export
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import store_case
from tests.unit.registry.test_registry import add_version


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """The most careless umask, with which others could read and change everything."""
    with access_of_this_process():
        os.umask(0)
        yield


def modes(folder: Path) -> dict[str, int]:
    """Permissions of a folder and of everything in it; the path itself is "."."""
    found = {str(path.relative_to(folder)): path for path in (folder, *folder.rglob("*"))}
    return {name: stat.S_IMODE(path.lstat().st_mode) for name, path in found.items() if not path.is_symlink()}


def readable_by_others(folder: Path) -> dict[str, str]:
    return {name: f"{mode:o}" for name, mode in modes(folder).items() if mode & 0o077}


def test_a_workspace_is_private_from_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir(mode=0o755)
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    (tmp_path / "source").write_bytes(b"image")
    opened.put_file("images/p1/a.nii.gz", tmp_path / "source")
    opened.put_bytes("images/p1/b.nii.gz", b"image")
    opened.pseudonym_key()
    add_version(opened, "r1")
    with opened.catalog.begin() as session:  # with its log and index beside it
        session.connection()
        found = modes(opened.root)
    assert {"mrseg.db", "mrseg.db-wal", "mrseg.db-shm", "mrseg.toml", "pseudonyms.key"} <= found.keys()
    # A model was written into the test's own folder; only the folder that holds it was made by the product.
    assert {name for name, mode in found.items() if mode & 0o077 and not name.startswith("models/r1/")} == set()
    assert stat.S_IMODE((opened.root / "models" / "r1").stat().st_mode) == 0o700
    opened.close()


def test_archives_and_what_is_restored_are_private(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    store_case(opened, "p1")
    add_version(opened, "r1")
    for path in opened.root.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    packed = backup(opened, tmp_path / "all.tar").file
    exported = export(opened, "r1", tmp_path / "r1.zip")
    opened.close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in (packed, exported)} == {0o600}
    with tarfile.open(packed) as archive:
        assert any(member.mode & 0o044 for member in archive), "the archive has open files to restore"
    (tmp_path / "again").mkdir(mode=0o777)
    restore(packed, tmp_path / "again")
    assert readable_by_others(tmp_path / "again") == {}


def test_the_command_line_writes_for_its_user_alone(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path / "ws")])
    opened = open_workspace(tmp_path / "ws")
    store_case(opened, "p1")
    opened.close()
    with pytest.raises(SystemExit):
        main(["export", "--workspace", str(tmp_path / "ws"), "--format", "nifti", str(tmp_path / "out")])
    assert len(modes(tmp_path / "out")) > 3
    assert readable_by_others(tmp_path / "out") == {}
    assert os.umask(0) == 0, "a command changes the umask of its caller"


def test_an_open_workspace_is_named_and_closed(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "ws")
    assert close_workspace(workspace) == []
    assert check_permissions(workspace, mend=False).state is State.OK
    workspace.root.chmod(0o755)
    (workspace.root / "mrseg.toml").chmod(0o644)
    outside = tmp_path / "outside"
    outside.write_bytes(b"image")
    (workspace.root / "images" / "link").symlink_to(outside)
    found = check_permissions(workspace, mend=False)
    assert found.state is State.WARNING
    assert "2 entries have the wrong permissions, such as ., mrseg.toml" in found.detail
    assert "doctor --mend" in (found.advice or "")
    (warning,) = close_workspace(workspace)
    assert "had the permissions 755" in warning and "change the passwords" in warning
    assert readable_by_others(workspace.root) == {}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666, "a link leads out of the workspace"
    (workspace.root / "mrseg.toml").chmod(0o640)
    assert check_permissions(workspace, mend=True).state is State.OK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_entries_of_another_user_are_named_and_given_back(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "ws")
    os.chown(workspace.root / "labels.tsv", 12345, 12345)
    assert "1 entries belong to another user, such as labels.tsv" in check_permissions(workspace, mend=False).detail
    assert check_permissions(workspace, mend=True).state is State.OK
    assert (workspace.root / "labels.tsv").stat().st_uid == os.geteuid()


def test_a_group_shares_a_workspace_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSEG_SHARED_WITH_GROUP", "true")
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    opened.put_bytes("images/p1/a.nii.gz", b"image")
    with opened.scratch() as folder:
        (folder / "file").write_bytes(b"of a library")
        opened.put_tree("models/r1", folder)
        folder.mkdir()  # which the block removes at its end
    with opened.catalog.begin() as session:
        session.connection()
        found = modes(opened.root)
        assert "mrseg.db-wal" in found
        assert {mode for name, mode in found.items() if (opened.root / name).is_file()} == {0o660}
        assert {mode for name, mode in found.items() if (opened.root / name).is_dir()} == {0o2770}
    opened.close()
    assert check_permissions(opened, mend=False).state is State.OK


def test_a_key_that_everybody_can_read_is_named(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("key")
    workspace = Workspace.init(tmp_path / "ws", settings_text=f'TLS_KEY = "{key}"\n')
    assert [check.advice for check in check_tls_key(workspace)] == [f"run: chmod 600 {key}"]
    key.chmod(0o640)
    assert list(check_tls_key(workspace)) == []
