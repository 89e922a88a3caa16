"""A round preprocesses what is new or changed, whatever joined, and takes everything else from any earlier round."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mrseg_label.files import sha256_of
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.nnunet import planning, store
from mrseg_label.nnunet.dataset import RawDataset, TrainingCase, write_raw_dataset
from mrseg_label.nnunet.drift import MEASURES_FILE, measure_images
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.profiles import PROFILES, TrainingProfile
from tests.support.nnunet_cases import SCHEME, image_and_labels, write_case

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
    keys = store.used_keys(folders.preprocessed / name)
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


@pytest.mark.usefixtures("folders")
def test_the_same_snapshot_gives_the_same_plans_splits_and_preprocessed_files(tmp_path: Path) -> None:
    cases = [replace(write_case(tmp_path, seed)[0], fold_position=seed) for seed in range(4)]
    found = []
    steps: list[tuple[int, int]] = []
    all_steps = [(done, 4) for done in (1, 2, 3, 4)]
    for root in (tmp_path / "one", tmp_path / "other"):
        there = NnunetFolders.under(root)
        there.activate(augmentation_processes=1)
        dataset = write_raw_dataset(there.raw, "Dataset501_round1", cases, SCHEME, folds=2)
        planning.plan(there, dataset, SMOKE)
        for _ in ("made", "taken over, which counts as progress too"):
            assert planning.preprocess(there, dataset, SMOKE, lambda *step: steps.append(step)) == (0, 4, {})
            assert steps == all_steps
            steps.clear()
        base = there.preprocessed / dataset.name
        files = [base / "nnUNetPlans.json", base / "splits_final.json"]
        files += [path for path in (there.preprocessed / "cases").rglob("*") if path.is_file()]
        found.append({path.relative_to(there.preprocessed).as_posix(): sha256_of(path) for path in files})
    assert found[0] == found[1] and len(found[0]) == 2 + 1 + 4 * 4


PLANNED = replace(PROFILES["full"], process_pools=False, short_schedule=True)  # nnU-Net chooses spacing and patch


def cases_of(
    folder: Path, spacing: tuple[float, float, float], shape: tuple[int, int, int], seeds: range
) -> list[TrainingCase]:
    folder.mkdir()
    cases = []
    for seed in seeds:
        image, labels, geometry = image_and_labels(seed, shape, spacing)
        write_nifti(folder / f"image_{seed}.nii.gz", image, geometry)
        write_nifti(folder / f"labels_{seed}.nii.gz", labels, geometry)
        files = folder / f"image_{seed}.nii.gz", folder / f"labels_{seed}.nii.gz"
        cases.append(TrainingCase(f"case_{seed}", *files, f"participant_{seed}"))
    return cases


def test_plans_are_made_anew_when_other_images_join(folders: NnunetFolders, tmp_path: Path) -> None:
    def plan(number: int, cases: list[TrainingCase], profile: TrainingProfile = PLANNED) -> planning.Planned:
        dataset = write_raw_dataset(folders.raw, f"Dataset{500 + number}_round{number}", cases, SCHEME)
        earlier = folders.preprocessed / f"Dataset{499 + number}_round{number - 1}"
        return planning.plan(folders, dataset, profile, earlier if earlier.is_dir() else None)

    def spacing(number: int) -> list[float]:
        file = folders.preprocessed / f"Dataset{500 + number}_round{number}" / "nnUNetPlans.json"
        found: list[float] = json.loads(file.read_text())["configurations"]["3d_fullres"]["spacing"]
        return [round(mm, 3) for mm in found]

    thin = cases_of(tmp_path / "thin", (5.0, 5.0, 6.0), (36, 30, 28), range(4))
    assert plan(1, thin) == (None, None)
    measured = folders.preprocessed / "Dataset501_round1" / MEASURES_FILE
    kept = measured.read_bytes()
    measured.unlink()
    dataset = RawDataset.open(folders.raw / "Dataset501_round1")
    measure_images(dataset, measured.parent, tmp_path)
    assert measured.read_bytes() == kept  # as nnU-Net measures
    # One image with somewhat thicker slices changes nothing, and the measures of the first are taken over.
    joined = thin + cases_of(tmp_path / "similar", (5.0, 5.0, 6.5), (36, 30, 28), range(4, 6))
    assert plan(2, joined) == ("Dataset501_round1", None)
    many = joined + cases_of(tmp_path / "thick", (5.0, 5.0, 16.0), (36, 30, 12), range(6, 20))
    anew = plan(3, many)
    assert anew == (None, "target spacing 6 x 5 x 5 -> 16 x 5 x 5 mm (Z, Y, X)")
    assert spacing(2) == [6, 5, 5] and spacing(3) == [16, 5, 5]
    assert plan(3, many) == anew  # the next attempt says so too
    assert plan(4, many) == ("Dataset503_round3", None)
    # Larger images: the patch was limited by their size.
    large = many + cases_of(tmp_path / "large", (5.0, 5.0, 16.0), (72, 60, 24), range(20, 50))
    drift = plan(5, large).drift
    assert drift is not None and drift.startswith("patch ")
    # Where the profile fixes spacing and network, no image changes them.
    assert plan(7, thin, SMOKE) == (None, None)
    assert plan(8, large, SMOKE) == ("Dataset507_round7", None)
