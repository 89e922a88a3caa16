"""What the tests of imports share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.workspace import Workspace


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()
