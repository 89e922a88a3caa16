"""Preprocess a round with one new case for each ten of earlier rounds, compared with nnUNetv2_plan_and_preprocess.

uv run python -m benchmarks.preprocessing [--quick]

Both plan and preprocess the same raw data set of eleven cases with forty structures, each in a process of its own; ours
did ten of them in the round before. CPU seconds include those of child processes and of all imports. Arrays, label maps
and the places of the structures must be equal.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import blosc2
import numpy as np
from scipy import ndimage

from benchmarks.measuring import measure_alternately, parse_quick, print_result
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.nnunet.environment import NnunetFolders

OLD, NEW = 10, 1
FIRST, SECOND = "Dataset501_round1", "Dataset502_round2"
ROUND = """
import sys
from pathlib import Path
from mrseg_label.nnunet import planning
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.environment import NnunetFolders
from mrseg_label.nnunet.profiles import profile_named
root, name, earlier = sys.argv[1:]
folders = NnunetFolders.under(Path(root))
folders.activate(augmentation_processes=1)
dataset, profile = RawDataset.open(folders.raw / name), profile_named("full")
planned = planning.plan(folders, dataset, profile, folders.preprocessed / earlier if earlier else None)
reused, made, left_out = planning.preprocess(folders, dataset, profile)
print(f"ours: plans of {planned.reused_from}, {reused} cases taken over, {made} preprocessed", file=sys.stderr)
"""


def make_case(folder: Path, number: int, scheme: LabelScheme, shape: tuple[int, int, int]) -> TrainingCase:
    """Make an image of a participant with all structures as blobs; every third on a coarser grid."""
    random = np.random.default_rng(number)
    spacing = (2.3, 2.3, 5.0) if number % 3 == 1 else (1.8, 1.8, 4.0)
    coarse = random.permuted(np.resize(np.arange(len(scheme) + 1), 216)).reshape(6, 6, 6)
    labels = ndimage.zoom(coarse, [size / 6 for size in shape], order=0, mode="nearest").astype(np.uint8)
    image = (labels * 20 + random.normal(200, 30, labels.shape)).clip(1).astype(np.int16)
    grid = Geometry((labels.shape[0], labels.shape[1], labels.shape[2]), np.diag((*spacing, 1.0)))
    paths = folder / f"image_{number}.nii.gz", folder / f"labels_{number}.nii.gz"
    write_nifti(paths[0], image, grid)
    write_nifti(paths[1], labels, grid)
    return TrainingCase(f"case_{number}", *paths, f"participant_{number}")


def run_round(root: Path, name: str, earlier: str) -> None:
    """Plan and preprocess as a round of profile ``full`` does."""
    subprocess.run([sys.executable, "-c", ROUND, str(root), name, earlier], check=True)


def run_stock(root: Path) -> None:
    """Plan and preprocess by nnU-Net's own command, with two processes for each of its two steps."""
    shutil.rmtree(root / "preprocessed", ignore_errors=True)
    command = [str(Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")), "-d", "502", "-c", "3d_fullres"]
    environment = os.environ | NnunetFolders.under(root).variables(augmentation_processes=1)
    done = subprocess.run([*command, "-np", "2", "-npfp", "2"], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


def differing(ours: Path, stock: Path) -> list[str]:
    """Names of the preprocessed files whose content differs."""
    found = []
    for file in sorted(stock.iterdir()):
        if file.suffix == ".b2nd":
            one, other = (blosc2.open(str(folder / file.name), mode="r")[:] for folder in (ours, stock))
            equal = np.array_equal(one, other)
        else:
            one, other = (
                pickle.loads((folder / file.name).read_bytes())["class_locations"] for folder in (ours, stock)
            )
            equal = one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
        found += [] if equal else [file.name]
    return found


def main() -> None:
    """Measure both alternately on the same raw data set."""
    quick = parse_quick(__doc__)
    scheme = LabelScheme.default()
    with tempfile.TemporaryDirectory() as folder:
        root, stock_root, files = (Path(folder) / name for name in ("ours", "stock", "files"))
        files.mkdir()
        shape = (120, 96, 24) if quick else (224, 176, 48)
        cases = [make_case(files, number, scheme, shape) for number in range(OLD + NEW)]
        for name, some in ((FIRST, cases[:OLD]), (SECOND, cases)):
            (root / "raw").mkdir(parents=True, exist_ok=True)
            write_raw_dataset(root / "raw", name, some, scheme)
        shutil.copytree(root / "raw" / SECOND, stock_root / "raw" / SECOND)
        run_round(root, FIRST, "")
        after_first = Path(folder) / "after the first round"
        (root / "preprocessed").rename(after_first)

        def ours() -> None:
            shutil.rmtree(root / "preprocessed", ignore_errors=True)
            shutil.copytree(after_first, root / "preprocessed")
            run_round(root, SECOND, FIRST)

        figures = measure_alternately(ours, lambda: run_stock(stock_root), 1 if quick else 3)
        data = Path("preprocessed") / SECOND / "nnUNetPlans_3d_fullres"
        if different := differing(root / data, stock_root / data):
            raise SystemExit(f"preprocessed otherwise than by nnU-Net: {', '.join(different)}")
    print_result("preprocessing", "nnUNetv2_plan_and_preprocess", *figures)


if __name__ == "__main__":
    main()
