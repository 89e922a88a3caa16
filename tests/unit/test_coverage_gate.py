"""The gate of line coverage in ``.ci/run``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

GATE = Path(__file__).parents[2] / ".ci" / "coverage_gate.py"


@pytest.mark.parametrize(("covered", "code"), [(919, 1), (920, 0)])
def test_fewer_lines_than_must_be_are_refused(tmp_path: Path, covered: int, code: int) -> None:
    report = tmp_path / "coverage.json"
    totals = {
        "covered_lines": covered,
        "num_statements": 1000,
        "covered_branches": 30,
        "num_branches": 40,
        "percent_covered": 90.0,
    }
    report.write_text(json.dumps({"totals": totals}), encoding="utf-8")
    done = subprocess.run([sys.executable, str(GATE), str(report)], capture_output=True, text=True)
    assert done.returncode == code
    assert "branches 75.0 %" in done.stdout
    assert ("add tests" in done.stderr) == bool(code)
