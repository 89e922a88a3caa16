"""Where the repository and the shared real data lie; tests that need the latter are skipped without it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_MR = ROOT.parent / "shared" / "data" / "real_mr"
