"""Remove what rounds left in nnU-Net's folders and no later round needs.

The model of a round is in the registry and can be trained again from its snapshot, so of an ended round nothing is kept
for ever:

- A round that is queued or running keeps everything.
- So does one that failed or was cancelled and is newer than every finished one: a retry resumes from its checkpoints.
- So does a finished one of which a fold failed, until a newer final round is finished: a retry trains that fold alone.
- So does the newest finished round, to look at.
- The newest finished round of each profile keeps its plans and preprocessed cases, which the next round takes over.
- Of all others everything is removed. A preprocessed case goes with the last data set that uses it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries import training
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import ENDED_ROUNDS, FoldState, RoundState
from mrseg_label.jobs import JobContext
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.pruning import delete_set_aside, folders_of, set_aside, unused_cases
from mrseg_label.rounds.training import dataset_name

_REMOVED = "removed-round-"
_ALL = 1_000_000
log = logging.getLogger("mrseg_label.rounds")


@dataclass(frozen=True)
class Pruned:
    """What was removed: the rounds of which anything was, and the number of preprocessed cases."""

    rounds: tuple[int, ...]
    cases: int


def run(context: JobContext) -> None:
    """Remove what no later round needs, as a job."""
    pruned = prune_rounds(context.workspace)
    with context.publish({"rounds": list(pruned.rounds), "cases": pruned.cases}):
        pass


def prune_rounds(workspace: OpenedWorkspace) -> Pruned:
    """Remove what rounds left and no later round needs; killed at any moment, it can be called again."""
    folders = NnunetFolders.under(workspace.nnunet)
    tmp = workspace.root / "tmp"
    removed = []
    # Renamed within a transaction that holds the rounds, so that none of them is retried at the same moment.
    with workspace.catalog.begin() as session:
        rounds = rows.all_locked(session)
        going = prunable_now(session, rounds)
        for number, keep_preprocessed in going.items():
            if set_aside(folders, dataset_name(number), keep_preprocessed=keep_preprocessed):
                removed.append(number)
        for number in {*going, *(row.number for row in rounds if row.state is RoundState.DONE)}:
            with contextlib.suppress(FileNotFoundError):
                (tmp / f"round-{number}").rename(tmp / f"{_REMOVED}{number}-{os.urandom(4).hex()}")
    for folder in tmp.glob(f"{_REMOVED}*"):
        shutil.rmtree(folder, ignore_errors=True)
    pruned = Pruned(tuple(removed), delete_set_aside(folders))
    if removed:
        log.info("removed what no round needs any more of the rounds %s", ", ".join(map(str, removed)))
    return pruned


def prunable_now(session: Session, rounds: Sequence[Round]) -> dict[int, bool]:
    """Find the rounds of which something can go now, and whether plans and preprocessed cases of each stay."""
    folds = training.folds_of_rounds(session, [row.number for row in rounds])
    incomplete = {
        number
        for number, some in folds.items()
        if len(some) > 1 and any(fold.state is not FoldState.DONE for fold in some)
    }
    return dict(prunable(rounds, incomplete))


def folders_to_remove(workspace: OpenedWorkspace) -> list[Path]:
    """Folders that :func:`prune_rounds` would remove now, with those of preprocessed cases that no round would use any more."""
    folders = NnunetFolders.under(workspace.nnunet)
    with workspace.catalog.read() as session:
        rounds = rows.page(session, _ALL)
        going = prunable_now(session, rounds)
        done = [row.number for row in rounds if row.state is RoundState.DONE]
    found = [folder for number, keep in going.items() for folder in folders_of(folders, dataset_name(number), keep)]
    found += [workspace.root / "tmp" / f"round-{number}" for number in {*going, *done}]
    found += [*(workspace.root / "tmp").glob(f"{_REMOVED}*"), *unused_cases(folders, found)]
    return [folder for folder in found if folder.is_dir()]


def prunable(rounds: Sequence[Round], incomplete: Collection[int]) -> Iterator[tuple[int, bool]]:
    """Yield the numbers of rounds of which something can go, and whether plans and preprocessed cases stay.

    Parameters
    ----------
    incomplete : numbers of rounds of which a fold is not trained.
    """
    done = [row for row in rounds if row.state is RoundState.DONE]
    newest = max((row.number for row in done), default=0)
    newest_final = max((row.number for row in done if row.final), default=0)
    newest_of_profile = {row.profile: row.number for row in sorted(done, key=lambda row: row.number)}
    for row in rounds:
        waits = row.state is RoundState.DONE and row.number in incomplete and row.number >= newest_final
        if row.state in ENDED_ROUNDS and row.number < newest and not waits:
            yield row.number, newest_of_profile.get(row.profile) == row.number
