"""What decides whether a preprocessed case is made again, and the store in which each lies once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.errors import Conflict
from mrseg_label.nnunet.store import PARTS, CaseStore, case_key, preprocessing_digest

CONFIGURATION: dict[str, Any] = {
    "data_identifier": "nnUNetPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "batch_dice": False,
    "patch_size": [64, 128, 128],
    "median_image_size_in_voxels": [80.0, 200.0, 200.0],
    "spacing": [3.0, 1.5, 1.5],
    "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"order": 3},
    "resampling_fn_seg_kwargs": {"order": 1},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "architecture": {"arch_kwargs": {"n_stages": 5}},
}
PLANS: dict[str, Any] = {
    "dataset_name": "Dataset501_round1",
    "plans_name": "nnUNetPlans",
    "original_median_shape_after_transp": [80, 200, 200],
    "image_reader_writer": "NibabelIOWithReorient",
    "transpose_forward": [0, 1, 2],
    "configurations": {"3d_fullres": CONFIGURATION},
    "foreground_intensity_properties_per_channel": {"0": {"mean": 100.0}},
    "mrseg_profile": {"name": "full"},
}
LABELS = {"labels": {"background": 0, "liver": 1, "ignore": 2}}
CASE = {"case_id": "a", "participant": "p", "image_sha256": "1" * 64, "label_sha256": "2" * 64}


def digest_with(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> str:
    plans = copy.deepcopy(PLANS)
    change(plans, plans["configurations"]["3d_fullres"])
    return preprocessing_digest(plans, LABELS)


@pytest.mark.parametrize(
    "key", ["batch_size", "median_image_size_in_voxels", "architecture", "resampling_fn_probabilities"]
)
def test_what_shapes_no_voxel_does_not_count(key: str) -> None:
    assert digest_with(lambda _, configuration: configuration.update({key: 7})) == preprocessing_digest(PLANS, LABELS)


@pytest.mark.parametrize(
    "key",
    [
        "spacing",
        "patch_size",
        "normalization_schemes",
        "use_mask_for_norm",
        "resampling_fn_seg_kwargs",
        "something_new",
    ],
)
def test_what_shapes_voxels_counts(key: str) -> None:
    changed = digest_with(lambda _, configuration: configuration.update({key: ["other"]}))
    assert changed != preprocessing_digest(PLANS, LABELS)


def test_of_the_plans_axes_and_reader_count_and_intensities_only_where_they_are_used() -> None:
    same = preprocessing_digest(PLANS, LABELS)
    assert digest_with(lambda plans, _: plans.update(transpose_forward=[1, 0, 2])) != same
    assert digest_with(lambda plans, _: plans.update(image_reader_writer="SimpleITKIO")) != same
    assert digest_with(lambda plans, _: plans.update(dataset_name="Dataset502_round2", mrseg_profile={})) == same
    other = {"foreground_intensity_properties_per_channel": {"0": {"mean": 50.0}}}
    assert digest_with(lambda plans, _: plans.update(other)) == same

    as_ct = {"normalization_schemes": ["CTNormalization"]}
    assert digest_with(lambda _, configuration: configuration.update(as_ct)) != digest_with(
        lambda plans, configuration: (plans.update(other), configuration.update(as_ct))
    )
    assert preprocessing_digest(PLANS, {"labels": {"background": 0, "liver": 1}}) != same
    assert preprocessing_digest(PLANS, {"labels": {"background": 0, "Leber": 1, "ignore": 2}}) == same


def test_of_a_case_its_files_and_their_use_count_and_names_do_not() -> None:
    same = case_key(CASE, "plans")
    assert case_key(CASE | {"case_id": "b", "participant": "q"}, "plans") == same
    for change in ({"image_sha256": "3" * 64}, {"label_sha256": "3" * 64}, {"background": "ignored"}):
        assert case_key(CASE | change, "plans") != same
    assert case_key(CASE, "other plans") != same


def make(folder: Path, case: str) -> Path:
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        (folder / f"{case}{part}").write_text(f"{case}{part}")
    return folder


def test_a_stored_case_is_linked_under_any_id_until_it_is_damaged(tmp_path: Path) -> None:
    store, data = CaseStore(tmp_path), tmp_path / "data"
    data.mkdir()
    key = case_key(CASE, "plans")
    with store.in_use():
        assert not store.link(key, data, "b")
        store.add(key, make(tmp_path / "scratch", "a"), "a")
        assert store.link(key, data, "b") and store.link(key, data, "b")
    assert {path.name: path.read_text() for path in data.iterdir()} == {f"b{part}": f"a{part}" for part in PARTS}
    (data / "b.pkl").unlink()
    (data / "b.pkl").write_text("of another case")
    assert store.link(key, data, "b") and (data / "b.pkl").read_text() == "a.pkl"
    (data / "b.pkl").write_text("a.pk")  # the stored file: it is the same one
    assert not store.link(key, data, "b")
    assert [path.read_text() for path in (tmp_path / "damaged" / key).iterdir()] == ["a.pk"]
    store.add(key, make(tmp_path / "scratch", "a"), "a")
    assert store.link(key, data, "b") and (data / "b.pkl").read_text() == "a.pkl"


def test_what_no_data_set_uses_is_removed_unless_cases_are_being_linked(tmp_path: Path) -> None:
    store, data = CaseStore(tmp_path), tmp_path / "data"
    data.mkdir()
    used, unused = (case_key(CASE, plans) for plans in ("one", "two"))
    with store.in_use():
        for key in (used, unused):
            store.add(key, make(tmp_path / "scratch", "a"), "a")
        (store.folder / used[:2] / ".left.1.partial").mkdir()  # by a process that was killed
        with pytest.raises(Conflict), store.alone():
            pass
    with store.alone():
        assert store.count() == 2 and store.remove_all_but({used}) == 1
    assert store.count() == 1
    assert store.link(used, data, "a") and not store.link(unused, data, "a")
    assert [path.name for path in (store.folder / used[:2]).iterdir()] == [used]
