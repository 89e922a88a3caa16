"""CT in a training with MR: its values are limited, in the data set and in the prediction."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from mrseg_label.imaging import write_nifti
from mrseg_label.nnunet.damage import read_json
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.modality import CT_WINDOW_HU, WINDOW_KEY, limit_ct, window_of
from tests.support.nnunet_cases import SCHEME, image_and_labels


def test_only_values_outside_the_window_change() -> None:
    inside = np.array([-1000, 0, 1000], np.int16)
    assert limit_ct(inside) is inside
    limited = limit_ct(np.array([-3024, -1001, 40, 8000], np.int16))
    assert limited.tolist() == [-1000, -1000, 40, 1000] and limited.dtype == np.int16
    assert window_of({}) is None and window_of({WINDOW_KEY: list(CT_WINDOW_HU)}) == (-1000.0, 1000.0)


def case(folder: Path, name: str, *, is_ct: bool, low: int) -> TrainingCase:
    image, labels, geometry = image_and_labels(1)
    spoiled = np.asarray(image, np.int16).copy()
    spoiled[0, 0, 0] = low
    write_nifti(folder / f"{name}.nii.gz", spoiled, geometry)
    write_nifti(folder / f"{name}_labels.nii.gz", labels.astype(np.uint8), geometry)
    return TrainingCase(name, folder / f"{name}.nii.gz", folder / f"{name}_labels.nii.gz", name, is_ct=is_ct)


def test_a_data_set_of_ct_and_mr(tmp_path: Path) -> None:
    cases = [
        case(tmp_path, "ct", is_ct=True, low=-3024),
        case(tmp_path, "air", is_ct=True, low=-1000),
        case(tmp_path, "mr", is_ct=False, low=-3024),
    ]
    dataset = write_raw_dataset(tmp_path, "Dataset501_mixed", cases, SCHEME)
    lowest = {
        name: nibabel.load(dataset.folder / f"imagesTr/{name}_0000.nii.gz").get_fdata().min()
        for name in ("ct", "air", "mr")
    }
    assert lowest == {"ct": -1000, "air": -1000, "mr": -3024}
    assert read_json(dataset.folder / "dataset.json")[WINDOW_KEY] == [-1000, 1000]
    assert [entry.get("window_hu") for entry in dataset.cases] == ["-1000 to 1000", "-1000 to 1000", None]
    assert nibabel.load(cases[0].image).get_fdata().min() == -3024  # the stored image is never changed
    alone = write_raw_dataset(tmp_path, "Dataset502_mr", cases[2:], SCHEME)
    assert WINDOW_KEY not in read_json(alone.folder / "dataset.json")
