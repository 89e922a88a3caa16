"""The preprocessed cases of all data sets: each lies here once, under the SHA-256 of what it was made from.

A data set has hard links to its cases, so a case that did not change since an earlier round costs a lookup, whichever
round that was. Training and evaluation never write into these files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mrseg_label.files import link_or_copy, make_folder, new_folder
from mrseg_label.nnunet.damage import DIGESTS_FILE, damaged_files, put_aside, read_json, write_digests
from mrseg_label.nnunet.environment import CONFIGURATION
from mrseg_label.nnunet.lock import folder_lock, shared_lock

PREPROCESSED_CASES_FILE = "preprocessed_cases.json"  # of a data set: the keys of its cases
PARTS = (".b2nd", "_seg.b2nd", ".pkl")
_NAME = "case"
_DAMAGED = "damaged"
# Of the plans and of their configuration, what changes neither voxels nor their layout in the files. Whatever a later
# version of nnU-Net adds counts, until it is known not to.
_NOT_OF_PLANS = {
    "dataset_name", "plans_name", "original_median_spacing_after_transp", "original_median_shape_after_transp",
    "transpose_backward", "configurations", "experiment_planner_used", "mrseg_profile", "mrseg_plans_from", "mrseg_planned_anew",
}  # fmt: skip
_NOT_OF_CONFIGURATION = {
    "data_identifier", "batch_size", "batch_dice", "median_image_size_in_voxels", "architecture", "next_stage",
    "resampling_fn_probabilities", "resampling_fn_probabilities_kwargs",
}  # fmt: skip
_INTENSITIES = "foreground_intensity_properties_per_channel"
_OF_EACH_IMAGE = {"ZScoreNormalization", "RescaleTo01Normalization", "RGBTo01Normalization", "NoNormalization"}
_MADE_BY = 1  # raise it when our own part of the way from stored files to nnU-Net's raw data set changes


def preprocessing_digest(plans: Mapping[str, Any], dataset_json: Mapping[str, Any]) -> str:
    """SHA-256 of everything besides its own files that decides how a case is preprocessed.

    That is nnU-Net's version, the label ids and those parts of the plans that shape voxels. Names, the network and
    statistics that the normalisation does not use are left out, so that they do not make a case be preprocessed again.
    """
    configuration = plans["configurations"][CONFIGURATION]
    unused = _NOT_OF_PLANS | (set() if uses_intensities(configuration) else {_INTENSITIES})
    identity = [
        _MADE_BY,
        version("nnunetv2"),
        {key: value for key, value in plans.items() if key not in unused},
        {key: value for key, value in configuration.items() if key not in _NOT_OF_CONFIGURATION},
        sorted(dataset_json["labels"].values()),
    ]
    return _digest(identity)


def uses_intensities(configuration: Mapping[str, Any]) -> bool:
    """Whether images are normalised by statistics of the whole data set, as CT is, and not each by its own."""
    return not set(configuration["normalization_schemes"]) <= _OF_EACH_IMAGE


def case_key(case: Mapping[str, str], preprocessing: str) -> str:
    """SHA-256 of what a preprocessed case is made from.

    Parameters
    ----------
    case : entry of ``cases.json``: digests of image and label map, and how they are used. Names do not count.
    preprocessing : see :func:`preprocessing_digest`.
    """
    return _digest([preprocessing, {key: case[key] for key in case if key not in ("case_id", "participant")}])


def used_keys(folder: Path) -> dict[str, str]:
    """Keys of the preprocessed cases that a preprocessed folder uses, by case id."""
    listing = read_json(folder / PREPROCESSED_CASES_FILE)
    cases = listing.get("cases") if isinstance(listing, dict) else None
    # An earlier version wrote lists of digests, and no store.
    return {case: key for case, key in cases.items() if isinstance(key, str)} if isinstance(cases, dict) else {}


class CaseStore:
    """Preprocessed cases by key.

    Parameters
    ----------
    folder : nnU-Net's folder of preprocessed data sets. The store is in ``cases`` in there, which no data set of
        nnU-Net can be named.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cases"

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Let nothing be removed from the store while cases are linked; waits for a removal to end."""
        make_folder(self.folder)
        with shared_lock(self.folder):
            yield

    def link(self, key: str, data: Path, case: str) -> bool:
        """Link a stored case into a data set's folder under its id; returns False if there is none that is whole.

        The SHA-256 of its files is computed, which costs little against preprocessing; damaged ones are put aside.
        """
        stored = self._place(key)
        damaged = damaged_files(stored, stored / DIGESTS_FILE)
        if damaged is None or damaged:
            for name in damaged or ():
                if (stored / name).exists():
                    put_aside(stored / name, "its SHA-256 has changed", self.folder.parent / _DAMAGED / key)
            shutil.rmtree(stored, ignore_errors=True)
            return False
        for part in PARTS:
            source, target = stored / f"{_NAME}{part}", data / f"{case}{part}"
            if not (target.exists() and target.samefile(source)):
                target.unlink(missing_ok=True)
                link_or_copy(source, target)
        return True

    def add(self, key: str, made: Path, case: str) -> None:
        """Move the files of a case that was just preprocessed into the store."""
        target = self._place(key)
        make_folder(target.parent)
        shutil.rmtree(target, ignore_errors=True)
        with new_folder(target) as partial:
            for part in PARTS:
                os.replace(made / f"{case}{part}", partial / f"{_NAME}{part}")
            write_digests(partial, partial / DIGESTS_FILE, [f"{_NAME}{part}" for part in PARTS])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let no process link cases.

        Raises
        ------
        Conflict
            One does just now.
        """
        make_folder(self.folder)
        with folder_lock(self.folder):
            yield

    def remove_all_but(self, keys: Collection[str]) -> int:
        """Remove the cases of other keys, and what killed processes left; call it :meth:`alone`.

        Returns
        -------
        Number of cases that were removed.
        """
        removed = 0
        for entry in list(self.folder.glob("??/*")):
            if entry.name not in keys:
                # Its digests go first: without them, what a kill leaves of it is never taken for a whole case.
                (entry / DIGESTS_FILE).unlink(missing_ok=True)
                shutil.rmtree(entry)
                removed += not entry.name.startswith(".")
        for aside in (self.folder.parent / _DAMAGED).glob("*"):
            if aside.name not in keys:
                shutil.rmtree(aside)
        return removed

    def count(self) -> int:
        """Count the cases."""
        return sum(1 for _ in self.folder.glob(f"??/*/{DIGESTS_FILE}"))

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key


def _digest(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
