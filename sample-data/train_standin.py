"""Train the CT stand-in: a small nnU-Net in TotalSegmentator's own folder format, from the phantom's CT.

TotalSegmentator's published weights cannot be part of this repository. The stand-in has their folder,
names and 117 class ids, so that the real TotalSegmentator API loads it offline; it knows the phantom only
and is of no use for patients. Training is done once (20 minutes on two busy cores):

    uv run python sample-data/train_standin.py
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mrseg_label.labels import TOTALSEGMENTATOR_TOTAL, LabelScheme
from mrseg_label.simulation.phantom import Participant, ct_grid, paint, render

DATASET = "Dataset297_TotalSegmentator_total_3mm_1559subj"
MODEL = "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
SEED = 2297  # of the training participants; no other cohort uses it
SPACING_MM = 6.0
PATCH = (40, 40, 64)  # z, y, x: nnU-Net's order for an image read as RAS
FEATURES = (16, 32, 64, 128)
CLASSES = 117
# Levels of the spine, lobes of a lung and S1 against the sacrum cannot all be told apart in a small patch
# of 6 mm voxels; ids of one group are trained as one class and get the same head.
GROUPED = (tuple(range(27, 32)), tuple(range(32, 37)), tuple(range(37, 51)), (12, 13))


def groups() -> list[tuple[int, ...]]:
    """Ids of TotalSegmentator's ``total`` that are trained together, one tuple a class."""
    taken = {i for group in GROUPED for i in group}
    ids = [i for found in LabelScheme.default().ids_in(TOTALSEGMENTATOR_TOTAL).values() for i in found]
    return [*GROUPED, *((i,) for i in sorted(ids) if i not in taken)]


def architecture() -> dict[str, Any]:
    """The network as nnU-Net's plans describe it."""
    stages = len(FEATURES)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(FEATURES),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            "n_conv_per_stage": [1] * stages,
            "n_conv_per_stage_decoder": [1] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans(intensities: dict[str, float]) -> dict[str, Any]:
    """nnU-Net's plans file of the stand-in."""
    resample = {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False}
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 3.0, 3.0],
        "original_median_shape_after_transp": [184, 93, 131],
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(PATCH),
                "median_image_size_in_voxels": [92.0, 47.0, 65.0],
                "spacing": [SPACING_MM] * 3,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_torch_fornnunet",
                "resampling_fn_data_kwargs": resample,
                "resampling_fn_seg": "resample_torch_fornnunet",
                "resampling_fn_seg_kwargs": {**resample, "is_seg": True},
                "resampling_fn_probabilities": "resample_torch_fornnunet",
                "resampling_fn_probabilities_kwargs": resample,
                "architecture": architecture(),
                "batch_dice": False,
            }
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
    }


def dataset_json() -> dict[str, Any]:
    """nnU-Net's description of the data set, with TotalSegmentator's names and ids."""
    from totalsegmentator.map_to_binary import class_map

    names = class_map["total"]
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{names[i]: i for i in range(1, CLASSES + 1)}},
        "numTraining": 1559,
        "file_ending": ".nii.gz",
        "description": "Stand-in trained on synthetic phantoms by sample-data/train_standin.py. "
        "It is not TotalSegmentator's model and knows no patient.",
    }


