"""A name that exists stands for a whole file."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mrseg_label import files
from tests.support.process_trees import wait_until


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("write", [files.write_durably, files.write_atomically])
def test_a_file_is_written_and_replaced(tmp_path: Path, write: object) -> None:
    assert callable(write)
    for content in (b"one", b"", b"three"):
        write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
        assert names(tmp_path) == {"file"}


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.write_durably(target, b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(target, durable=True) as temporary:
        temporary.write_bytes(b"new")
        raise ZeroDivisionError
    assert target.read_bytes() == b"old" and names(tmp_path) == {"file"}


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    for durable in (True, False):
        with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "file", durable=durable):
            pass
    assert names(tmp_path) == set()


def test_temporary_names_differ_unless_there_is_one_writer(tmp_path: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    with (
        files.replacing(target, durable=False) as first,
        files.replacing(target, durable=False) as second,
    ):
        assert first != second and {first.suffix, second.suffix} == {files.TEMPORARY_SUFFIX}
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    with files.replacing(target, durable=False, suffix=".nii.gz") as other:
        assert other.name.endswith(".part.nii.gz")
        other.write_bytes(b"3")
    assert names(tmp_path) == {"mask.nii.gz"} and target.read_bytes() == b"3"


def test_a_single_writer_overwrites_what_a_killed_one_left(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from mrseg_label.files import replacing
        with replacing(Path({str(tmp_path / "checkpoint")!r}), durable=True, one_writer=True) as temporary:
            temporary.write_bytes(b"half")
            time.sleep(300)
    """)
    with subprocess.Popen([sys.executable, "-c", script]) as writer:
        wait_until(lambda: names(tmp_path) == {".checkpoint.part"})
        writer.send_signal(signal.SIGKILL)
    assert names(tmp_path) == {".checkpoint.part"}
    with files.replacing(tmp_path / "checkpoint", durable=True, one_writer=True) as temporary:
        temporary.write_bytes(b"whole")
    assert names(tmp_path) == {"checkpoint"} and (tmp_path / "checkpoint").read_bytes() == b"whole"


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "model") as partial:
        (partial / "weights").write_bytes(b"half")
        raise ZeroDivisionError
    assert names(tmp_path) == set()
    with files.new_folder(tmp_path / "deep" / "model") as partial:
        (partial / "weights").write_bytes(b"whole")
        assert not (tmp_path / "deep" / "model").exists()
    assert names(tmp_path / "deep") == {"model"} and names(tmp_path / "deep" / "model") == {"weights"}


def test_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    for _ in range(2):
        files.make_folder(tmp_path / "a" / "b" / "c")
        assert (tmp_path / "a" / "b" / "c").is_dir()


def test_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    files.sync(tmp_path / "abc")
    files.sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.sync(tmp_path / "none")
    assert names(tmp_path) == {"abc"}
