"""Raw data sets: one orientation, exact voxels, splits by participant."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.errors import Conflict, GeometryError, InvalidInput
from mrseg_label.files import sha256_of
from mrseg_label.imaging import write_nifti
from mrseg_label.nnunet.dataset import RawDataset, TrainingCase, write_raw_dataset
from mrseg_label.nnunet.dataset_json import without_ignore
from mrseg_label.nnunet.left_out import check_extent
from mrseg_label.nnunet.splits import deal_into_folds, held_out_participants, make_splits, rank_participants
from mrseg_label.nnunet.store import case_key
from tests.support.nnunet_cases import SCHEME, image_and_labels, write_case


@pytest.mark.parametrize("axcodes", ["LPS", "RAS", "PIR", "SLA"])
def test_every_orientation_becomes_the_same_ras_voxels(tmp_path: Path, axcodes: str) -> None:
    image, labels, geometry = image_and_labels(1)
    dataset = write_raw_dataset(tmp_path / "raw", "Dataset501_a", write_case(tmp_path, 1, axcodes), SCHEME)
    for name, expected in (("imagesTr/case_1_0_0000.nii.gz", image), ("labelsTr/case_1_0.nii.gz", labels)):
        file = nibabel.load(dataset.folder / name)
        np.testing.assert_array_equal(np.asanyarray(file.dataobj), expected)
        np.testing.assert_allclose(file.affine, geometry.affine, atol=1e-4)


def test_channels_share_a_label_map_and_dataset_json_is_nnunets(tmp_path: Path) -> None:
    cases = write_case(tmp_path, 1, channels=3) + write_case(tmp_path, 2, "RAS")
    dataset = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME, held_out=["participant_2"])
    labels = dataset.folder / "labelsTr"
    assert len({(labels / f"case_1_{channel}.nii.gz").stat().st_ino for channel in range(3)}) == 1
    assert (dataset.folder / "imagesTr/case_2_0_0000.nii.gz").stat().st_ino == (
        tmp_path / "image_2_0.nii.gz"
    ).stat().st_ino
    content = json.loads((dataset.folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "MR"}
    assert content["labels"] == {"background": 0, "left_lung": 1, "right_lung": 2, "liver": 3, "ignore": 4}
    assert without_ignore(content)["labels"] == {"background": 0, "left_lung": 1, "right_lung": 2, "liver": 3}
    assert not dataset.ignores
    assert content["numTraining"] == 4
    assert content["file_ending"] == ".nii.gz"
    assert content["overwrite_image_reader_writer"] == "NibabelIOWithReorient"
    for entry in content["dataset"].values():
        for file in (*entry["images"], entry["label"]):
            assert (dataset.folder / file).exists()
    assert json.loads((dataset.folder / "splits_final.json").read_text()) == [
        {"train": ["case_1_0", "case_1_1", "case_1_2"], "val": ["case_2_0"]}
    ]


def test_background_that_is_not_known_gets_nnunets_label_for_it(tmp_path: Path) -> None:
    cases = write_case(tmp_path, 1, channels=2) + write_case(tmp_path, 2, "RAS")
    cases[:2] = [replace(case, background_known=False) for case in cases[:2]]
    dataset = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME)
    content = json.loads((dataset.folder / "dataset.json").read_text())
    assert list(content["labels"].items())[-1] == ("ignore", 4)
    assert dataset.ignores
    known = write_raw_dataset(tmp_path / "raw", "Dataset502_b", write_case(tmp_path, 1, channels=2), SCHEME)
    for channel in range(2):
        array, plain = (
            np.asarray(nibabel.load(folder / "labelsTr" / f"case_1_{channel}.nii.gz").dataobj)
            for folder in (dataset.folder, known.folder)
        )
        np.testing.assert_array_equal(array, np.where(plain == 0, 4, plain))
    assert 0 in np.asarray(nibabel.load(dataset.folder / "labelsTr" / "case_2_0.nii.gz").dataobj)
    # What was preprocessed of the one is never taken for the other.
    keys, others = ({case_key(case, "") for case in cases[:2]} for cases in (dataset.cases, known.cases))
    assert len(keys) == 2 and not keys & others
    assert {case["label_sha256"] for case in dataset.cases[:2]} == {case["label_sha256"] for case in known.cases}


def test_written_twice_is_kept_and_other_cases_are_refused(tmp_path: Path) -> None:
    cases = write_case(tmp_path, 1)
    first = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME)
    assert write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME) == first == RawDataset.open(first.folder)
    with pytest.raises(Conflict, match="another number"):
        write_raw_dataset(tmp_path / "raw", "Dataset501_a", write_case(tmp_path, 2), SCHEME)
    assert [entry.name for entry in (tmp_path / "raw").iterdir()] == ["Dataset501_a"]


def test_nothing_is_left_of_a_data_set_that_fails(tmp_path: Path) -> None:
    good, other = write_case(tmp_path, 1)[0], write_case(tmp_path, 2, "RAS")[0]
    with pytest.raises(GeometryError, match=r"case_1_0.*image_1_0\.nii\.gz.*labels_2\.nii\.gz"):
        write_raw_dataset(tmp_path / "raw", "Dataset501_a", [other, replace(good, label=other.label)], SCHEME)
    assert list((tmp_path / "raw").iterdir()) == []


def test_labels_that_are_not_of_the_scheme_are_refused(tmp_path: Path) -> None:
    case = write_case(tmp_path, 1)[0]
    image, labels, geometry = image_and_labels(1)
    write_nifti(tmp_path / "ras.nii.gz", image, geometry)
    label = tmp_path / "label.nii.gz"

    def refused(array: NDArray[Any], message: str) -> None:
        write_nifti(label, array, geometry)
        with pytest.raises(InvalidInput, match=message):
            write_raw_dataset(
                tmp_path / "raw",
                "Dataset501_a",
                [replace(case, image=tmp_path / "ras.nii.gz", label=label)],
                SCHEME,
            )
        assert list((tmp_path / "raw").iterdir()) == []

    refused(np.full_like(labels, 4), "contains the label id 4, but those of the label scheme are 1 to 3")
    refused(np.full(labels.shape, 0.5, np.float32), "whole numbers")
    refused(np.zeros_like(labels), "nothing to train on")


@pytest.mark.parametrize("name", ["Dataset1_a", "Dataset501", "Dataset501_a/../b", "dataset501_a"])
def test_bad_dataset_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="data set name"):
        write_raw_dataset(tmp_path, name, write_case(tmp_path, 1), SCHEME)


@pytest.mark.parametrize("case_id", ["a/b", "", "a b", "case_seg", "../a"])
def test_bad_case_ids(tmp_path: Path, case_id: str) -> None:
    with pytest.raises(InvalidInput, match="case id"):
        write_raw_dataset(tmp_path, "Dataset501_a", [replace(write_case(tmp_path, 1)[0], case_id=case_id)], SCHEME)
    twice = [TrainingCase(case_id="A", image=tmp_path, label=tmp_path, participant="p") for _ in range(2)]
    with pytest.raises(InvalidInput, match="twice"):
        write_raw_dataset(tmp_path, "Dataset501_a", twice, SCHEME)


PARTICIPANTS = {f"case_{number}_{channel}": f"p{number}" for number in range(12) for channel in range(2)}


def test_folds_keep_participants_together() -> None:
    splits = make_splits(PARTICIPANTS, held_out=["p3"], folds=5)
    assert len(splits) == 5
    for split in splits:
        sides = [{PARTICIPANTS[case] for case in split[side]} for side in ("train", "val")]
        assert not sides[0] & sides[1]
        assert "p3" not in sides[0] | sides[1]
        assert sides[0] | sides[1] == set(PARTICIPANTS.values()) - {"p3"}
    validated = list(itertools.chain.from_iterable(split["val"] for split in splits))
    assert sorted(validated) == sorted(case for case in PARTICIPANTS if PARTICIPANTS[case] != "p3")


def folds_of(dealt: list[set[str]]) -> dict[str, int]:
    return {name: number for number, fold in enumerate(dealt) for name in fold}


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_nobodys_fold_changes_when_others_join(folds: int) -> None:
    # Numbers as they are given: in the order of hashes, and who joins later after those who are there.
    positions: dict[str, int] = {}
    before: dict[str, int] = {}
    for total in (6, 7, 9, 12, 30):
        names = [f"p{number}" for number in range(total)]
        for name in rank_participants(set(names) - set(positions)):
            positions[name] = len(positions)
        dealt = deal_into_folds(names, folds, positions)
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
        after = folds_of(dealt)
        assert set(after) == set(names) and {name: after[name] for name in before} == before
        before = after


def test_linked_participants_share_a_fold_and_no_fold_is_empty() -> None:
    positions = {"a": 0, "twin of a": 0, "b": 1, "c": 2, "f": 5}  # d and e were excluded
    folds = folds_of(deal_into_folds(positions, 4, positions))
    assert folds["a"] == folds["twin of a"] and set(folds.values()) == {0, 1, 2, 3}
    with pytest.raises(InvalidInput, match="5 folds need at least 5 participants.* there are 4"):
        deal_into_folds(positions, 5, positions)
    # Rounds of before numbers were given: by hash.
    assert deal_into_folds(positions, 2) == [set(rank_participants(positions)[fold::2]) for fold in range(2)]


def test_a_data_set_is_split_by_the_numbers_of_its_participants(tmp_path: Path) -> None:
    cases = [replace(write_case(tmp_path, seed)[0], fold_position=2 - seed) for seed in range(3)]
    dataset = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME, folds=3)
    splits = json.loads((dataset.folder / "splits_final.json").read_text())
    assert [split["val"] for split in splits] == [[f"case_{seed}_0"] for seed in (2, 1, 0)]


def test_split_with_nothing_held_out_or_everything() -> None:
    everyone = set(PARTICIPANTS.values())
    split = make_splits(PARTICIPANTS)[0]
    assert split["train"] == split["val"] == sorted(PARTICIPANTS)
    with pytest.raises(InvalidInput, match="held out"):
        make_splits(PARTICIPANTS, everyone)
    with pytest.raises(InvalidInput, match="5 folds need"):
        make_splits(PARTICIPANTS, sorted(everyone)[:8], folds=5)


def test_held_out_participants_stay_when_others_join() -> None:
    few, many = [f"p{n}" for n in range(8)], [f"p{n}" for n in range(40)]
    assert len(held_out_participants(few)) == 2
    assert len(held_out_participants(many)) == 8
    assert [name for name in rank_participants(many) if name in few] == rank_participants(few)
    assert held_out_participants(["a", "b"]) == rank_participants(["a", "b"])[:1]
    assert held_out_participants(["a"]) == []


def thin_case(folder: Path) -> TrainingCase:
    """Three slices of 1.8 mm, annotated."""
    image, labels, geometry = image_and_labels(9, (30, 24, 3), (5.0, 6.0, 1.8))
    write_nifti(folder / "thin.nii.gz", image, geometry)
    write_nifti(folder / "thin_labels.nii.gz", labels, geometry)
    return TrainingCase("thin", folder / "thin.nii.gz", folder / "thin_labels.nii.gz", "participant_9")


def test_cases_that_cannot_be_used_are_left_out_by_name(tmp_path: Path) -> None:
    good, altered, empty, alien = (write_case(tmp_path, seed)[0] for seed in (1, 2, 3, 4))
    altered = replace(altered, label_digest=sha256_of(altered.label))
    cut = altered.label.read_bytes()
    altered.label.write_bytes(cut[: len(cut) // 2])
    empty.image.write_bytes(b"")
    alien = replace(alien, label=write_case(tmp_path / "other", 5)[0].label)
    write_nifti(alien.label, *image_and_labels(5, (10, 10, 10))[1:])
    cases = [thin_case(tmp_path), altered, good, empty, alien]
    dataset = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME, check=check_extent(12.0))
    assert [entry["case_id"] for entry in dataset.cases] == [good.case_id]
    assert set(dataset.left_out) == {"thin", altered.case_id, empty.case_id, alien.case_id}
    assert "too thin: of 3 slices of 1.8 mm nothing is left at the 12 mm" in dataset.left_out["thin"]
    assert "damaged: its SHA-256 has changed" in dataset.left_out[altered.case_id]
    content = json.loads((dataset.folder / "dataset.json").read_text())
    assert list(content["dataset"]) == [good.case_id] and content["numTraining"] == 1
    assert [path.name for path in (dataset.folder / "imagesTr").iterdir()] == [f"{good.case_id}_0000.nii.gz"]
    # A mask that was restored from a backup comes in with the next attempt.
    altered.label.write_bytes(cut)
    again = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME, check=check_extent(12.0))
    assert [entry["case_id"] for entry in again.cases] == [altered.case_id, good.case_id]
    assert write_raw_dataset(tmp_path / "raw", "Dataset502_a", [thin_case(tmp_path), good], SCHEME).left_out == {}


def test_a_data_set_without_a_usable_case_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no case is left to train on: thin \(the image is too thin"):
        write_raw_dataset(tmp_path / "raw", "Dataset501_a", [thin_case(tmp_path)], SCHEME, check=check_extent(12.0))


@pytest.mark.parametrize(
    "name", ["dataset.json", "cases.json", "splits_final.json", "imagesTr/case_1_0_0000.nii.gz", "labelsTr/case_2_0.nii.gz"]
)  # fmt: skip
def test_damaged_files_of_a_data_set_are_put_aside_and_made_again(tmp_path: Path, name: str) -> None:
    cases = write_case(tmp_path, 1) + write_case(tmp_path, 2)
    first = write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME)
    file = first.folder / name
    whole = sha256_of(file)
    file.write_bytes(file.read_bytes()[:20])
    assert write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME) == first
    assert sha256_of(file) == whole
    assert (tmp_path / "raw" / "Dataset501_a.damaged" / name).stat().st_size == 20
    kept = file.stat().st_ino
    write_raw_dataset(tmp_path / "raw", "Dataset501_a", cases, SCHEME)
    assert file.stat().st_ino == kept  # whole: it stays
