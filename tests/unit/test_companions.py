"""What operating systems leave beside files is told from the user's own files."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from mrseg_label.companions import is_companion


@pytest.mark.parametrize(
    ("path", "companion"),
    [
        ("__MACOSX/case/._1.dcm", True),
        ("__macosx/x.dcm", True),
        ("case/._1.dcm", True),
        ("case/.DS_Store", True),
        ("case/Thumbs.db", True),
        ("THUMBS.DB", True),
        ("case/desktop.ini", True),
        ("case/Icon\r", True),
        ("@eaDir/1.dcm/SYNO", True),
        ("$RECYCLE.BIN/1.dcm", True),
        ("System Volume Information/x", True),
        (".Trashes/501/1.nii.gz", True),
        ("./case/1.dcm", False),
        ("case/1.dcm", False),
        ("macosx/1.dcm", False),
        ("case/thumbs.db.nii.gz", False),
        ("", False),
    ],
)
def test_a_companion_is_known_by_its_path(path: str, companion: bool) -> None:
    assert is_companion(PurePosixPath(path)) == companion
