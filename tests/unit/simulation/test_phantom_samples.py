"""The committed sample data: what the generator makes, and a stand-in that is in TotalSegmentator's form."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.simulation.phantom import DIXON, Participant, paint
from tests.support.paths import ROOT

SAMPLES = ROOT / "sample-data"
SAMPLE_SEED = 2024
MODEL = (
    SAMPLES
    / "weights/Dataset297_TotalSegmentator_total_3mm_1559subj"
    / "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
)


def test_sample_images_share_one_geometry_with_their_truth() -> None:
    truth = nib.load(SAMPLES / "truth/mr/P001/abdomen.nii.gz")
    for channel in DIXON:
        image = nib.load(SAMPLES / f"mr/P001/abdomen_{channel}.nii.gz")
        assert image.shape == truth.shape
        np.testing.assert_array_equal(image.affine, truth.affine)
    ct = nib.load(SAMPLES / "ct/P001/abdomen_ct.nii.gz")
    assert np.asarray(ct.dataobj).min() < -900
    assert ct.shape == nib.load(SAMPLES / "truth/ct/P001/abdomen.nii.gz").shape


def test_the_generator_still_makes_the_committed_truth() -> None:
    stored = nib.load(SAMPLES / "truth/mr/P001/abdomen.nii.gz")
    painted = paint(Participant.draw(SAMPLE_SEED, 0), "abdomen")
    np.testing.assert_allclose(painted.affine, stored.affine, atol=1e-4)
    # Another processor may round a voxel on a surface the other way.
    assert np.mean(painted.structures == np.asarray(stored.dataobj)) > 0.9999


def test_the_samples_stay_small() -> None:
    assert sum(p.stat().st_size for p in SAMPLES.rglob("*") if p.is_file()) < 15e6


def test_the_stand_in_has_totalsegmentators_names_and_ids() -> None:
    map_to_binary = pytest.importorskip("totalsegmentator.map_to_binary")
    labels = json.loads((MODEL / "dataset.json").read_text())["labels"]
    assert labels.pop("background") == 0
    assert {number: name for name, number in labels.items()} == map_to_binary.class_map["total"]


def test_the_stand_in_has_a_head_for_every_structure_and_no_other() -> None:
    torch = pytest.importorskip("torch")
    checkpoint = torch.load(MODEL / "fold_0/checkpoint_final.pth", map_location="cpu", weights_only=False)
    assert checkpoint["trainer_name"] == "nnUNetTrainer_4000epochs_NoMirroring"
    bias = {k: v for k, v in checkpoint["network_weights"].items() if ".seg_layers." in k and k.endswith("bias")}
    assert bias
    known = {i for ids in LabelScheme.default().ids_in(TOTALSEGMENTATOR_TOTAL).values() for i in ids}
    for values in bias.values():
        assert values.shape == (118,)
        assert {i for i in range(1, 118) if values[i] > -30} == known
    assert json.loads((MODEL / "plans.json").read_text())["image_reader_writer"] == "NibabelIOWithReorient"
