"""The batches that a round's trainers get from nnU-Net's own loader, from preprocessed images."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrseg_label.nnunet import planning
from mrseg_label.nnunet.dataset import RawDataset, write_raw_dataset
from mrseg_label.nnunet.environment import PLANS, NnunetFolders
from mrseg_label.nnunet.mirroring import left_right_axis
from mrseg_label.nnunet.profiles import TrainingProfile, profile_named
from tests.support.nnunet_cases import SCHEME, write_case

LEFT_LUNG, RIGHT_LUNG, LIVER, IGNORE = 1, 2, 3, 4
SMOKE = profile_named("smoke")
Batch = tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]


@dataclass(frozen=True)
class Data:
    folders: NnunetFolders
    dataset: RawDataset

    @property
    def preprocessed(self) -> Path:
        return self.folders.preprocessed / self.dataset.name

    def prepare(self, transpose: tuple[int, ...] = (0, 1, 2)) -> None:
        """Plan and preprocess, with the axes in this order."""
        planning.plan(self.folders, self.dataset, SMOKE)
        path = self.preprocessed / f"{PLANS}.json"
        plans = json.loads(path.read_text())
        plans["transpose_forward"] = list(transpose)
        plans["transpose_backward"] = [int(axis) for axis in np.argsort(transpose)]
        path.write_text(json.dumps(plans))
        planning.preprocess(self.folders, self.dataset, SMOKE)

    def trainer(self, profile: TrainingProfile, labels: dict[str, int] | None = None) -> Any:
        import torch

        from mrseg_label.nnunet.trainers import make_trainer

        plans = json.loads((self.preprocessed / f"{PLANS}.json").read_text())
        dataset_json = json.loads((self.preprocessed / "dataset.json").read_text())
        trainer = make_trainer(
            plans, dataset_json | ({"labels": labels} if labels else {}), 0, profile, torch.device("cpu")
        )
        trainer.configure(profile, lambda *_: None)
        trainer.initialize()
        return trainer


def batches(trainer: Any, count: int, seed: int = 0) -> list[Batch]:
    """Image (Z, Y, X) and label maps by level of deep supervision, of the first of each batch."""
    import torch

    loader, _ = trainer.get_dataloaders()
    np.random.seed(seed)
    torch.manual_seed(seed)
    drawn = [next(loader) for _ in range(count)]
    return [(batch["data"][0, 0].numpy(), [level[0, 0].numpy() for level in batch["target"]]) for batch in drawn]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    root = tmp_path_factory.mktemp("augmentation")
    cases = write_case(root, 1, "LPS") + write_case(root, 2, "PIR")
    folders = NnunetFolders.under(root / "nnunet")
    with pytest.MonkeyPatch.context() as patch:
        for name in folders.variables():
            patch.setenv(name, "")  # set back afterwards
        folders.activate(augmentation_processes=1)
        dataset = write_raw_dataset(folders.raw, "Dataset501_mirror", cases, SCHEME)
        prepared = Data(folders, dataset)
        patch.setenv("nnUNet_compile", "f")
        yield prepared


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")


@pytest.mark.parametrize(
    ("transpose", "short_schedule"),
    [*((order, True) for order in itertools.permutations(range(3))), ((0, 1, 2), False), ((1, 2, 0), False)],
)
def test_a_mirrored_batch_carries_swapped_labels(
    data: Data, monkeypatch: pytest.MonkeyPatch, transpose: tuple[int, ...], short_schedule: bool
) -> None:
    """The left lung is darker than the right one. In the mirror it lies on the other side, and is a right lung."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")  # planning divides by it
    data.prepare(transpose)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    profile = replace(SMOKE, mirror_left_right=True, nearest_labels=True, short_schedule=short_schedule)
    assert profile.augments is not short_schedule
    trainer = data.trainer(profile)
    axis = left_right_axis(transpose)
    as_they_were, mirrored = 0, 0
    for image, levels in batches(trainer, 24):
        for labels in levels:
            left, right = (np.argwhere(labels == label)[:, axis] for label in (LEFT_LUNG, RIGHT_LUNG))
            if len(left) and len(right):
                assert left.mean() < right.mean()  # in RAS, on every level
        if (levels[0] == LEFT_LUNG).any() and (levels[0] == RIGHT_LUNG).any():
            left_is_darker = image[levels[0] == LEFT_LUNG].mean() < image[levels[0] == RIGHT_LUNG].mean()
            as_they_were += left_is_darker
            mirrored += not left_is_darker
    assert as_they_were >= 4 and mirrored >= 4
    # Stock nnU-Net mirrors predictions, without swapping labels, where a trainer names axes.
    assert trainer.inference_allowed_mirroring_axes is None


