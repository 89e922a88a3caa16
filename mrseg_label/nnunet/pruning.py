"""Remove data sets of nnU-Net that nobody needs any more, so that a kill at any moment leaves nothing half.

A folder first gets a name under which nnU-Net finds no data set, by one rename, and is deleted afterwards. Whatever a
killed process left of it goes with the next pruning.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.errors import Conflict
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.store import CaseStore, used_keys

_REMOVED = ".removed-"


@dataclass(frozen=True)
class NnunetUsage:
    """What lies in nnU-Net's folders.

    Attributes
    ----------
    size : bytes that would be free without them: files that also lie elsewhere, such as stored images, do not count.
    datasets : names of the data sets, of which any of the three folders is there.
    cases : number of preprocessed cases in the store.
    """

    size: int
    datasets: tuple[str, ...]
    cases: int


def set_aside(folders: NnunetFolders, dataset: str, *, keep_preprocessed: bool) -> bool:
    """Take a data set away from nnU-Net, all of it or all but its plans and preprocessed cases.

    :func:`delete_set_aside` deletes it.

    Returns
    -------
    Whether anything was there to be taken away. Nothing is while a process plans, preprocesses or trains there.
    """
    present = folders_of(folders, dataset, keep_preprocessed)
    if not present:
        return False
    with contextlib.ExitStack() as locks:
        try:
            for folder in _locked_by_trainings(folders, dataset):
                locks.enter_context(folder_lock(folder))
        except Conflict:
            return False
        for folder in present:
            folder.rename(folder.with_name(f"{_REMOVED}{folder.name}.{os.urandom(4).hex()}"))
    return True


def folders_of(folders: NnunetFolders, dataset: str, keep_preprocessed: bool) -> list[Path]:
    """Folders of a data set that are there, all of them or all but its plans and preprocessed cases."""
    unwanted = [folders.raw / dataset, folders.raw / f"{dataset}.damaged", folders.results / dataset]
    if not keep_preprocessed:
        unwanted.append(folders.preprocessed / dataset)
    return [folder for folder in unwanted if folder.is_dir()]


def unused_cases(folders: NnunetFolders, going: Collection[Path]) -> list[Path]:
    """Folders of the preprocessed cases that no data set uses any more without those that are going."""
    kept = [folder for folder in folders.preprocessed.glob("Dataset*") if folder not in going]
    used = {key for folder in kept for key in used_keys(folder).values()}
    return [entry for entry in CaseStore(folders.preprocessed).folder.glob("??/*") if entry.name not in used]


def delete_set_aside(folders: NnunetFolders) -> int:
    """Delete what was set aside, and the preprocessed cases that no data set uses any more.

    Returns
    -------
    Number of these cases; 0 while a process links cases.
    """
    for parent in (folders.raw, folders.preprocessed, folders.results):
        for folder in parent.glob(f"{_REMOVED}*"):
            shutil.rmtree(folder)
    store = CaseStore(folders.preprocessed)
    try:
        # Computed with the store locked: a process that begins to use a case now waits, and lists it first.
        with store.alone():
            used = {key for folder in folders.preprocessed.glob("Dataset*") for key in used_keys(folder).values()}
            return store.remove_all_but(used)
    except Conflict:
        return 0


def freed_bytes(paths: Iterable[Path]) -> int:
    """Bytes that would be free without these files and folders; what also lies elsewhere, by a hard link, does not count."""
    names, found = Counter[tuple[int, int]](), dict[tuple[int, int], os.stat_result]()
    for path in paths:
        for file in (path, *path.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a round is at work
                state = file.lstat()
                names[state.st_dev, state.st_ino] += 1
                found[state.st_dev, state.st_ino] = state
    return sum(state.st_blocks * 512 for node, state in found.items() if state.st_nlink <= names[node])


def nnunet_usage(folders: NnunetFolders) -> NnunetUsage:
    """Measure nnU-Net's folders."""
    return NnunetUsage(
        size=freed_bytes((folders.raw, folders.preprocessed, folders.results)),
        datasets=tuple(
            sorted(
                {
                    path.name
                    for parent in (folders.raw, folders.preprocessed, folders.results)
                    for path in parent.glob("Dataset*_*")
                    if path.suffix != ".damaged"
                }
            )
        ),
        cases=CaseStore(folders.preprocessed).count(),
    )


def _locked_by_trainings(folders: NnunetFolders, dataset: str) -> Iterator[Path]:
    """Folders that a process has locked while it plans and preprocesses, or trains a fold."""
    if (folders.preprocessed / dataset).is_dir():
        yield folders.preprocessed / dataset
    for lock in (folders.results / dataset).glob("*/*/.lock"):
        yield lock.parent