def training_case(index: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """CT in HU and class map of one training participant's trunk at 6 mm, axes z, y, x."""
    from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

    torch.set_num_threads(1)
    participant = Participant.draw(SEED, index)
    painted = paint(participant, "trunk", ct_grid(participant, "trunk"))
    table = np.zeros(256, np.uint8)
    for number, group in enumerate(groups(), start=1):
        table[list(group)] = number
    image = render(painted, "ct").transpose(2, 1, 0)[None].astype(np.float32)
    classes = table[painted.total_ids].transpose(2, 1, 0)[None]
    shape = [round(n * 3.0 / SPACING_MM) for n in image.shape[1:]]
    spacing = ([3.0] * 3, [SPACING_MM] * 3)
    small = resample_torch_fornnunet(image, shape, *spacing, is_seg=False, num_threads=1, force_separate_z=False)
    truth = resample_torch_fornnunet(
        classes.astype(np.int16), shape, *spacing, is_seg=True, num_threads=1, force_separate_z=False
    )
    return np.rint(np.asarray(small)[0]).astype(np.int16), np.asarray(truth)[0].astype(np.uint8)


def intensity_properties(cases: list[tuple[NDArray[np.int16], NDArray[np.uint8]]]) -> dict[str, float]:
    """What CTNormalization needs: statistics of HU over all labelled voxels."""
    values = np.concatenate([image[truth > 0][::4] for image, truth in cases]).astype(np.float64)
    low, high = np.percentile(values, [0.5, 99.5])
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
        "percentile_00_5": float(low),
        "percentile_99_5": float(high),
    }


class Patches:
    """Random patches with a cut field of view, and the intensity changes usual in CT training."""

    def __init__(
        self, cases: list[tuple[NDArray[np.int16], NDArray[np.uint8]]], intensities: dict[str, float], seed: int
    ) -> None:
        self.cases = cases
        self.p = intensities
        self.rng = np.random.default_rng(seed)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One patch (1, 1, Z, Y, X) float32 and its classes (1, Z, Y, X) int64."""
        rng = self.rng
        image, truth = self.cases[rng.integers(len(self.cases))]
        # Examinations cover 150 to 400 mm of the body, and half of them are about one MR station high.
        height = int(rng.integers(36, 44)) if rng.random() < 0.5 else int(rng.integers(25, 67))
        start = int(rng.integers(-4, image.shape[0] - 24))
        view = slice(max(0, start), min(image.shape[0], start + height))
        hu, target = image[view].astype(np.float32), truth[view]
        hu = self._augment(hu)
        hu = np.clip(hu, self.p["percentile_00_5"], self.p["percentile_99_5"])
        hu = (hu - self.p["mean"]) / self.p["std"]
        x = np.zeros(PATCH, np.float32)  # nnU-Net's predictor pads with 0 after normalisation, so this does too
        y = np.zeros(PATCH, np.int64)
        inner, outer = [], []
        for size, patch in zip(hu.shape, PATCH, strict=True):
            if size >= patch:
                first = int(rng.integers(0, size - patch + 1))
                inner.append(slice(first, first + patch))
                outer.append(slice(0, patch))
            else:
                before = (patch - size) // 2
                inner.append(slice(0, size))
                outer.append(slice(before, before + size))
        x[tuple(outer)], y[tuple(outer)] = hu[tuple(inner)], target[tuple(inner)]
        return torch.from_numpy(x)[None, None], torch.from_numpy(y)[None]

    def _augment(self, hu: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self.rng
        hu = hu * np.float32(rng.uniform(0.85, 1.15)) + np.float32(rng.normal(0, 15))
        if rng.random() < 0.5:
            hu = hu + rng.standard_normal(hu.shape, dtype=np.float32) * np.float32(rng.uniform(5, 35))
        if rng.random() < 0.3:  # gamma of the soft-tissue window
            low, width = np.float32(-200), np.float32(600)
            share = np.clip((hu - low) / width, 0, 1)
            hu = np.where(
                (hu > low) & (hu < low + width), low + width * share ** np.float32(np.exp(rng.normal(0, 0.25))), hu
            )
        return hu.astype(np.float32)


def loss_of(outputs: list[torch.Tensor], target: torch.Tensor, exponent: float) -> torch.Tensor:
    """Cross entropy weighted by (n + 50)^-exponent plus soft Dice over the classes present, at each resolution."""
    total = torch.zeros(())
    for level, logits in enumerate(outputs):
        step = 2**level
        y = target[:, ::step, ::step, ::step]
        count = torch.bincount(y.flatten(), minlength=logits.shape[1]).float()
        weight = (count + 50) ** -exponent
        weight = weight / (weight * count).sum() * count.sum()
        log_share = logits.log_softmax(1)
        log_right = log_share.gather(1, y[:, None])[:, 0]
        entropy = -(log_right * weight[y]).mean()
        # Overlap and sizes per class without a one-hot copy of the truth.
        overlap = torch.zeros(logits.shape[1]).index_add(0, y.flatten(), log_right.exp().flatten())
        size = log_share.exp().sum((0, 2, 3, 4)) + count
        present = torch.nonzero(count[1:] > 0).flatten() + 1
        dice = (2 * overlap[present] + 1e-3) / (size[present] + 1e-3)
        total = total + (entropy + 1 - dice.mean()) * 0.5**level
    return total / sum(0.5**level for level in range(len(outputs)))


def build_network(heads: int) -> nn.Module:
    """The network as nnU-Net itself builds it, with deep supervision."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    plan = architecture()
    network: nn.Module = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 1, heads, deep_supervision=True
    )
    return network


