"""Migrations make the tables that the code describes, and keep what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.migrate import config, migration_state
from mrseg_label.catalog.queries import held_out
from mrseg_label.catalog.tables import Annotation, Assignment, Base, Evaluation, Job, Review, RoundCase
from mrseg_label.catalog.types import AssignmentOutcome, JobKind, JobState, StructureState
from mrseg_label.errors import ConfigurationError
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

pytestmark = pytest.mark.usefixtures("real_migrations")

MOMENT = "2026-01-02 03:04:05"
# A small workspace of migration 0002: a case that one reader returned and another submitted.
ROWS: dict[str, list[dict[str, Any]]] = {
    "participants": [{"id": "pt-1", "code": "P1"}],
    "acquisitions": [{"id": "aq-1", "participant_id": "pt-1", "key": "k", "station": "s", "sequence": "in", "shuffle": 0.5}],
    "examinations": [
        {"id": "ex-1", "acquisition_id": "aq-1", "sequence": "in", "source": "", "source_digest": "a", "path": "images/a",
         "digest": "a", "geometry": "{}", "warnings": "[]"},
    ],
    "model_versions": [{"version": "bootstrap", "status": "current", "metrics": "{}"}],
    "leases": [
        {"id": "ls-1", "ticket": "t1", "acquisition_id": "aq-1", "client": "c", "user": "ada", "second_read": False,
         "asked_for": True, "expires_at": MOMENT, "ended_at": MOMENT, "ended": "released"},
        {"id": "ls-2", "ticket": "t2", "acquisition_id": "aq-1", "client": "c", "user": None, "second_read": True,
         "asked_for": False, "expires_at": MOMENT, "ended_at": MOMENT, "ended": "submitted", "revision_id": "rv-0"},
    ],
    "revisions": [
        {"id": "rv-1", "acquisition_id": "aq-1", "examination_id": "ex-1", "number": 1, "state": "accepted",
         "author": "c", "client": "c", "path": "annotations/a", "digest": "a", "upload_path": "annotations/b",
         "upload_digest": "b", "lease_id": "ls-2", "is_final": True, "report": '{"renamed": {"Leber": "liver"}}'},
    ],
    "revision_structures": [{"revision_id": "rv-1", "structure": "liver", "state": "corrected", "voxels": 7}],
    "reviews": [{"id": "rw-1", "revision_id": "rv-1", "reviewer": "bob", "verdict": "accepted", "comment": "good"}],
    "rounds": [{"number": 1, "state": "done", "profile": "tiny", "final": False, "attempt": 1, "progress": "{}", "result": "{}"}],
    "round_cases": [{"round_number": 1, "revision_id": "rv-1", "acquisition_id": "aq-1", "role": "training"}],
    "evaluations": [{"model_version": "bootstrap", "revision_id": "rv-1", "mean_dsc": 0.5, "dsc": '{"liver": 0.5}'}],
    "jobs": [
        {"id": f"jb-{kind}", "kind": kind, "queue": "light", "key": key, "payload": json.dumps(payload), "priority": 0,
         "state": "queued", "attempt": 0, "max_attempts": 3, "cancel_requested": False, "progress": "{}", "result": "{}"}
        for kind, key, payload in (
            ("draft", "aq-1:bootstrap", {}), ("imported", "imported", {}), ("promoted", "promoted", {}),
            ("submitted", "rv-1", {"revision": "rv-1"}), ("masks", "m", {}), ("round", "1", {}),
        )
    ],
}  # fmt: skip
DATED = {"leases", "revisions", "reviews", "participants", "acquisitions", "examinations", "model_versions", "rounds",
         "evaluations", "jobs"}  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path, empty_database: str) -> Iterator[Catalog]:
    """A database without tables."""
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\n{empty_database}')
    with closing(Catalog(Workspace.open(tmp_path / "ws").database_url)) as catalog:
        yield catalog


def test_migrations_make_what_the_tables_say(empty: Catalog) -> None:
    empty.upgrade()
    with empty.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrations_are_known_without_alembic(empty: Catalog) -> None:
    empty.upgrade()
    with empty.engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert migration_state(empty.engine) == (present, head) == (head, head)


def test_database_of_a_newer_version_is_refused(empty: Catalog) -> None:
    empty.upgrade()
    with empty.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for use in (empty.upgrade, empty.check_current):
        with pytest.raises(ConfigurationError, match="9999"):
            use()


def test_database_of_an_older_version_is_upgraded_on_demand(empty: Catalog) -> None:
    command.upgrade(config(empty.engine), "0001")
    with pytest.raises(ConfigurationError, match="migration 0001.*mrseg-label upgrade"):
        empty.check_current()
    empty.upgrade()
    empty.check_current()


def test_absent_structures_leave_the_means_of_old_evaluations(empty: Catalog) -> None:
    rows = ROWS | {
        "revision_structures": [
            {"revision_id": "rv-1", "structure": "liver", "state": "corrected", "voxels": 700},
            {"revision_id": "rv-1", "structure": "spleen", "state": "absent", "voxels": 0},
            {"revision_id": "rv-1", "structure": "colon", "state": "drawn", "voxels": 500},
        ],
        "evaluations": [
            {"model_version": "bootstrap", "revision_id": "rv-1", "mean_dsc": 0.3,
             "dsc": '{"liver": 0.9, "spleen": 0.0, "colon": 0.0, "heart": null}'},
            {"model_version": "r1", "revision_id": "rv-1", "mean_dsc": 0.5, "dsc": '{"liver": 0.5, "spleen": null}'},
        ],
    }  # fmt: skip
    fill_0002(empty, rows)
    empty.upgrade()
    with empty.read() as session:
        old = session.get_one(Evaluation, ("bootstrap", "rv-1", "ex-1"))
        assert old.dsc == {"liver": 0.9, "spleen": None, "colon": 0.0, "heart": None}  # the colon was missed
        assert (old.mean_dsc, old.apart) == (0.45, {"false_positive_ml": {"spleen": None}})
        assert session.get_one(Evaluation, ("r1", "rv-1", "ex-1")).apart == {}
        measured = held_out.scores_of(session, ["bootstrap"])["bootstrap"]
        assert measured.mean_dsc == 0.45 and measured.false_positives["spleen"].ml is None


def fill_0002(empty: Catalog, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Fill a database of migration 0002."""
    command.upgrade(config(empty.engine), "0002")
    with empty.engine.execution_options(mrseg_writes=True).begin() as connection:
        for table, rows in tables.items():
            for row in rows:
                values = row | ({"created_at": MOMENT} if table in DATED else {})
                names = ", ".join(f'"{name}"' for name in values)
                places = ", ".join(f":{name}" for name in values)
                connection.execute(text(f'INSERT INTO "{table}" ({names}) VALUES ({places})'), values)


