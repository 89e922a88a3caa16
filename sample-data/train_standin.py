"""Train the CT stand-in: a small nnU-Net in TotalSegmentator's own folder format, from the phantom's CT.

TotalSegmentator's published weights cannot be part of this repository. The stand-in knows the phantom only and is of no
use for patients. It is trained once (20 minutes on two busy cores):

    uv run python sample-data/train_standin.py
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from standin_format import PATCH, SPACING_MM, architecture, groups, save
from torch import nn

from mrseg_label.simulation.phantom import Participant, ct_grid, paint, render

SEED = 2297  # of the training participants; no other cohort uses it
Case = tuple[NDArray[np.int16], NDArray[np.uint8]]


def training_case(index: int) -> Case:
    """Make the CT in HU and the class map of one training participant's trunk at 6 mm, each (Z, Y, X)."""
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


def intensity_properties(cases: list[Case]) -> dict[str, float]:
    """Compute the statistics of HU over all labelled voxels, as CTNormalization needs them."""
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
    """Random patches with a limited field of view and the usual augmentation of CT intensities."""

    def __init__(self, cases: list[Case], intensities: dict[str, float], seed: int) -> None:
        self.cases = cases
        self.p = intensities
        self.rng = np.random.default_rng(seed)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a patch (1, 1, Z, Y, X) float32 and its classes (1, Z, Y, X) int64."""
        rng = self.rng
        image, truth = self.cases[rng.integers(len(self.cases))]
        # Images cover 150 to 400 mm of the body, and half of them are about as high as one MR station.
        height = int(rng.integers(36, 44)) if rng.random() < 0.5 else int(rng.integers(25, 67))
        start = int(rng.integers(-4, image.shape[0] - 24))
        view = slice(max(0, start), min(image.shape[0], start + height))
        hu, target = image[view].astype(np.float32), truth[view]
        hu = self._augment(hu)
        hu = np.clip(hu, self.p["percentile_00_5"], self.p["percentile_99_5"])
        hu = (hu - self.p["mean"]) / self.p["std"]
        x = np.zeros(PATCH, np.float32)  # padded with 0 after normalisation, as in nnU-Net's predictor
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
    """Compute cross entropy weighted by (n + 50)^-exponent plus soft Dice over present classes, at each resolution."""
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
    """Build the network as nnU-Net does, with deep supervision."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    plan = architecture()
    network: nn.Module = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 1, heads, deep_supervision=True
    )
    return network


def train(patches: Patches, iterations: int, peak: float, seed: int) -> nn.Module:
    """Train by AdamW with a one-cycle schedule; the class weights of the cross entropy fade out linearly."""
    torch.manual_seed(seed)
    network = build_network(len(groups()) + 1)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=iterations, pct_start=0.15)
    started, mean = time.monotonic(), 0.0
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
                f"iteration {step + 1} of {iterations}, loss {mean:.3f}, {time.monotonic() - started:.0f} s", flush=True
            )
    return network


def main() -> None:
    """Make the training cases, train the network and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights"), help="folder for the weights")
    parser.add_argument("--iterations", type=int, default=2200)
    parser.add_argument("--participants", type=int, default=48)
    parser.add_argument("--peak", type=float, default=1.2e-2, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    with ProcessPoolExecutor(options.threads) as pool:
        cases = list(pool.map(training_case, range(options.participants)))
    print(f"{len(cases)} participants painted in {time.monotonic() - started:.0f} s", flush=True)
    torch.set_num_threads(options.threads)
    intensities = intensity_properties(cases)
    network = train(Patches(cases, intensities, SEED), options.iterations, options.peak, SEED)
    print(f"Weights written to {save(network, intensities, options.out)}")


if __name__ == "__main__":
    main()
