"""What rounds leave in nnU-Net's folders goes by rule, and a kill in the middle leaves nothing half."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import RoundState
from mrseg_label.cli import app
from mrseg_label.jobs import JobContext, claim, enqueue, queue
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.store import PARTS, PREPROCESSED_CASES_FILE, CaseStore
from mrseg_label.rounds import housekeeping
from mrseg_label.rounds.training import dataset_name
from mrseg_label.worker.handlers import handlers_of
from mrseg_label.workspace import Workspace

DONE, FAILED, CANCELLED = RoundState.DONE, RoundState.FAILED, RoundState.CANCELLED
# state and profile of each round, the keys of its cases, and what is left of it
ROUNDS = {
    1: (DONE, "tiny", "ab", "preprocessed"),  # the newest of its profile
    2: (FAILED, "full", "cd", ""),
    3: (DONE, "full", "ce", ""),
    4: (CANCELLED, "full", "cf", ""),
    5: (DONE, "full", "ceg", "raw preprocessed results"),
    6: (FAILED, "full", "ch", "raw preprocessed results tmp"),
    7: (RoundState.TRAINING, "full", "ci", "raw preprocessed results tmp"),
}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\n')
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        for number, (state, profile, *_) in ROUNDS.items():
            session.add(Round(number=number, state=state, profile=profile))
    for number, (_, _, keys, _) in ROUNDS.items():
        leave_files(workspace, number, keys)
    yield workspace
    workspace.catalog.close()


def folders_of(workspace: OpenedWorkspace, number: int) -> dict[str, Path]:
    name = dataset_name(number)
    folders = {part: workspace.nnunet / part / name for part in ("raw", "preprocessed", "results")}
    return folders | {"tmp": workspace.root / "tmp" / f"round-{number}"}


def leave_files(workspace: OpenedWorkspace, number: int, keys: str, files: int = 1) -> None:
    """Leave in all folders what a round leaves there."""
    folders = folders_of(workspace, number)
    for folder in folders.values():
        for index in range(files):
            (folder / "fold_0").mkdir(parents=True, exist_ok=True)
            (folder / "fold_0" / f"{index}.bin").write_bytes(bytes(5000))
    data = folders["preprocessed"] / "nnUNetPlans_3d_fullres"
    data.mkdir()
    store = CaseStore(workspace.nnunet / "preprocessed")
    with store.in_use():
        for key in keys:
            if not store.link(key * 64, data, key):
                for part in PARTS:
                    (data.parent / f"{key}{part}").write_text(key)
                store.add(key * 64, data.parent, key)
                assert store.link(key * 64, data, key)
    listing = {"cases": {key: key * 64 for key in keys}, "reused": []}
    (folders["preprocessed"] / PREPROCESSED_CASES_FILE).write_text(json.dumps(listing))


def left(workspace: OpenedWorkspace) -> dict[int, str]:
    return {
        number: " ".join(part for part, folder in folders_of(workspace, number).items() if folder.exists())
        for number in ROUNDS
    }


def stored(workspace: OpenedWorkspace) -> str:
    return "".join(sorted(path.name[0] for path in (workspace.nnunet / "preprocessed" / "cases").glob("??/*")))


def check_all_is_pruned(workspace: OpenedWorkspace) -> None:
    assert left(workspace) == {number: wanted for number, (*_, wanted) in ROUNDS.items()}
    assert stored(workspace) == "abceghi"
    assert not [path for path in workspace.root.rglob("*") if "removed" in path.name]


def test_a_round_keeps_what_it_or_the_next_one_needs(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        enqueue(session, queue.PRUNE_ROUNDS, {}, key=queue.PRUNE_ROUNDS)
    held = claim(opened.catalog, [queue.LIGHT])
    assert held is not None
    for handler in handlers_of(held.kind):
        handler(JobContext(opened, held, {}))
    check_all_is_pruned(opened)
    # The cases of a round that is left are whole: their files are links.
    data = folders_of(opened, 5)["preprocessed"] / "nnUNetPlans_3d_fullres"
    assert {path.name for path in data.iterdir()} == {f"{key}{part}" for key in "ceg" for part in PARTS}
    assert housekeeping.prune_rounds(opened) == housekeeping.Pruned((), 0)
    result = CliRunner().invoke(app, ["doctor", "--workspace", str(opened.root), "--json"])
    (check,) = (check for check in json.loads(result.output)["checks"] if check["name"] == "training files")
    assert check["detail"].endswith("round1, round5, round6, round7; 7 preprocessed cases")


def test_a_final_round_that_lacks_a_fold_stays_for_a_retry_until_the_next_final_one() -> None:
    rounds = [Round(number=number, state=DONE, profile="full", final=number in (1, 3)) for number in range(1, 6)]
    assert dict(housekeeping.prunable(rounds, {1, 3})) == {1: False, 2: False, 4: False}
    assert dict(housekeeping.prunable(rounds, ())) == dict.fromkeys((1, 2, 3, 4), False)


def test_names_of_data_sets_never_have_more_digits_than_nnunet_takes() -> None:
    assert [dataset_name(number) for number in (1, 499, 500, 501)] == [
        "Dataset501_round1",
        "Dataset999_round499",
        "Dataset500_round500",
        "Dataset501_round501",
    ]


def test_what_a_process_works_with_stays_until_the_next_time(opened: OpenedWorkspace) -> None:
    training = folders_of(opened, 3)["results"] / "trainer" / "fold_0"
    store = CaseStore(opened.nnunet / "preprocessed")
    with folder_lock(training), store.in_use():
        pruned = housekeeping.prune_rounds(opened)
        assert pruned.rounds == (1, 2, 4) and pruned.cases == 0
        assert left(opened)[3] == "raw preprocessed results" and stored(opened) == "abcdefghi"
    assert housekeeping.prune_rounds(opened) == housekeeping.Pruned((3,), 2)
    check_all_is_pruned(opened)


def test_killed_in_the_middle_it_is_completed_by_the_next(opened: OpenedWorkspace) -> None:
    for number in (2, 3, 4):
        many = folders_of(opened, number)["results"] / "many"
        many.mkdir()
        for index in range(2000):
            (many / f"{index}").touch()
    code = f"""
from pathlib import Path
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.rounds.housekeeping import prune_rounds
prune_rounds(open_workspace(Path({str(opened.root)!r})))
"""
    results = NnunetFolders.under(opened.nnunet).results
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        end = time.monotonic() + 60
        while not list(results.glob(".removed-*")):
            assert process.poll() is None and time.monotonic() < end
        process.send_signal(signal.SIGKILL)
    # No data set is half there, and nothing that is needed is gone.
    assert set(left(opened)[5].split()) >= {"raw", "preprocessed", "results"}
    for number in (2, 3, 4):
        many = folders_of(opened, number)["results"] / "many"
        assert not many.exists() or len(list(many.iterdir())) == 2000
    housekeeping.prune_rounds(opened)
    check_all_is_pruned(opened)
