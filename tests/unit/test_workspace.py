"""Folders, settings and stored files."""

import os
import re
import shutil
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from mrseg_label.catalog.migrate import MIGRATIONS, config
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.tables import Participant
from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError, InvalidInput, StoredFileError
from mrseg_label.files import sha256_of
from mrseg_label.ids import check_alias, is_id, is_ticket, new_id, new_ticket
from mrseg_label.maintenance.backup import backup
from mrseg_label.maintenance.restoring import restore
from mrseg_label.paths import quoted
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_participant


def test_init_makes_a_workspace_that_opens(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "w")
    workspace = Workspace.open(tmp_path / "w")
    assert workspace.scheme.names[0] == "spleen"
    assert workspace.settings.round_size == 50
    assert workspace.settings.auth == "on"


def test_init_refuses_a_folder_in_use_and_open_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        Workspace.init(tmp_path)
    with pytest.raises(ConfigurationError, match="mrseg-label init"):
        Workspace.open(tmp_path)


def test_stored_files_are_verified_and_never_overwritten(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "w")
    digest = workspace.put_bytes("annotations/a/1.bin", b"one")
    assert workspace.put_bytes("annotations/a/1.bin", b"one") == digest
    with pytest.raises(StoredFileError, match="never overwritten"):
        workspace.put_bytes("annotations/a/1.bin", b"two")
    workspace.verify("annotations/a/1.bin", digest)
    workspace.path("annotations/a/1.bin").write_bytes(b"two")
    with pytest.raises(StoredFileError, match="SHA-256"):
        workspace.verify("annotations/a/1.bin", digest)
    source = tmp_path / "big"
    source.write_bytes(b"x" * 100_000)
    assert workspace.put_file("images/big", source) == sha256_of(source)
    assert not list(workspace.root.rglob("*.part"))


ODD_NAME = "study %20 ü#?&"
# Each means something else in a URL, a shell, a setting of Alembic's or SQLite's, or an option of a command.
ODD_NAMES = ["a%20b", "a?mode=ro", "file:x", "-x", "%(here)s", "q'\"", "a\nb", "a@b#c;d"]


def test_workspaces_whose_paths_differ_by_an_escape_share_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [*ODD_NAMES, "a b", "a"]
    for name in names:
        Workspace.init(Path(name))
        opened = open_workspace(Path(name))
        with opened.catalog.begin() as session:
            add_participant(session, name.strip())
        opened.close()
        assert quoted(opened.root).startswith(("/", "'/"))
    for name in names:
        opened = open_workspace(tmp_path / name)
        with opened.catalog.read() as session:
            assert [row.code for row in session.query(Participant)] == [name.strip()]
        opened.close()
        assert (tmp_path / name / "mrseg.db").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_a_database_that_an_earlier_version_put_elsewhere_is_named(tmp_path: Path) -> None:
    for name, read_as in (("a%20b", "a b/mrseg.db"), ("c?d", "c"), ("e%2Ff", "e/f/mrseg.db")):
        workspace = Workspace.init(tmp_path / name)
        (tmp_path / read_as).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / read_as).write_bytes(b"database")
        with pytest.raises(
            ConfigurationError, match=f"lies in {re.escape(str(tmp_path / read_as))}: .* move that file"
        ):
            open_workspace(workspace.root)
        assert not (workspace.root / "mrseg.db").exists()
        (tmp_path / read_as).unlink()
        open_workspace(workspace.root).close()


