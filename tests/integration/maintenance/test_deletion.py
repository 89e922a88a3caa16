"""Whoever withdraws is gone: no byte of theirs is left, also after kills, and in restored backups."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine, make_url

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import audit, deleted, jobs, rounds
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Assignment,
    Examination,
    Job,
    Participant,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import Conflict
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.maintenance import backup, restoring
from mrseg_label.maintenance.backup_folder import BackupFolder
from mrseg_label.maintenance.checks import State
from mrseg_label.maintenance.checks.deletions import check_deletions
from mrseg_label.maintenance.checks.workspace import check_digests, check_leftovers
from mrseg_label.maintenance.deletion import plan, service, tombstones
from tests.support.round_cases import NAMES, annotate, round_workspace, run_round
from tests.support.withdrawn import DATASET, GONE, OTHERS, PATTERN, Study, study

STEPS = (1, 2, 3, 4, 6, 9, 14)  # of an attempt, after which it is killed: removed files, and statements of the database


@pytest.fixture
def withdrawn(tmp_path: Path, database_settings: str) -> Iterator[Study]:
    with study(tmp_path, database_settings) as made:
        yield made


def check_gone(made: Study) -> None:
    """No byte of the participant is left, and everything of the others is."""
    assert made.left() == []
    assert left_in_database_files(made) == []
    workspace, root = made.workspace, made.root
    assert check_digests(workspace, lambda *_: None).state is State.OK
    assert check_leftovers(workspace).state is State.OK
    assert [check.state for check in check_deletions(workspace)] == [State.OK]
    with workspace.catalog.read() as session:
        assert sorted(session.query(Participant.code).all()) == sorted((code,) for code in OTHERS)
        assert session.query(Examination).count() == 4 and session.query(Annotation).count() == 2
        assert session.query(RoundCase).count() == 2
        kept = session.get_one(Annotation, made.annotations[OTHERS[0]])
        result = session.get_one(Round, 1).result
        assert set(result["filling"]) == {made.annotations[code] for code in OTHERS}
        assert result["swapped"] == [kept.examination_id] and result["left_out"] == {}
        assert result["warnings"][1] == "trained on the CPU"
        (entry,) = audit.page(session, 5, actions=[service.ACTION])
        assert (entry.actor, entry.subject, entry.detail["images"]) == ("admin", "participants", 2)
        assert (entry.detail["trained_on"], entry.detail["descended"]) == (["r1"], ["r2"])
        assert len(audit.page(session, 9, actions=["exclude", "include"])) == 2, "who did what, and when, stays"
        (failed,) = session.query(Job).filter_by(state=JobState.FAILED)
        assert "the disk is full" in (failed.error or "") and failed.payload == {"left": ["x"]}
    lines = (root / "logs" / "server.log").read_text().splitlines()
    assert lines[0].startswith(f"the draft of {kept.examination_id}") and lines[3] == f"imported {OTHERS[1]}"
    assert (root / "inbox" / "kept" / "image.nii.gz").is_file() and not (root / "inbox" / "sent-1").exists()
    preprocessed = root / "nnunet" / "preprocessed" / DATASET
    assert (preprocessed / "nnUNetPlans.json").is_file(), "the next round takes the plans over"
    assert len(list(preprocessed.glob("nnUNetPlans_3d_fullres/*.pkl"))) == 2
    assert len(list((preprocessed.parent / "cases").glob("??/*/case.pkl"))) == 2


def left_in_database_files(made: Study) -> list[str]:
    """Files of PostgreSQL's database that have a byte of the participant; its write-ahead log is out of reach."""
    if made.workspace.catalog.is_sqlite:
        return []  # its files lie in the workspace
    with made.workspace.catalog.read() as session:
        data = Path(session.execute(text("SHOW data_directory")).scalar_one())
        oid = session.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar_one()
    return made.left(data / "base" / str(oid))


