"""Images that a browser sends, or that lie in the inbox, are imported by a job."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination, Job
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.intake import inbox
from mrseg_label.intake.options import ImportOptions
from mrseg_label.jobs import JobContext, queue
from mrseg_label.jobs.claim import claim
from mrseg_label.reports.imports import read_imports
from mrseg_label.workspace import Workspace
from tests.integration.conftest import write_image


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\n')
    with closing(open_workspace(tmp_path / "ws")) as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return write_image(tmp_path / "image.nii.gz", 1).read_bytes()


def work(workspace: OpenedWorkspace) -> dict[str, Any]:
    """Run the import as a worker does; returns its document."""
    claimed = claim(workspace.catalog, [queue.LIGHT])
    assert claimed is not None and claimed.kind == queue.IMPORT_IMAGES
    inbox.run(JobContext(workspace, claimed, {}))
    return read_imports(workspace.catalog, 1)[0].model_dump()


def entries(workspace: OpenedWorkspace) -> list[str]:
    return sorted(path.name for path in (workspace.root / inbox.INBOX).iterdir())


def test_sent_files_are_imported_by_their_folders_and_removed(workspace: OpenedWorkspace, image: bytes) -> None:
    name = inbox.store_sent(workspace, [("study/p7/abdomen_in.nii.gz", io.BytesIO(image))])
    assert inbox.waiting(workspace) == [] and entries(workspace) == [name]
    pattern = "{participant}/{station}_{sequence}.nii.gz"
    options = ImportOptions(pattern=pattern, actor="chief", licence="CC BY 4.0", propagate=False)
    inbox.start_import(workspace, name, options)
    assert [(one.state, one.by, one.accepted) for one in read_imports(workspace.catalog, 9)] == [
        ("queued", "chief", None)
    ]
    done = work(workspace)
    assert (done["state"], done["accepted"], done["refused"], entries(workspace)) == (JobState.DONE, 1, 0, [])
    with workspace.catalog.read() as session:
        row = session.query(Examination).one()
        assert (row.acquisition.participant.code, row.acquisition.station, row.sequence) == ("p7", "abdomen", "in")
        assert row.licence == "CC BY 4.0" and not row.acquisition.propagates


def test_what_lies_in_the_inbox_stays_and_is_left_out_the_second_time(workspace: OpenedWorkspace, image: bytes) -> None:
    assert inbox.waiting(workspace) == []
    folder = workspace.root / inbox.INBOX / "study"
    folder.mkdir()
    (folder / "p1.nii.gz").write_bytes(image)
    (folder / "notes.nii.gz").write_bytes(b"no image")
    assert inbox.waiting(workspace) == [inbox.Waiting("study", 2)]
    for accepted in (1, 0):
        inbox.start_import(workspace, "study", ImportOptions(actor="chief"))
        done = work(workspace)
        assert (done["accepted"], done["unchanged"], done["refused"]) == (accepted, 1 - accepted, 1)
        ((refusal,), kept) = done["refusals"], entries(workspace)
        assert refusal["source"] == "notes.nii.gz" and kept == ["study"]
        with workspace.catalog.begin() as session:  # the work that follows from an import is not looked at here
            session.query(Job).filter(Job.state == JobState.QUEUED).delete()


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("../../mrseg.toml", "mrseg.toml"),
        ("/etc/passwd", "etc/passwd"),
        (r"C:\Users\ada\..\image.nii.gz", "C/Users/ada/image.nii.gz"),
        ("a/.hidden/..//b\x00\n.nii", "a/hidden/b.nii"),
    ],
)
def test_no_name_leads_out_of_the_inbox(workspace: OpenedWorkspace, sent: str, stored: str) -> None:
    before = (workspace.root / "mrseg.toml").read_bytes()
    name = inbox.store_sent(workspace, [(sent, io.BytesIO(b"x")), ("other.nii", io.BytesIO(b"x"))])
    (workspace.root / inbox.INBOX / name / "other.nii").unlink()
    found = [path for path in (workspace.root / inbox.INBOX).rglob("*") if path.is_file()]
    assert found == [workspace.root / inbox.INBOX / name / stored]
    assert (workspace.root / "mrseg.toml").read_bytes() == before


def test_what_cannot_be_imported_is_refused_and_leaves_nothing(workspace: OpenedWorkspace) -> None:
    for files in ([], [("a.nii", io.BytesIO())], [("..", io.BytesIO(b"x"))]):
        with pytest.raises(InvalidInput):
            inbox.store_sent(workspace, files)
    twice = [("a.nii", io.BytesIO(b"x")), ("a.nii", io.BytesIO(b"y"))]
    with pytest.raises(InvalidInput, match="two of the files"):
        inbox.store_sent(workspace, twice)
    for name in ("none", "..", "", "../images"):
        with pytest.raises(NotFound):
            inbox.start_import(workspace, name, ImportOptions())
    with pytest.raises(InvalidInput):
        inbox.start_import(workspace, "none", ImportOptions(pattern="{nonsense}"))
    assert entries(workspace) == [] and read_imports(workspace.catalog, 9) == []
