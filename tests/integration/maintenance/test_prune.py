"""What can be made again is removed by rule; images, annotations, models and what is in use are not, whatever kills it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import audit, contents
from mrseg_label.catalog.tables import Annotation, Assignment, Job, ModelVersion, Presegmentation, Round
from mrseg_label.catalog.types import JobState, ModelStatus, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import InvalidInput
from mrseg_label.files import sha256_of
from mrseg_label.ids import new_id
from mrseg_label.jobs import queue
from mrseg_label.maintenance.checks import State
from mrseg_label.maintenance.checks.workspace import check_digests, check_leftovers
from mrseg_label.maintenance.prune import Removed, prune
from mrseg_label.nnunet.lock import folder_lock
from tests.support.catalog_rows import add_round
from tests.support.withdrawn import CODES, DATASET, GONE, OTHERS, Study, study

AGE = timedelta(days=40)


@pytest.fixture
def full(tmp_path: Path, database_settings: str) -> Iterator[Study]:
    """A study 40 days later: the model r3 drafts now, and each case has drafts of r1, r2 and r3 behind the corrected one."""
    with study(tmp_path, database_settings) as made:
        workspace = made.workspace
        with workspace.catalog.begin() as session:
            session.query(ModelVersion).filter_by(status=ModelStatus.CURRENT).one().status = ModelStatus.RETIRED
            session.flush()
            session.add(ModelVersion(version="r3", status=ModelStatus.CURRENT, parent="r2"))
            session.flush()
            for annotation in session.query(Annotation).all():
                for number, version in enumerate(("r1", "r2", "r3")):
                    identifier = new_id("ps")
                    path = f"presegmentations/{annotation.acquisition_id}/{identifier}.nii.gz"
                    digest = workspace.put_bytes(path, f"{identifier} drawn by {version}".encode())
                    session.add(
                        Presegmentation(
                            id=identifier, acquisition_id=annotation.acquisition_id, examination_id=annotation.examination_id,
                            model_version=version, source="nnunet", path=path, digest=digest,
                            created_at=now() - AGE + timedelta(hours=number),
                        )
                    )  # fmt: skip
            for job in session.query(Job).all():
                job.finished_at = now() - AGE
        for name in ("r1.zip", "r3.zip"):
            (workspace.models / name).write_bytes(b"an archive")
        for file in (
            *workspace.models.glob("*.zip"),
            *(made.root / "presegmentations").rglob("*.gz"),
            made.root / "logs" / "server.log",
        ):
            os.utime(file, (time.time() - AGE.total_seconds(),) * 2)
        yield made


def by_kind(removed: list[Removed]) -> dict[str, int]:
    return {one.kind: one.count for one in removed if one.count}


def stored(made: Study) -> set[tuple[str, str]]:
    """Images and annotations, with what they are now."""
    return {
        (file.relative_to(made.root).as_posix(), sha256_of(file))
        for folder in ("images", "annotations")
        for file in (made.root / folder).rglob("*")
        if file.is_file()
    }


def test_only_what_can_be_made_again_goes(full: Study) -> None:
    before, workspace = stored(full), full.workspace
    with workspace.catalog.begin() as session:
        # One case is open at a reader, and a round fills masks from a draft of another.
        session.add(
            Assignment(
                ticket="t" * 32, acquisition_id=full.cases[GONE], client="ada", expires_at=now() + timedelta(hours=1)
            )
        )
        filled = (
            session.query(Presegmentation).filter_by(acquisition_id=full.cases[OTHERS[0]], model_version="r2").one()
        )
        row = session.get_one(Round, 1)
        row.result = {**row.result, "filling": {full.annotations[OTHERS[0]]: {"liver": filled.id}}}
        running = queue.enqueue(session, queue.MEASURE_SOURCES, {}, key="now")
        running.state, running.started_at = JobState.RUNNING, now()
    expected = {
        "pre-segmentations": 3,
        "model archives": 1,
        "job records": 1,
        "logs": 1,
        "temporary files": 1,
        "training folders": 1,
    }
    shown = prune(workspace)
    assert by_kind(shown) == expected and sum(one.bytes for one in shown) > 0
    young = by_kind(prune(workspace, older_than_days=50))
    assert young == {"temporary files": 1, "training folders": 1}, "nobody needs them, however young they are"
    with workspace.catalog.read() as session:
        assert session.query(Presegmentation).count() == 12, "it was only shown"
    done = prune(workspace, apply=True, actor="admin")
    assert done == shown and by_kind(prune(workspace)) == {}
    with workspace.catalog.read() as session:
        left = {(one.acquisition_id, one.model_version) for one in session.query(Presegmentation)}
        assert {version for case, version in left if case == full.cases[GONE]} == {"bootstrap", "r1", "r2", "r3"}
        assert {version for case, version in left if case == full.cases[OTHERS[0]]} == {"bootstrap", "r2", "r3"}
        assert {version for case, version in left if case == full.cases[OTHERS[1]]} == {"bootstrap", "r3"}
        states = {job.state for job in session.query(Job)}
        assert JobState.RUNNING in states and JobState.FAILED in states and JobState.DONE not in states
        (entry,) = audit.page(session, 5, actions=["prune"])
        assert (entry.actor, entry.detail["pre-segmentations"]) == ("admin", 3)
    assert (
        stored(full) == before and not (workspace.models / "r1.zip").exists() and (workspace.models / "r3.zip").exists()
    )
    assert (full.root / "nnunet" / "results" / DATASET).is_dir(), "the newest round keeps what it left"
    agrees(full)
    with pytest.raises(InvalidInput, match="negative"):
        prune(workspace, older_than_days=-1)


def agrees(made: Study) -> None:
    """Rows and files agree."""
    assert check_digests(made.workspace, lambda *_: None).state is State.OK
    assert check_leftovers(made.workspace).state is State.OK


def test_training_folders_of_earlier_rounds_go_unless_a_process_works_there(full: Study) -> None:
    workspace = full.workspace
    results = full.root / "nnunet" / "results" / DATASET
    with workspace.catalog.begin() as session:
        add_round(session, 2, [], RoundState.DONE)
        session.get_one(Round, 1).profile = "full"
    (results / "T__P__C" / "fold_0" / ".lock").touch()
    with folder_lock(results / "T__P__C" / "fold_0"):
        assert by_kind(prune(workspace))["training folders"] == 3  # with the scratch of the round
        assert by_kind(prune(workspace, apply=True))["training folders"] == 1
        assert results.is_dir()
    (raw,) = [one for one in prune(workspace, apply=True) if one.kind == "training folders"]
    assert raw.count == 2 and raw.bytes > 0 and not results.exists()
    # Plans and preprocessed cases of the newest round of the profile are taken over by the next.
    assert len(list((full.root / "nnunet" / "preprocessed" / "cases").glob("??/*/case.pkl"))) == len(CODES)


def test_killed_at_any_file_rows_and_files_agree_when_it_is_called_again(full: Study) -> None:
    before = stored(full)
    full.workspace.catalog.close()
    ends = []
    for steps in (1, 2, 3, 4):
        child = os.fork()
        if child == 0:
            left = [steps]

            def on_event(name: str, _arguments: object, left: list[int] = left) -> None:
                if name == "os.remove":
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(on_event)
            try:
                prune(open_workspace(full.root), apply=True)
            except BaseException as error:  # noqa: BLE001 - it must not run on as pytest
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        # Whatever was killed: every row still has its file, and what else is left is named.
        assert check_digests(full.workspace, lambda *_: None).state is State.OK
    assert ends.count(-signal.SIGKILL) >= 3, ends
    prune(full.workspace, apply=True)
    agrees(full)
    with full.workspace.catalog.read() as session:
        rows = {path for path, _ in contents.stored_files(session) if path.startswith("presegmentations/")}
    files = {file.relative_to(full.root).as_posix() for file in (full.root / "presegmentations").rglob("*.gz")}
    assert rows == files and stored(full) == before
