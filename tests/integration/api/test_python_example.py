"""The program in the guide for programmers runs against a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mrseg_label.accounts import credentials
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.catalog.types import CredentialKind, Role, Scope
from mrseg_label.clock import now
from mrseg_label.files import sha256_of
from tests.integration.conftest import Guarded
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant
from tests.support.paths import ROOT


def test_the_example_of_the_guide_reports_and_saves_masks(
    guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = guarded.workspace
    with workspace.catalog.begin() as session:
        row = add_annotation(session, add_acquisition(session, add_participant(session, "example")))
        workspace.path(row.path).parent.mkdir(parents=True, exist_ok=True)
        workspace.path(row.path).write_bytes(b"a mask")
        row.digest = sha256_of(workspace.path(row.path))
    _, key = credentials.make(workspace.catalog, Role.SERVICE, CredentialKind.API_KEY, "example", actor="test", scopes={Scope.MASKS})  # fmt: skip
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "programming.md").read_text(encoding="utf-8"), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API", f"{guarded.url}/api/v1")
    monkeypatch.setenv("KEY", key)
    exec(compile(code, "docs/programming.md", "exec"), {"__name__": "__main__"})
    shown = capsys.readouterr().out
    assert "cases annotated" in shown and "bootstrap" in shown and "examinations with an annotation" in shown
    assert (tmp_path / "masks" / f"{row.id}.nii.gz").read_bytes() == b"a mask"
    monkeypatch.setenv("KEY", "wrong")
    with pytest.raises(SystemExit, match="^401 "):
        exec(compile(code, "docs/programming.md", "exec"), {"__name__": "__main__"})
    with workspace.catalog.begin() as session:  # other tests do not get a case without an image
        session.get_one(Acquisition, row.acquisition_id).excluded_at = now()
