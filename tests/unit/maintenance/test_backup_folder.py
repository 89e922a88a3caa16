"""A folder of backups: what does not change is stored once, and a backup is whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mrseg_label.errors import ConfigurationError, Conflict, InvalidInput, StoredFileError
from mrseg_label.files import sha256_of
from mrseg_label.maintenance import backup_folder
from mrseg_label.maintenance.backup_folder import BackupFolder
from mrseg_label.maintenance.backup_values import Source


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three files, of which two have the same content."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def backups(tmp_path: Path) -> BackupFolder:
    return BackupFolder.create(tmp_path / "backups")


def sources(data: Path, *, digests: bool = False) -> Iterator[Source]:
    for file in sorted(data.iterdir()):
        yield Source(file.name, file, sha256_of(file) if digests else None)


def restored(backups: BackupFolder, name: str | None, target: Path) -> dict[str, bytes]:
    target.mkdir()
    for kept in backups.files_of(backups.get(name)):
        backups.copy(kept, target / kept.path)
    return {file.name: file.read_bytes() for file in target.iterdir()}


def stored(backups: BackupFolder) -> dict[str, int]:
    """Inode by content: one that is written again has another."""
    return {file.name: file.stat().st_ino for file in backups.root.glob("files/*/*")}


def test_an_unchanged_file_is_neither_read_nor_written_again(backups: BackupFolder, data: Path, tmp_path: Path) -> None:
    first = backups.add(sources(data), "1")
    assert (first.summary.files, first.summary.bytes, first.written) == (3, 9, 2)
    before = stored(backups)
    (data / "b").write_bytes(b"changed")
    access = (data / "a").stat()
    os.utime(data / "a", ns=(0, access.st_mtime_ns))
    second = backups.add(sources(data), "1")
    assert (second.written, second.written_bytes) == (1, 7)
    assert (data / "a").stat().st_atime_ns == 0, "it was read"
    assert before.items() <= stored(backups).items() and len(stored(backups)) == 3
    assert restored(backups, first.summary.name, tmp_path / "1") == {"a": b"one", "b": b"two", "c": b"one"}
    assert restored(backups, None, tmp_path / "2") == {"a": b"one", "b": b"changed", "c": b"one"}


def test_the_newest_is_told_by_its_number_if_the_clock_was_set_back(
    backups: BackupFolder, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.add(sources(data), "1")
    monkeypatch.setattr(backup_folder, "now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    later = backups.add(sources(data), "1").summary
    assert (later.name, later.number) == ("000002-2001-01-01T000000Z", 2)
    assert backups.get() == later


def test_only_the_newest_are_kept_and_nothing_of_the_others(backups: BackupFolder, data: Path, tmp_path: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (data / "b").write_bytes(content)
        added = backups.add(sources(data), "1", keep=2)
    assert [one.number for one in backups.backups()] == [2, 3]
    assert [name[:6] for name in added.removed] == ["000001"]
    assert len(stored(backups)) == 3
    assert restored(backups, backups.backups()[0].name, tmp_path / "1")["b"] == b"second"
    assert backups.add(sources(data), "1", keep=1).summary == backups.get()
    assert len(backups.backups()) == 1 and len(stored(backups)) == 2


def test_what_was_cut_off_is_not_written_again_and_leaves_nothing(backups: BackupFolder, data: Path) -> None:
    first = backups.add(sources(data), "1").summary
    (data / "b").write_bytes(b"of the one that is cut off")
    (data / "d").write_bytes(b"stays")

    def cut_off() -> Iterator[Source]:
        for source in sources(data):
            if source.path == "e":
                raise KeyboardInterrupt
            yield source

    (data / "e").write_bytes(b"never")
    with pytest.raises(KeyboardInterrupt):
        backups.add(cut_off(), "1")
    assert backups.get() == first
    (backups.root / ".000002-left.partial").mkdir()
    (backups.root / "files" / ".1.part").write_bytes(b"left by a kill")
    (data / "b").write_bytes(b"two")
    second = backups.add(sources(data), "1")
    assert second.written == 1, "only e is new"
    assert len(stored(backups)) == 4, "the other content of b is gone"
    assert sorted(entry.name for entry in backups.root.iterdir()) == sorted(
        [".lock", first.name, second.summary.name, "files", "mrseg-backups.json"]
    )
    assert not list((backups.root / "files").glob(".*"))


def test_a_damaged_file_is_taken_from_an_earlier_backup_or_refused(
    backups: BackupFolder, data: Path, tmp_path: Path
) -> None:
    known = [*sources(data, digests=True)]
    (data / "d").write_bytes(b"new")
    known.append(Source("d", data / "d", sha256_of(data / "d")))
    backups.add(iter(known[:3]), "1")
    (data / "a").write_bytes(b"rot")
    assert backups.add(iter(known), "1").summary.files == 4
    assert restored(backups, None, tmp_path / "1")["a"] == b"one"
    (data / "d").write_bytes(b"rotten")
    damaged = Source("d", data / "d", sha256_of(data / "b")[::-1])
    with pytest.raises(StoredFileError, match="d is damaged"):
        backups.add(iter([*known[:3], damaged]), "1")
    assert len(backups.backups()) == 2


def test_damage_of_the_folder_is_found_and_mended_by_the_next(
    backups: BackupFolder, data: Path, tmp_path: Path
) -> None:
    name = backups.add(sources(data), "1").summary.name
    place = next(backups.root.glob(f"files/*/{sha256_of(data / 'b')}"))
    for content, message in ((b"tw", "damaged"), (None, "missing")):
        place.unlink() if content is None else place.write_bytes(content)
        with pytest.raises(StoredFileError, match=rf"b cannot be restored: .* is {message}"):
            restored(backups, name, tmp_path / message)
        assert backups.add(sources(data), "1").written == 1
    (backups.root / backups.get().name / "files.jsonl.gz").write_bytes(b"none")
    with pytest.raises(InvalidInput, match="cannot be read"):
        restored(backups, None, tmp_path / "list")
    assert backups.add(sources(data), "1").written == 0
    (backups.root / name / "backup.json").write_text("{}")
    with pytest.raises(InvalidInput, match="move this backup away"):
        backups.backups()


def test_two_do_not_write_and_nothing_is_removed_that_is_restored(backups: BackupFolder, data: Path) -> None:
    backups.add(sources(data), "1")
    with backups.reading(), backups.reading(), pytest.raises(Conflict, match="repeat it when that is done"):
        backups.add(sources(data), "1", keep=1)
    with (backups.root / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Conflict), backups.reading():
            pass
    (backups.root / ".lock").unlink()
    with backups.reading():
        assert len(backups.backups()) == 1


def test_other_folders_are_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigurationError, match="other files and no backups"):
        BackupFolder.create(data)
    with pytest.raises(InvalidInput, match="not a folder of backups"):
        BackupFolder.open(data)
    made = BackupFolder.create(tmp_path / "new" / "backups")
    with pytest.raises(InvalidInput, match="no finished backup"):
        made.get()
    made.add(sources(data), "1")
    with pytest.raises(InvalidInput, match="no backup none; it has 000001-"):
        made.get("none")
    (made.root / "mrseg-backups.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(InvalidInput, match="format 2; install the newer version"):
        BackupFolder.create(made.root)
