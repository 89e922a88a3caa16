"""Train by our trainer and by plain nnU-Net on the same preprocessed data, and compare the time of an epoch.

uv run python -m benchmarks.overhead [--quick] [--device cuda]

Both have the same plans, network, iterations and number of processes that augment, nnU-Net's own augmentation, and labels
that are moved as nnU-Net moves them. Trainings of both alternate; of each, the first epoch, in which libraries warm up,
does not count. On a CPU the network is small, so that what is around it weighs more than in a real training; with
``--device cuda`` it is the one that nnU-Net plans.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.preprocessing import make_case
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.dataset_json import without_ignore
from mrseg_label.nnunet.environment import CONFIGURATION, PLANS, STOCK_TRAINER, NnunetFolders, available_cores
from mrseg_label.nnunet.profiles import NetworkShape
from mrseg_label.nnunet.run import TrainingRun
from mrseg_label.nnunet.supervise import train

DATASET = "Dataset501_overhead"
CASES, EPOCHS = 4, 5
SMALL = NetworkShape(features_per_stage=(8, 16, 32), patch_size=(32, 32, 48), convs_per_stage=2, batch_size=2)
# The steps of nnU-Net's own command, which has no option for the length of a training.
STOCK = """
import sys
import torch
from nnunetv2.run.run_training import get_trainer_from_args
dataset, configuration, trainer_name, plans, device, epochs, iterations = sys.argv[1:]
if device == "cpu":
    import multiprocessing
    torch.set_num_threads(multiprocessing.cpu_count())
else:
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
trainer = get_trainer_from_args(dataset, configuration, 0, trainer_name, plans, device=torch.device(device))
trainer.num_epochs, trainer.num_iterations_per_epoch = int(epochs), int(iterations)
trainer.num_val_iterations_per_epoch = 2
trainer.disable_checkpointing = False
torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, device == "cuda"
trainer.run_training()
"""


def changes(device: str, iterations: int) -> dict[str, Any]:
    """What the trainings change in the profile ``full``."""
    values: dict[str, Any] = {
        "epochs": EPOCHS,
        "iterations_per_epoch": iterations,
        "validation_iterations": 2,
        "nearest_labels": False,
        "checkpoint_seconds": 3600.0,
    }
    return values if device == "cuda" else values | {"target_spacing_mm": 4.0, "network": asdict(SMALL)}


def train_ours(root: Path, number: int, device: str, iterations: int) -> list[float]:
    """Train as a round does, and return the seconds of each epoch but the first."""
    run = TrainingRun(
        folder=root / f"run_{number}",
        nnunet=root,
        dataset=DATASET,
        profile="full",
        model=root / f"model_{number}",
        device=device,
        changes=changes(device, iterations),
    )
    train(run)
    return epoch_seconds(root / "results")


def train_stock(root: Path, device: str, iterations: int) -> list[float]:
    """Train as nnU-Net's own command does, and return the seconds of each epoch but the first."""
    folders = NnunetFolders.under(root)
    environment = os.environ | folders.variables(augmentation_processes=min(available_cores(), 12))
    arguments = (DATASET, CONFIGURATION, STOCK_TRAINER, PLANS, device, str(EPOCHS), str(iterations))
    done = subprocess.run([sys.executable, "-c", STOCK, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nnU-Net's own training failed: {done.stderr[-3000:]}")
    return epoch_seconds(folders.results)


def epoch_seconds(results: Path) -> list[float]:
    """Read the seconds of each epoch but the first from the only checkpoint under ``results``, and remove it."""
    (path,) = results.rglob("checkpoint_final.pth")
    logged = torch.load(path, map_location="cpu", weights_only=False)["logging"]
    shutil.rmtree(results)
    pairs = zip(logged["epoch_start_timestamps"], logged["epoch_end_timestamps"], strict=True)
    return [end - start for start, end in pairs][1:]


def copy_for_stock(ours: Path, stock: Path) -> None:
    """Copy the preprocessed data; where no voxel is ignored, our trainings leave the label ``ignore`` out too."""
    shutil.copytree(ours / "preprocessed", stock / "preprocessed")
    path = stock / "preprocessed" / DATASET / "dataset.json"
    path.write_text(json.dumps(without_ignore(json.loads(path.read_text()))))
    (stock / "raw").mkdir()


def main() -> None:
    """Alternate trainings of both kinds, and print the ratio of the medians of their epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parsed = parser.parse_args()
    repeats, iterations = (1, 10) if parsed.quick else (3, 20)
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        ours, stock = Path(folder, "ours"), Path(folder, "stock")
        scheme = LabelScheme.default()
        images = ours / "images"
        images.mkdir(parents=True)
        (ours / "raw").mkdir()
        write_raw_dataset(
            ours / "raw", DATASET, [make_case(images, number, scheme, (96, 80, 40)) for number in range(CASES)], scheme
        )
        for number in range(repeats):
            seconds["ours"] += train_ours(ours, number, parsed.device, iterations)
            if not stock.exists():
                copy_for_stock(ours, stock)
            seconds["stock"] += train_stock(stock, parsed.device, iterations)
            print({name: [round(value, 2) for value in values] for name, values in seconds.items()}, file=sys.stderr)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"overhead: {median['ours'] / median['stock']:.2f}x of nnUNetv2_train (ours {median['ours']:.3g} s, stock "
        f"{median['stock']:.3g} s an epoch, on {parsed.device})"
    )


if __name__ == "__main__":
    main()
