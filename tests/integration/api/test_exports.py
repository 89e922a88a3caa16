"""The annotated data set over REST."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from mrseg_label.catalog.queries import audit
from mrseg_label.exports.folder import LIST
from mrseg_label.exports.service import Form, Options, export
from tests.integration.api.test_api import Opened, opened, problem_of
from tests.support.stations import grid, store_station

__all__ = ["opened"]
ADDRESS = "/api/v1/export"


def test_the_archive_has_the_files_of_the_folder(opened: Opened, tmp_path: Path) -> None:
    workspace, client = opened
    problem_of(client.get(ADDRESS), 422)
    problem_of(client.get(ADDRESS, params={"format": "nnunet"}), 422)
    for name, bottom in (("pelvis", 0.0), ("abdomen", 28.0)):
        mask = np.full(grid(bottom, 10).shape, workspace.scheme["liver"].id, dtype=np.uint8)
        store_station(workspace, "p1", name, grid(bottom, 10), mask=mask)
    for form in ("bids", "participants"):
        answer = client.get(ADDRESS, params={"format": form})
        assert answer.headers["content-disposition"] == f'attachment; filename="{form}.zip"'
        assert answer.content == client.get(ADDRESS, params={"format": form}).content
        sent = unpack(answer.content)
        folder = export(workspace, tmp_path / form, Options(Form(form))).folder
        kept = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert kept.pop(LIST)
        assert sent == kept
        head = client.head(ADDRESS, params={"format": form})
        assert (head.status_code, head.content) == (200, b"")
    with workspace.catalog.read() as session:
        assert [event.subject for event in audit.page(session, 100, actions=["downloaded"])] == ["data set"] * 4
    assert list((workspace.root / "tmp").iterdir()) == []


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