def test_renamed_tables_keep_their_rows(empty: Catalog) -> None:
    fill_0002(empty, ROWS)
    empty.upgrade()
    with empty.read() as session:
        returned, submitted = session.get_one(Assignment, "ls-1"), session.get_one(Assignment, "ls-2")
        assert (returned.account, returned.outcome, returned.requested) == ("ada", AssignmentOutcome.RETURNED, True)
        assert submitted.outcome is AssignmentOutcome.SUBMITTED and submitted.second_reading
        assert submitted.annotation_id == "rv-0"
        annotation = session.get_one(Annotation, "rv-1")
        assert (annotation.assignment_id, annotation.report) == ("ls-2", {"renamed": {"Leber": "liver"}})
        assert [(item.structure, item.state) for item in annotation.structures] == [("liver", StructureState.CORRECTED)]
        assert session.get_one(Review, "rw-1").annotation_id == "rv-1"
        assert session.get_one(RoundCase, (1, "rv-1")).annotation is annotation
        assert session.get_one(Evaluation, ("bootstrap", "rv-1", "ex-1")).dsc == {"liver": 0.5}
        (again,) = session.query(Job).filter_by(kind=JobKind.MEASURE_MISSING_EFFORT)
        assert (again.state, again.queue, again.priority) == (JobState.QUEUED, queue.LIGHT, queue.BACKGROUND_PRIORITY)
        jobs = {job.id.removeprefix("jb-"): job for job in session.query(Job) if job is not again}
        assert {old: job.kind for old, job in jobs.items()} == {
            "draft": JobKind.PRESEGMENT,
            "imported": JobKind.PRESEGMENT_PENDING,
            "promoted": JobKind.RENEW_PRESEGMENTATIONS,
            "submitted": JobKind.MEASURE_EFFORT,
            "masks": JobKind.IMPORT_MASK,
            "round": JobKind.TRAIN_ROUND,
        }
        assert jobs["submitted"].payload == {"annotation": "rv-1"}
        assert {jobs[old].key for old in ("imported", "promoted")} == {"presegment_pending", "renew_presegmentations"}
