"""Fifty radiologists at once on two server processes and PostgreSQL, while rounds train."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import Load, run
from tests.support.postgresql import new_database


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_radiologists_while_a_round_trains(tmp_path: Path, postgresql_server: str) -> None:
    load = Load(readers=50, seconds=180, pause=(30, 60), profile="smoke")
    outcome = run(tmp_path, new_database(postgresql_server), load)
    print(outcome)  # how fast it is depends on the machine
    # Among the errors are cases that were assigned twice, and acknowledged submissions that are not in the database.
    assert outcome.errors == []
    assert len(outcome.seconds["submission"]) > load.readers
    assert outcome.training_share > 0
    assert "failed" not in outcome.rounds
