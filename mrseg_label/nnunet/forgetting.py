"""Remove cases from nnU-Net's folders: their images, label maps, preprocessed cases, and whatever was trained or predicted with them.

The plans of a data set stay, and so do its other preprocessed cases, which the next round takes over. The raw data set and
the results of a training that they took part in go as a whole: the model is in the registry, and both are made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from mrseg_label.errors import Conflict
from mrseg_label.files import write_atomically
from mrseg_label.nnunet.damage import read_json
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.pruning import delete_set_aside, set_aside
from mrseg_label.nnunet.store import CaseStore, used_keys

_DAMAGED = "damaged"


def datasets_with(folders: NnunetFolders, cases: Collection[str], named: Collection[str] = ()) -> list[str]:
    """Names of the data sets that have one of these cases, and of those that are named, as far as they are there."""
    found = set()
    for parent in (folders.raw, folders.preprocessed, folders.results):
        for folder in parent.glob("Dataset*"):
            name = folder.name.removesuffix(".damaged")
            if name not in found and (name in named or any(_names_of(folder) & set(cases))):
                found.add(name)
    return sorted(found)


def forget_cases(
    folders: NnunetFolders, cases: Collection[str], named: Collection[str], clean: Callable[[Any], Any]
) -> int:
    """Remove cases from all data sets, killed at any moment it can be called again; returns the number of data sets.

    Parameters
    ----------
    cases : names of the cases.
    named : names of data sets that have them, which may not say so any more.
    clean : removes them from a JSON value.

    Raises
    ------
    Conflict
        A process plans, preprocesses or trains with them.
    """
    unwanted = set(cases)
    datasets = datasets_with(folders, cases, named)
    for name in datasets:
        # Raw data set and results; what is preprocessed stays, without these cases.
        set_aside(folders, name, keep_preprocessed=True)
        if any((parent / name).is_dir() for parent in (folders.raw, folders.results)):
            raise Conflict(f"a training works with {name}; cancel its round, or wait until it has ended")
        if (folders.preprocessed / name).is_dir():
            with folder_lock(folders.preprocessed / name):
                _forget_preprocessed(folders.preprocessed / name, unwanted, clean)
    delete_set_aside(folders)
    _forget_stored(folders)
    return len(datasets)


def _forget_preprocessed(folder: Path, cases: set[str], clean: Callable[[Any], Any]) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and _case_of(file) in cases:
            file.unlink()
    # Last: a kill before it leaves files that the listing still names, and that the next call finds.
    for file in sorted(folder.glob("*.json")):
        content = read_json(file)
        if content is not None and (cleaned := clean(content)) != content:
            if "numTraining" in cleaned and file.name == "dataset.json":
                cleaned["numTraining"] = len(used_keys(folder))
            write_atomically(file, json.dumps(cleaned, indent=1).encode())


def _forget_stored(folders: NnunetFolders) -> None:
    """Remove the preprocessed cases that no data set uses any more, also where others link cases just now."""
    store = CaseStore(folders.preprocessed)
    with store.alone():
        used = {key for folder in folders.preprocessed.glob("Dataset*") for key in used_keys(folder).values()}
        store.remove_all_but(used)
    for aside in (folders.preprocessed / _DAMAGED).glob("*"):
        shutil.rmtree(aside, ignore_errors=True)


def _names_of(folder: Path) -> set[str]:
    """Names of all cases of which a data set has files, or that its listings name."""
    return (
        {_case_of(file) for file in folder.rglob("*") if file.is_file()} | set(used_keys(folder)) | set(_listed(folder))
    )


def _listed(folder: Path) -> Iterator[str]:
    cases = read_json(folder / "cases.json")
    for entry in cases if isinstance(cases, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("case_id"), str):
            yield entry["case_id"]


def _case_of(file: Path) -> str:
    """Name of the case that a file is of: of an image, a label map, a preprocessed case or a prediction."""
    name = file.name.partition(".")[0]
    return name.removesuffix("_0000").removesuffix("_seg")