def test_a_participant_is_gone_from_everywhere(withdrawn: Study) -> None:
    report = withdrawn.root / "evaluations" / "report.html"
    report.write_text("a page with pictures, which do not say whom they show")
    (report.parent / "r1").mkdir()
    (report.parent / "r1" / "measured.jsonl").write_text("{}")
    assert len(withdrawn.left()) > 30
    planned = plan.plan(withdrawn.workspace, [GONE, "4000000"])
    assert (planned.counts["images"], planned.counts["annotations"], planned.unknown) == (2, 1, ("4000000",))
    assert planned.trained_on == ("r1",) and planned.downloads == 1 and planned.problem is None
    assert sorted(Path(path).name for path in planned.outside) == [f"{GONE}_in.nii.gz", f"{GONE}_water.nii.gz"]
    assert len(withdrawn.left()) > 30, "it was only shown"
    done = service.delete(withdrawn.workspace, [GONE], actor="admin")
    assert done.applied and done.counts == planned.counts
    check_gone(withdrawn)
    assert report.parent.is_dir() and not list(report.parent.iterdir())
    # The same again finds nobody, and somebody else under the code is refused.
    assert service.delete(withdrawn.workspace, [GONE], actor="admin").already == 1
    imported = import_paths(withdrawn.workspace, [withdrawn.cohort], ImportOptions(pattern=PATTERN))
    assert len(imported.refused) == 2 and imported.unchanged == 4
    assert all("deleted on request" in one.reason and GONE not in one.reason for one in imported.refused)
    assert service.readmit(withdrawn.workspace, GONE) and not service.readmit(withdrawn.workspace, GONE)
    assert len(import_paths(withdrawn.workspace, [withdrawn.cohort], ImportOptions(pattern=PATTERN)).accepted) == 2


def killed_after(steps: int, workspace: Path) -> int:
    """Delete in a process that kills itself after so many steps; returns how it ended: -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            _kill_after(steps)
            opened = open_workspace(workspace)
            service.delete(opened, [GONE], actor="admin")
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - it must not run on as pytest
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _kill_after(steps: int) -> None:
    left = [steps]

    def step() -> None:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_file(name: str, _arguments: object) -> None:
        if name in ("os.remove", "os.rmdir", "os.rename", "shutil.rmtree"):
            step()

    sys.addaudithook(on_file)

    @event.listens_for(Engine, "commit")
    def on_commit(_connection: object) -> None:
        step()


def test_killed_again_and_again_it_ends_the_same(withdrawn: Study) -> None:
    withdrawn.workspace.catalog.close()  # a connection must not be shared with a forked process
    ends = [killed_after(steps, withdrawn.root) for steps in STEPS]
    assert ends.count(-signal.SIGKILL) >= 5, ends
    interrupted = [check for check in check_deletions(withdrawn.workspace) if check.state is State.FAILED]
    if interrupted and withdrawn.workspace.catalog.is_sqlite:
        with pytest.raises(Conflict, match="finish it first"):
            backup.backup(withdrawn.workspace, withdrawn.cohort / "b.tar")
    assert killed_after(1_000_000, withdrawn.root) == 0
    check_gone(withdrawn)


def test_it_waits_for_rounds_jobs_and_readers_or_ends_them(withdrawn: Study) -> None:
    workspace = withdrawn.workspace
    with workspace.catalog.begin() as session:
        session.get_one(Round, 1).state = RoundState.TRAINING
        case = withdrawn.cases[GONE]
        ada = Reader("ada")
        session.add(
            Assignment(ticket="t" * 32, acquisition_id=case, client=ada.client, expires_at=now() + timedelta(hours=1))
        )
        job = queue.enqueue(session, queue.PRESEGMENT, {"acquisition": case}, key=f"{case}:r2")
        job.state, job.lease_expires_at = JobState.RUNNING, now() + timedelta(minutes=1)
        running = job.id
    with pytest.raises(Conflict, match=r"round 1 .*1 running jobs.* open at: ada; .*--cancel"):
        service.delete(workspace, [GONE])
    with pytest.raises(Conflict, match="have not ended yet"):  # the worker has not stopped the process yet
        service.delete(workspace, [GONE], cancel=True)
    with workspace.catalog.begin() as session:
        found = jobs.get(session, running)
        assert found is not None and found.cancel_requested and session.get_one(Assignment, _open(session)).ended_at
        found.lease_expires_at = now() - timedelta(seconds=1)
        row = rounds.get(session, 1)
        assert row is not None and row.state is RoundState.CANCELLED
        assert session.query(Participant).count() == 3, "nothing was deleted"
    service.delete(workspace, [GONE], actor="admin", cancel=True)
    assert withdrawn.left() == []


def _open(session: object) -> str:
    return session.query(Assignment.id).filter_by(ticket="t" * 32).scalar()  # type: ignore[attr-defined,no-any-return]


def check_copy_of_postgresql(made: Study, folder: Path) -> None:
    """An older copy of database and files, as PostgreSQL's own programs make it, is told of the deletion by the list."""
    shutil.copytree(made.root, folder)
    url = make_url(str(made.workspace.settings.database_url))
    made.workspace.catalog.close()
    with psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f'CREATE DATABASE "{url.database}_copy" TEMPLATE "{url.database}"'.encode())
    settings = (folder / "mrseg.toml").read_text()
    (folder / "mrseg.toml").write_text(settings.replace(str(url.database), f"{url.database}_copy"))
    service.delete(made.workspace, [GONE], actor="admin")
    copy = open_workspace(folder)
    try:
        assert len(made.left_in_rows(copy)) > 10
        done = service.delete_listed(copy, tombstones.read_entries(made.root), apply=True)
        assert done.counts["participants"] == 1
        assert made.left(folder) == [] and made.left_in_rows(copy) == []
    finally:
        copy.catalog.close()