def train(patches: Patches, iterations: int, peak: float, seed: int) -> nn.Module:
    """AdamW with a one-cycle schedule; the class weights of the cross entropy fade out linearly."""
    torch.manual_seed(seed)
    network = build_network(len(groups()) + 1)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=iterations, pct_start=0.15)
    begun, mean = time.monotonic(), 0.0
    for step in range(iterations):
        x, y = patches.draw()
        loss = loss_of(network(x), y, 0.5 * (1 - step / iterations))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        schedule.step()
        mean = 0.98 * mean + 0.02 * loss.item() if step else loss.item()
        if step % 50 == 49:
            print(
                f"iteration {step + 1} of {iterations}, loss {mean:.3f}, {time.monotonic() - begun:.0f} s", flush=True
            )
    return network


def with_all_heads(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights with one head for each of the 117 ids and the background, in half precision.

    Ids of one group get the same head (of equal logits the first wins); ids that were not trained can
    never win.
    """
    out = {}
    halves: dict[int, torch.Tensor] = {}  # nnU-Net's decoder names the encoder's weights again; store them once
    for name, value in state.items():
        if ".seg_layers." not in name:
            out[name] = halves.setdefault(value.data_ptr(), value.half())
            continue
        fill = torch.zeros((CLASSES + 1, *value.shape[1:]), dtype=value.dtype)
        if name.endswith("bias"):
            fill -= 60.0
        fill[0] = value[0]
        for number, group in enumerate(groups(), start=1):
            fill[list(group)] = value[number]
        out[name] = fill.half()
    return out


def save(network: nn.Module, intensities: dict[str, float], weights: Path) -> Path:
    """Write TotalSegmentator's folder; returns the folder of the model."""
    folder = weights / DATASET / MODEL
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(dataset_json(), indent=1) + "\n")
    plan = plans(intensities)
    (folder / "plans.json").write_text(json.dumps(plan, indent=1) + "\n")
    checkpoint = {
        "network_weights": with_all_heads(network.state_dict()),
        "trainer_name": MODEL.split("__")[0],
        "init_args": {"plans": plan, "configuration": "3d_fullres", "fold": 0, "dataset_json": dataset_json()},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights"), help="folder of the weights")
    parser.add_argument("--iterations", type=int, default=2200)
    parser.add_argument("--participants", type=int, default=48)
    parser.add_argument("--peak", type=float, default=1.2e-2, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    begun = time.monotonic()
    with ProcessPoolExecutor(options.threads) as pool:
        cases = list(pool.map(training_case, range(options.participants)))
    print(f"{len(cases)} participants painted, {time.monotonic() - begun:.0f} s", flush=True)
    torch.set_num_threads(options.threads)
    intensities = intensity_properties(cases)
    network = train(Patches(cases, intensities, SEED), options.iterations, options.peak, SEED)
    print(f"written to {save(network, intensities, options.out)}")


if __name__ == "__main__":
    main()