def test_one_lung_alone_is_ignored_in_the_mirror() -> None:
    """The right lung was annotated in no case, so that it lies in the background, and on the left in the mirror."""
    import torch
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
    from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform

    from mrseg_label.nnunet.augmentation import MirrorLeftRight, with_profile
    from mrseg_label.nnunet.mirroring import mirrored_labels

    table, _ = mirrored_labels(
        {"background": 0, **SCHEME.label_names, "ignore": IGNORE}, [["left_lung", "right_lung"]], {LEFT_LUNG, LIVER}
    )
    assert table is not None
    stock = ComposeTransforms([RemoveLabelTransform(-1, 0), DownsampleSegForDSTransform([[1, 1, 1], [0.5, 0.5, 0.5]])])
    transform = with_profile(stock, SMOKE, MirrorLeftRight(2, table))
    labels = torch.zeros((1, 4, 4, 8), dtype=torch.int16)
    labels[..., :2], labels[..., 4:6], labels[..., 6:] = LEFT_LUNG, LIVER, -1
    seen = set()
    for seed in range(8):
        np.random.seed(seed)
        found = transform(image=torch.zeros((1, 4, 4, 8)), segmentation=labels.clone())["segmentation"]
        assert found[1][0, 0, 0].tolist() == found[0][0, 0, 0, 1::2].tolist()
        seen.add(tuple(found[0][0, 0, 0].tolist()))
    assert seen == {(1, 1, 0, 0, 3, 3, 0, 0), (4, 4, 3, 3, 4, 4, 4, 4)}


def test_transforms_are_added_and_everything_is_seeded(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    data.prepare()
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    plain = batches(data.trainer(SMOKE), 8)
    changed_profile = replace(SMOKE, inversion=0.5, gamma=0.5, mirror_left_right=True, small_structure_exponent=0.5)
    changed, again = (batches(data.trainer(changed_profile), 8, seed=7) for _ in range(2))
    for (image, levels), (image_again, levels_again) in zip(changed, again, strict=True):
        np.testing.assert_array_equal(image, image_again)
        np.testing.assert_array_equal(levels[0], levels_again[0])

    def liver_is_brighter(found: list[Batch]) -> list[bool]:
        """In each patch that has both."""
        return [
            bool(image[labels == LIVER].mean() > image[labels == LEFT_LUNG].mean())
            for image, (labels, *_) in found
            if {LIVER, LEFT_LUNG} <= set(np.unique(labels).astype(int).tolist())
        ]

    assert set(liver_is_brighter(plain)) == {True}
    assert set(liver_is_brighter(changed)) == {True, False}


def test_labels_follow_the_image_by_nearest_neighbour(data: Data) -> None:
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    for nearest in (False, True):
        profile = replace(SMOKE, short_schedule=False, nearest_labels=nearest, inversion=0.5)
        trainer = data.trainer(profile)
        transforms = trainer.get_training_transforms((16, 16, 32), (-0.5, 0.5), None, None, False).transforms
        (spatial,) = (one for one in transforms if isinstance(one, SpatialTransform))
        assert spatial.mode_seg == ("nearest" if nearest else "bilinear")
        assert type(transforms[transforms.index(spatial) + 1]).__name__ == "InvertImageTransform"


def test_small_structures_are_drawn_more_often(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    data.prepare()
    trainer = data.trainer(replace(SMOKE, small_structure_exponent=1.0))
    trainer.get_dataloaders()
    training, validation = trainer.get_tr_and_val_datasets()
    case = training.identifiers[0]
    voxels = {
        label: len(found)
        for label, found in validation.load_case(case)[3]["class_locations"].items()
        if not isinstance(label, tuple)
    }
    assert voxels[LIVER] > 1.3 * voxels[LEFT_LUNG]
    np.random.seed(0)
    offered = [training.load_case(case)[3]["class_locations"] for _ in range(600)]
    drawn = [next(label for label in found if not isinstance(label, tuple)) for found in offered]
    assert all(sum(not isinstance(label, tuple) for label in found) == 1 for found in offered)
    inverse = {label: 1 / count for label, count in voxels.items()}
    for label, weight in inverse.items():
        assert drawn.count(label) / 600 == pytest.approx(weight / sum(inverse.values()), abs=0.06)
    assert training.probabilities([1, 3], [100, 100])[0] == pytest.approx(0.5)
    shares = type(training)(training, 0.0, {1: 0.25, 3: 1.0})
    np.testing.assert_allclose(shares.probabilities([1, 3], [9, 900]), [0.8, 0.2])
