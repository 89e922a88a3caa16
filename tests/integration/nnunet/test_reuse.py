"""A round preprocesses what is new or changed, whatever joined, and takes everything else from any earlier round."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.nnunet import planning
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.profiles import PROFILES
from tests.support.nnunet_cases import SCHEME, write_case

SMOKE = PROFILES["smoke"]


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[NnunetFolders]:
    before = dict(os.environ)
    folders = NnunetFolders.under(tmp_path / "nnunet")
    folders.activate(augmentation_processes=1)
    yield folders
    os.environ.clear()
    os.environ.update(before)


def preprocess(folders: NnunetFolders, number: int, cases: list[TrainingCase]) -> tuple[int, set[str]]:
    """Plan and preprocess as round ``number`` does; returns how many cases were reused, and which were made."""
    name = f"Dataset{500 + number}_round{number}"
    before = {path.name for path in (folders.preprocessed / "cases").glob("??/*")}
    dataset = write_raw_dataset(folders.raw, name, cases, SCHEME)
    earlier = folders.preprocessed / f"Dataset{499 + number}_round{number - 1}"
    planning.plan(folders, dataset, SMOKE, earlier if earlier.is_dir() else None)
    reused, made, left_out = planning.preprocess(folders, dataset, SMOKE)
    keys = planning.used_keys(folders.preprocessed / name)
    new = {case for case, key in keys.items() if key not in before}
    assert not left_out and made == len(new)
    return reused, new


def test_only_what_is_new_or_changed_is_preprocessed(folders: NnunetFolders, tmp_path: Path) -> None:
    old = [case for seed in range(10) for case in write_case(tmp_path, seed)]
    assert preprocess(folders, 1, old) == (0, {case.case_id for case in old})
    # Joined: two cases, the first with an unknown background, a structure that no case had, another channel of an old
    # acquisition; and one label map was corrected.
    new = [case for seed in (20, 21) for case in write_case(tmp_path, seed)]
    hidden = replace(write_case(tmp_path, 22)[0], background_known=False)
    channel = write_case(tmp_path, 3, channels=2)[1]
    labels = nibabel.load(old[5].label)
    voxels = np.asanyarray(labels.dataobj).copy()
    voxels[10:14, 10:14, 10:14] = 1
    write_nifti(tmp_path / "corrected.nii.gz", voxels, Geometry(labels.shape, labels.affine))
    corrected = replace(old[5], label=tmp_path / "corrected.nii.gz")
    second = [*old[:5], corrected, *old[6:], *new, hidden, channel]
    made = {case.case_id for case in (corrected, *new, hidden, channel)}
    assert preprocess(folders, 2, second) == (9, made)
    # The correction is withdrawn: that case was last in round 1. A background that is no longer known changes the rest.
    third = [replace(old[0], background_known=False), *old[1:]]
    assert preprocess(folders, 3, third) == (9, {old[0].case_id})
    # Under another id, as after an import into another workspace.
    assert preprocess(folders, 4, [replace(case, case_id=f"x{case.case_id}") for case in third]) == (10, set())
