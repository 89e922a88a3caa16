"""A backup is the workspace of one moment, while readers submit and whatever happens to it; either database restores from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import JSON, Text, cast, select, text
from sqlalchemy.engine import make_url

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import audit, case_counts
from mrseg_label.catalog.tables import Acquisition, Annotation, Base, Participant, UnfinishedDeletion
from mrseg_label.cli import main
from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StorageFull, StoredFileError
from mrseg_label.labels import LabelScheme
from mrseg_label.maintenance.backup import add_backup, backup, verify_files
from mrseg_label.maintenance.backup_folder import BackupFolder
from mrseg_label.maintenance.restoring import restore
from mrseg_label.workspace import Workspace
from tests.integration.conftest import SETTINGS, serving
from tests.support.catalog_rows import add_participant
from tests.support.postgresql import new_database
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.stored_cases import store_case, stored_annotation_file
from tests.support.withdrawn import Study, study

__all__ = ["small_disk"]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    """A workspace with one annotated case."""
    Workspace.init(tmp_path / "ws", settings_text=SETTINGS)
    workspace = open_workspace(tmp_path / "ws")
    store_case(workspace, "p1")
    yield workspace
    workspace.close()


@pytest.fixture
def filled(tmp_path: Path, database_settings: str) -> Iterator[Study]:
    """A workspace with rows in most tables."""
    with study(tmp_path, database_settings) as made:
        yield made


def rows_of(workspace: OpenedWorkspace) -> dict[str, list[str]]:
    """All rows of all tables as they are stored; JSON as its text."""
    found = {}
    with workspace.catalog.read() as session:
        for table in Base.metadata.sorted_tables:
            columns = [cast(column, Text) if isinstance(column.type, JSON) else column for column in table.columns]
            found[table.name] = sorted(repr(tuple(row)) for row in session.execute(select(*columns)))
    return found


def cases_in(root: Path) -> list[str]:
    workspace = open_workspace(root)
    try:
        assert list(verify_files(workspace)) == []
        with workspace.catalog.read() as session:
            return sorted(session.scalars(select(Participant.code)))
    finally:
        workspace.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """The JSON document that a command prints."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    return json.loads(printed.out)