def test_a_missing_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "w")
    workspace.put_bytes("annotations/a/1.bin", b"one")
    with pytest.raises(ConfigurationError, match="restore the database from a backup, or set DATABASE_URL"):
        open_workspace(workspace.root)
    assert not (workspace.root / "mrseg.db").exists()


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"xfc.* is not valid UTF-8"):
        Workspace.init(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfc")))
    assert not list(tmp_path.iterdir())


def test_migrations_are_found_wherever_the_package_is_installed(tmp_path: Path) -> None:
    for name in ("100%", "%(here)s", "a%20b:c"):
        shutil.copytree(MIGRATIONS, tmp_path / name)
        assert ScriptDirectory.from_config(config(folder=tmp_path / name)).get_current_head()


def test_the_database_lies_in_the_workspace_whatever_that_is_called(tmp_path: Path) -> None:
    root = tmp_path / ODD_NAME / "ws"
    Workspace.init(root)
    opened = open_workspace(root)
    with opened.catalog.begin() as session:
        participant = add_participant(session, "p1").code
    opened.close()
    assert {path.name for path in tmp_path.iterdir()} == {ODD_NAME}
    assert (root / "mrseg.db").stat().st_size > 0
    backup(open_workspace(root), tmp_path / f"{ODD_NAME}.tar")
    restore(tmp_path / f"{ODD_NAME}.tar", tmp_path / "again" / ODD_NAME)
    restored = open_workspace(tmp_path / "again" / ODD_NAME)
    with restored.catalog.read() as session:
        assert participants.by_code(session, participant) is not None
    restored.close()
    assert {path.name for path in (tmp_path / "again").iterdir()} == {ODD_NAME}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mrseg.db", "DATABASE_URL cannot be used"),
        ("sqlite:///mrseg.db", "names the file mrseg.db, which is another one in every folder"),
        ("sqlite://", ":memory:"),
        ("sqlite:////data/a?b/mrseg.db", "the file /data/a with options after a '\\?'"),
    ],
)
def test_a_database_url_that_cannot_be_used_is_refused(tmp_path: Path, url: str, message: str) -> None:
    workspace = Workspace.init(tmp_path / "w", settings_text=f'DATABASE_URL = "{url}"\n')
    with pytest.raises(ConfigurationError, match=message):
        assert workspace.database_url


def test_a_database_elsewhere_keeps_its_password(tmp_path: Path) -> None:
    text = 'DATABASE_URL = "postgresql://anna:p%40ss@127.0.0.1/x"\n'
    url = Workspace.init(tmp_path / "w", settings_text=text).database_url
    assert (url.password, url.database) == ("p@ss", "x")
    assert "p@ss" not in str(url) and "p%40ss" not in str(url)


def test_no_stored_path_leaves_the_workspace(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path / "w")
    for path in ("../x", "/etc/passwd", "images/../../x"):
        with pytest.raises(StoredFileError):
            workspace.path(path)


def test_settings_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mrseg.toml").write_text('ROUND_SIZE = 8\nAUTH = "off"\n')
    assert load_settings(tmp_path).round_size == 8
    assert load_settings(tmp_path).presegmentations_ahead == 16
    monkeypatch.setenv("MRSEG_ROUND_SIZE", "5")
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path))
    settings = load_settings(tmp_path)
    assert (settings.round_size, settings.auth, settings.totalseg_weights_path) == (5, "off", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ROUND_SIZ = 8", "ROUND_SIZ"),
        ("ROUND_SIZE = 0", "ROUND_SIZE"),
        ('AUTH = "maybe"', "AUTH"),
        ("ROUND_SIZE =", "not valid TOML"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mrseg.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_settings(tmp_path)


def test_identifiers_and_aliases() -> None:
    identifier = new_id("ex")
    assert is_id(identifier)
    for bad in ("../etc/passwd", "ex-short", "EX-0000000000000000", "", "ex-ilou000000000000", identifier + "\n"):
        assert not is_id(bad)
    assert is_ticket(new_ticket())
    for bad in (identifier, "", "A" * 31, "A" * 33, "A" * 31 + "/", "A" * 32 + "\n"):
        assert not is_ticket(bad)
    assert check_alias("3: T1 VIBE dixon") == "3: T1 VIBE dixon"
    for bad in ("", " ", "a/b", "a\\b", "a..b", "a\nb", "a\x00b", "x" * 201):
        with pytest.raises(InvalidInput):
            check_alias(bad)