def test_it_is_applied_to_a_backup_that_is_restored(withdrawn: Study, tmp_path: Path) -> None:
    workspace = withdrawn.workspace
    if not workspace.catalog.is_sqlite:
        check_copy_of_postgresql(withdrawn, tmp_path / "copy")
        return
    (tmp_path / "backups").mkdir()
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "backups" / "new.tar"
    backup.backup(workspace, file)
    folder = tmp_path / "many"
    backup.add_backup(workspace, folder)
    file = file.rename(file.with_name("monday.tar"))  # as a script does that keeps seven
    elsewhere = tmp_path / "elsewhere" / "copy.tar"
    elsewhere.write_bytes(file.read_bytes())
    done = service.delete(workspace, [GONE], actor="admin")
    (name,) = (one.name for one in BackupFolder.open(folder).backups())
    assert [path for path, _ in done.backups] == [str(folder / name), str(tmp_path / "backups" / "new.tar")]
    listed = tmp_path / "backups" / tombstones.FILE
    assert done.lists == (str(listed.parent), str(folder)) and GONE not in listed.read_text()
    assert restoring.restore(file, tmp_path / "again").deleted == 1
    assert restoring.restore(elsewhere, tmp_path / "third", deletions=workspace.root).deleted == 1
    assert restoring.restore(folder / name, tmp_path / "sixth").deleted == 1
    for again in ("again", "third", "sixth"):
        restored = open_workspace(tmp_path / again)
        try:
            assert withdrawn.left(restored.root) == [] and withdrawn.left_in_rows(restored) == []
            with restored.catalog.read() as session:
                assert deleted.with_code(session, GONE) is not None and session.query(Acquisition).count() == 2
        finally:
            restored.catalog.close()
    # Without the list nobody knows: this is what `participants delete --again` is for.
    assert restoring.restore(elsewhere, tmp_path / "fourth").deleted == 0
    restored = open_workspace(tmp_path / "fourth")
    try:
        entries = tombstones.read_entries(workspace.root)
        assert service.delete_listed(restored, entries).counts["participants"] == 1
        assert service.delete_listed(restored, entries, apply=True).applied
        assert withdrawn.left(restored.root) == [] and withdrawn.left_in_rows(restored) == []
    finally:
        restored.catalog.close()


@pytest.mark.soak
def test_a_round_trained_on_them_leaves_nothing_and_the_next_one_reuses_the_rest(tmp_path: Path) -> None:
    with round_workspace(tmp_path) as workspace:
        cases = [annotate(workspace, tmp_path, seed, NAMES, held_out=seed == 3) for seed in range(4)]
        assert run_round(workspace).state == "done"
        with workspace.catalog.read() as session:
            gone = session.get_one(Acquisition, cases[0])
            (image,) = session.query(Examination).filter_by(acquisition_id=gone.id)
            traces = {gone.id, gone.participant_id, gone.participant.code, image.id, image.digest, image.source_digest}
            traces |= {str(image.fingerprint), "image 0"}
            code = gone.participant.code
        preprocessed = workspace.nnunet / "preprocessed" / "Dataset501_round1"
        voxels = [
            file.read_bytes()[-512:] for file in preprocessed.rglob(f"{image.id}*") if file.suffix in (".b2nd", ".gz")
        ]
        made = Study(workspace, tmp_path, traces=traces, voxels=voxels)
        assert len(voxels) >= 3 and len(made.left()) > 20
        service.delete(workspace, [code], actor="admin")
        assert made.left() == []
        annotate(workspace, tmp_path, 5, NAMES, held_out=False)
        second = run_round(workspace)
        assert second.state == "done", second.error
        assert second.result is not None and second.result["cases_reused"] == 2, "the two others of the first round"
        assert made.left() == []