@pytest.mark.sqlite  # a copy of the settings would name the same database
def test_any_backup_that_is_kept_is_restored(
    opened: OpenedWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    ours = ("--workspace", opened.root)
    first = run(capsys, "backup", folder, "--incremental", *ours)
    store_case(opened, "p-2", at=(slice(2),))
    second = run(capsys, "backup", folder, *ours)  # it exists now
    assert second["files"] - first["files"] == 4, "two images, a draft and an annotation"
    assert second["written"] == 4, "of which the draft is as the first one; and the database"
    store_case(opened, "p3")
    third = run(capsys, "backup", folder, "--keep", "2", *ours)
    assert third["removed"] == [Path(first["backup"]).name]
    listed = run(capsys, "backup", folder, "--list")["items"]
    assert [one["name"] for one in listed] == [Path(one["backup"]).name for one in (second, third)]
    assert (
        run(capsys, "restore", folder, "--workspace", tmp_path / "new")["database"] == f"SQLite in {tmp_path / 'new'}"
    )
    run(capsys, "restore", second["backup"], "--workspace", tmp_path / "older")
    assert cases_in(tmp_path / "new") == ["p-2", "p1", "p3"]
    assert cases_in(tmp_path / "older") == ["p-2", "p1"]
    with pytest.raises(InvalidInput, match="neither a folder of backups nor a backup in one"):
        restore(tmp_path / "ws", tmp_path / "none")
    with opened.catalog.read() as session:
        newest = audit.page(session, 1, actions=["backup"])[0]
    assert (newest.subject, newest.detail["written"]) == (third["backup"], third["written"])


@pytest.mark.sqlite  # a copy of the settings would name the same database
def test_a_full_disk_leaves_the_earlier_backup_whole(
    opened: OpenedWorkspace, small_disk: SmallDisk, tmp_path: Path
) -> None:
    folder = small_disk.folder / "backups"
    add_backup(opened, folder)
    (opened.logs / "large.log").write_bytes(os.urandom(400_000))
    small_disk.fill(leave=200_000)
    with pytest.raises((OSError, StorageFull)):
        add_backup(opened, folder, keep=1)
    assert len(BackupFolder.open(folder).backups()) == 1
    restore(folder, tmp_path / "again")
    assert cases_in(tmp_path / "again") == ["p1"]
    small_disk.empty()
    assert add_backup(opened, folder, keep=1).removed
    restore(folder, tmp_path / "new")
    assert (tmp_path / "new" / "logs" / "large.log").stat().st_size == 400_000


def test_a_stored_file_that_is_lost_or_damaged_is_named(opened: OpenedWorkspace, tmp_path: Path) -> None:
    file = stored_annotation_file(opened, store_case(opened, "p2", at=(slice(2),)))
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(StoredFileError, match=rf"{file.name} is damaged .*no backup was made.*doctor --verify"):
        add_backup(opened, tmp_path / "backups")
    file.unlink()
    for make in (lambda: add_backup(opened, tmp_path / "backups"), lambda: backup(opened, tmp_path / "one.tar")):
        with pytest.raises(StoredFileError, match=rf"{file.name} is missing, so that no backup was made"):
            make()
    assert not (tmp_path / "one.tar").exists() and not BackupFolder.open(tmp_path / "backups").backups()
    file.write_bytes(content)
    assert add_backup(opened, tmp_path / "backups").summary.files > 5


def test_settings_that_name_another_database_are_not_followed(
    opened: OpenedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"sqlite:///{tmp_path / 'ws' / 'mrseg.db'}"
    (opened.root / "mrseg.toml").write_text(f'{SETTINGS}DATABASE_URL = "{elsewhere}"\n[training]\nepochs = 3\n')
    add_backup(opened, tmp_path / "backups")
    restore(tmp_path / "backups", tmp_path / "again")
    assert (tmp_path / "again" / "mrseg.toml").read_text() == f"{SETTINGS}[training]\nepochs = 3\n"
    assert (tmp_path / "again" / "mrseg.db").is_file() and cases_in(tmp_path / "again") == ["p1"]
    monkeypatch.setenv("MRSEG_DATABASE_URL", elsewhere)
    with pytest.raises(ConfigurationError, match="MRSEG_DATABASE_URL is set and names another database"):
        restore(tmp_path / "backups", tmp_path / "third")
    monkeypatch.delenv("MRSEG_DATABASE_URL")
    with pytest.raises(ConfigurationError, match="neither `sqlite` nor the URL of a PostgreSQL database"):
        restore(tmp_path / "backups", tmp_path / "third", database=elsewhere)
    assert not (tmp_path / "third").exists()


def test_every_row_is_restored_into_either_database(
    filled: Study, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    workspace = filled.workspace
    before = rows_of(workspace)
    assert sum(bool(rows) for rows in before.values()) > 20
    folder = tmp_path / "backups"
    add_backup(workspace, folder)
    if workspace.catalog.is_sqlite:
        restore(folder, tmp_path / "same")
        check_restored(tmp_path / "same", before)
        return
    with pytest.raises(ConfigurationError, match=r"has a workspace already .*--database sqlite"):
        restore(folder, tmp_path / "same")  # into the database of the workspace that it was made of
    assert not (tmp_path / "same").exists() and rows_of(workspace)["acquisitions"] == before["acquisitions"]
    server = request.getfixturevalue("postgresql_server")
    moved = new_database(server)
    assert restore(folder, tmp_path / "same", database=moved).database.startswith("postgresql://")
    check_restored(tmp_path / "same", before)
    assert rules_of(moved) == rules_of(str(workspace.settings.database_url))
    # From PostgreSQL to SQLite, and from there back to PostgreSQL.
    restore(folder, tmp_path / "sqlite", database="sqlite")
    check_restored(tmp_path / "sqlite", before)
    small = open_workspace(tmp_path / "sqlite")
    there = rows_of(small)
    backup(small, tmp_path / "small.tar")
    small.close()
    back = new_database(server)
    restore(tmp_path / "small.tar", tmp_path / "back", database=back)
    check_restored(tmp_path / "back", there)
    assert rules_of(back) == rules_of(moved)


def check_restored(root: Path, rows: dict[str, list[str]]) -> None:
    """The rows are the same, and the workspace goes on: numbers continue, counts are kept, keys are checked."""
    workspace = open_workspace(root)
    try:
        assert rows_of(workspace) == rows
        assert list(verify_files(workspace)) == []
        with workspace.catalog.begin() as session:
            person = add_participant(session, f"later-{root.name}")
            session.add(
                Acquisition(participant_id=person.id, key=f"later-{root.name}", station="", sequence="in", shuffle=0.5)
            )
            audit.record(session, "test", "test", "after the restore")
            assert case_counts.find_differences(session) == []
        assert len(rows_of(workspace)["audit_events"]) == len(rows["audit_events"]) + 1
    finally:
        workspace.close()


def rules_of(url: str) -> list[tuple[Any, ...]]:
    """Triggers with their state, and constraints, of a PostgreSQL database."""
    parsed = make_url(url)
    with psycopg.connect(host=str(parsed.query["host"]), user=parsed.username, dbname=parsed.database) as connection:
        triggers = connection.execute(
            "SELECT tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
        )
        rules = connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
            "ORDER BY 1, 2"
        )
        return [*triggers.fetchall(), *rules.fetchall()]


def submit(http: httpx.Client, reader: str) -> str:
    """Submit the next case of a reader as Slicer does; returns what was acknowledged."""
    case = http.post("/activelearning/sequential", json={"client_id": reader}).raise_for_status().json()["id"]
    mask = http.get("/datastore/label", params={"label": case, "tag": "original"}).raise_for_status().content
    names = [{"name": name} for name in LabelScheme.default().names]
    params = json.dumps({"client_id": reader, "label_info": names})
    reply = http.put(
        "/datastore/label",
        params={"image": case},
        files={"label": ("label.nii.gz", mask)},
        data={"params": params},
    )
    return str(reply.raise_for_status().json()["image"])


@pytest.mark.soak
def test_what_was_acknowledged_before_is_in_a_backup_made_while_readers_submit(
    tmp_path: Path, database_settings: str
) -> None:
    with serving(tmp_path, SETTINGS + database_settings, 24) as server:
        acknowledged: list[str] = []

        def work(reader: str) -> None:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
                for _ in range(8):
                    acknowledged.append(submit(http, reader))

        readers = [threading.Thread(target=work, args=(f"reader-{number}",)) for number in range(3)]
        for reader in readers:
            reader.start()
        made: list[tuple[set[str], str]] = []
        while any(reader.is_alive() for reader in readers) or not made:
            before = set(acknowledged)
            made.append((before, add_backup(server.workspace, tmp_path / "backups").summary.name))
        for reader in readers:
            reader.join()
        assert len(acknowledged) == 24
        during = [backup for backup in made if 0 < len(backup[0]) < 24]
        assert during
        for number, (before, name) in enumerate((during[0], during[-1])):
            root = tmp_path / f"restored-{number}"
            restore(tmp_path / "backups" / name, root, database="sqlite")
            restored = open_workspace(root)
            with restored.catalog.read() as session:
                assert before <= set(session.scalars(select(Annotation.examination_id)))
                assert session.execute(text("PRAGMA foreign_key_check")).all() == []
                assert case_counts.find_differences(session) == []
            restored.close()


@pytest.mark.soak
def test_killed_half_way_it_leaves_the_earlier_backup_whole(opened: OpenedWorkspace, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    first = add_backup(opened, folder)
    for number in range(900):
        (opened.logs / f"{number:04d}.log").write_text(f"line {number}\n")
    for kills in range(1, 3):
        command = [sys.executable, "-m", "mrseg_label.cli", "backup", str(folder), "--keep", "1"]
        child = subprocess.Popen([*command, "--workspace", str(opened.root)])
        while len(list(folder.glob("files/*/*"))) < 100 * kills:
            assert child.poll() is None, "it was too fast to be killed"
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert [one.name for one in BackupFolder.open(folder).backups()] == [first.summary.name]
        restore(folder, tmp_path / f"again-{kills}")
        assert cases_in(tmp_path / f"again-{kills}") == ["p1"]
    last = add_backup(opened, folder, keep=1)
    assert last.written < 900 - 150, "what the killed ones had stored is not stored again"
    restore(folder, tmp_path / "last")
    assert len(list((tmp_path / "last" / "logs").glob("????.log"))) == 900


def test_a_deletion_that_was_interrupted_comes_first(opened: OpenedWorkspace, tmp_path: Path) -> None:
    with opened.catalog.begin() as session:
        session.add(UnfinishedDeletion(actor="admin", traces={}, counts={}))
    with pytest.raises(Conflict, match="participants delete --apply"):
        add_backup(opened, tmp_path / "backups")
    assert not (tmp_path / "backups").exists()
