"""Fail where fewer lines are covered than must be; print the shares of lines and of branches.

    uv run python .ci/coverage_gate.py coverage.json

``fail_under`` in ``pyproject.toml`` gates lines and branches together (``coverage report`` does); this gates lines alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LINES_AT_LEAST = 92.0


def share(covered: int, count: int) -> float:
    """Percent; all of nothing is 100."""
    return 100.0 * covered / count if count else 100.0


def main(report: Path) -> None:
    """Read the report of ``coverage json``."""
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    lines = share(totals["covered_lines"], totals["num_statements"])
    branches = share(totals["covered_branches"], totals["num_branches"])
    print(
        f"lines {lines:.1f} % (at least {LINES_AT_LEAST:g} %), branches {branches:.1f} %, together {totals['percent_covered']:.1f} %"
    )
    if lines < LINES_AT_LEAST:
        sys.exit(f"{lines:.1f} % of lines are covered, which is below {LINES_AT_LEAST:g} %: add tests")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
