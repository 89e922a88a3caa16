"""Compute DSC and HD95 of 40 structures, compared with MONAI, surface-distance, panoptica and SimpleITK, each in turn.

uv run python -m benchmarks.metrics [--quick]

Three pairs of label maps of 120 x 168 x 224 voxels: small organs, large organs, and a correction that touched three structures.
MONAI gets contiguous Boolean one-hot maps, which are made beforehand. surface-distance and SimpleITK get what a script would
give them: one structure after the other, of which SimpleITK sees the bounding box alone. panoptica runs in an environment of
its own, since its pins exclude ours, and counts its own CPU time. The time is CPU time, medians.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray

from benchmarks.measuring import medians_in_turn, parse_quick, print_result
from mrseg_label.metrics import compare, dice, hausdorff95
from mrseg_label.metrics.overlap import LabelMap

SHAPE = (120, 168, 224)
SPACING_MM = (2.0, 1.5, 3.0)
GRID = (2, 4, 5)  # of the structures
STRUCTURES = 40
TOLERANCE = 1e-4
PANOPTICA = "panoptica==2.1.7"

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]  # DSC and HD95 of each structure


@dataclass(frozen=True)
class Setting:
    """Two label maps to compare."""

    name: str
    reference: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


def main() -> None:
    """Measure every tool in every setting; print a table and the slowest setting against MONAI."""
    quick = parse_quick(__doc__)
    torch.set_num_threads(1)
    _all_measures(*np.ones((2, 3, 3, 3), dtype=np.uint8))  # imports are not counted
    worst: tuple[float, float, float] | None = None
    print(
        "| setting | tool | CPU, s | ours is faster by | mean DSC | mean HD95, mm |\n| --- | --- | --- | --- | --- | --- |"
    )
    with Panoptica() as panoptica:
        for setting in settings():
            tools = tools_for(setting, panoptica)
            found, seconds = medians_in_turn(tools, 1 if quick else 3, panoptica.seconds_of)
            check(setting, found["ours"], found["MONAI"])
            ours = seconds["ours"]
            for name, taken in seconds.items():
                dsc, hd95 = (f"{np.nanmean(values[np.isfinite(values)]):.3f}" for values in found[name])
                print(f"| {setting.name} | {name} | {taken:.3f} | {taken / ours:.1f} | {dsc} | {hd95} |", flush=True)
            ratio = seconds["MONAI"] / ours
            if worst is None or ratio < worst[0]:
                worst = ratio, ours, seconds["MONAI"]
    if panoptica.missing:
        print(f"panoptica was not measured: {panoptica.missing}")
    assert worst is not None
    print_result("metrics", "MONAI", worst[1], worst[2])


def settings() -> list[Setting]:
    """Make the three pairs."""
    large = organs(1.0, 0)
    corrected = large.copy()
    for structure in (5, 17, 30):
        mask = large == structure
        corrected[mask] = 0
        corrected[np.roll(mask, 2, axis=1)] = structure
    return [
        Setting("small organs", organs(0.35, 0), organs(0.33, 3)),
        Setting("large organs", large, organs(0.95, 3)),
        Setting("three structures corrected", large, corrected),
    ]


def organs(scale: float, seed: int) -> NDArray[np.uint8]:
    """Paint an ellipsoid in each cell of a grid; ``scale`` 1 fills the cells."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    cell = np.array(SHAPE) / GRID
    for structure, place in enumerate(np.ndindex(*GRID), start=1):
        centre = (np.array(place) + 0.5) * cell + random.uniform(-1, 1, 3)
        radius = cell / 2 * scale * random.uniform(0.8, 1, 3)
        low = np.maximum(centre - radius - 1, 0).astype(int)
        box = tuple(slice(start, int(end) + 2) for start, end in zip(low, centre + radius, strict=True))
        grid = np.moveaxis(np.indices(labels[box].shape), 0, -1) + low
        labels[box][(((grid - centre) / radius) ** 2).sum(-1) < 1] = structure
    return labels


def check(setting: Setting, ours: Scores, monai: Scores) -> None:
    """Stop if our numbers are not MONAI's."""
    for name, own, other in zip(("DSC", "HD95"), ours, monai, strict=True):
        difference = np.nanmax(np.abs(own - other))
        if not difference <= TOLERANCE:
            raise SystemExit(f"{setting.name}: {name} differs from MONAI's by {difference}")


def tools_for(setting: Setting, panoptica: Panoptica) -> dict[str, Callable[[], Scores]]:
    """The calls to measure; what is prepared here is not counted."""
    pair = setting.reference, setting.prediction
    one_hot = [
        torch.from_numpy(maps == np.arange(STRUCTURES + 1, dtype=np.uint8)[:, None, None, None])[None] for maps in pair
    ]
    tools: dict[str, Callable[[], Scores]] = {
        "ours": lambda: (dice(*pair, STRUCTURES), hausdorff95(*pair, SPACING_MM, STRUCTURES)),
        "ours, all measures": lambda: _all_measures(*pair),
        "MONAI": lambda: _monai(*one_hot),
        "surface-distance": lambda: _surface_distance(*pair),
        "SimpleITK": lambda: _simpleitk(*pair),
    }
    if not panoptica.missing:
        tools["panoptica"] = panoptica.prepare(*pair)
    return tools


def _all_measures(reference: LabelMap, prediction: LabelMap) -> Scores:
    found = compare(reference, prediction, SPACING_MM, [3.0] * STRUCTURES)
    return found.dsc, found.hd95_mm


def _monai(reference: torch.Tensor, prediction: torch.Tensor) -> Scores:
    distances = compute_hausdorff_distance(prediction, reference, percentile=95, spacing=SPACING_MM)
    return compute_dice(prediction, reference, include_background=False)[0].numpy(), distances[0].numpy()


def _surface_distance(reference: LabelMap, prediction: LabelMap) -> Scores:
    import surface_distance

    dsc, hd95 = np.empty(STRUCTURES), np.empty(STRUCTURES)
    for structure in range(1, STRUCTURES + 1):
        masks = reference == structure, prediction == structure
        distances = surface_distance.compute_surface_distances(*masks, SPACING_MM)
        hd95[structure - 1] = surface_distance.compute_robust_hausdorff(distances, 95)
        dsc[structure - 1] = surface_distance.compute_dice_coefficient(*masks)
    return dsc, hd95


def _simpleitk(reference: LabelMap, prediction: LabelMap) -> Scores:
    """DSC from SimpleITK's filter, HD95 from its contours and distance maps, as in its notebooks."""
    images = [sitk.GetImageFromArray(labels) for labels in (reference, prediction)]
    for image in images:
        image.SetSpacing(SPACING_MM[::-1])
    overlap, extent = sitk.LabelOverlapMeasuresImageFilter(), sitk.LabelShapeStatisticsImageFilter()
    overlap.Execute(*images)
    boxes = []
    for image in images:
        extent.Execute(image)
        boxes.append({label: np.array(extent.GetBoundingBox(label)) for label in extent.GetLabels()})
    dsc, hd95 = np.empty(STRUCTURES), np.empty(STRUCTURES)
    for structure in range(1, STRUCTURES + 1):
        dsc[structure - 1] = overlap.GetDiceCoefficient(structure)
        both = np.stack([box[structure] for box in boxes])
        low = np.maximum(both[:, :3].min(axis=0) - 1, 0)
        high = np.minimum((both[:, :3] + both[:, 3:]).max(axis=0) + 1, images[0].GetSize())
        part = [sitk.RegionOfInterest(image, (high - low).tolist(), low.tolist()) == structure for image in images]
        contours = [sitk.LabelContour(mask) for mask in part]
        maps = [
            sitk.GetArrayFromImage(
                sitk.Abs(sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True))
            )
            for contour in contours
        ]
        lines = [sitk.GetArrayFromImage(contour) != 0 for contour in contours]
        hd95[structure - 1] = max(np.percentile(maps[1][lines[0]], 95), np.percentile(maps[0][lines[1]], 95))
    return dsc, hd95


class Panoptica:
    """A child process with panoptica, in an environment that uv makes for it."""

    def __init__(self) -> None:
        self.missing = ""
        self._seconds = 0.0
        self._folder = tempfile.TemporaryDirectory()
        packages = [PANOPTICA, *(f"{name}=={version(name)}" for name in ("numpy", "scipy"))]
        command = ["uv", "run", "--no-project", "--isolated", "--quiet", "--python", sys.executable]
        command += [word for package in packages for word in ("--with", package)]
        self._child = subprocess.Popen(
            [*command, "python", str(Path(__file__).with_name("panoptica_child.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        if self._child.stdout.readline().strip() != "ready":
            self.missing = self._child.stderr.read().strip()[-300:] or "its environment could not be made"

    def __enter__(self) -> Panoptica:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()
        self._folder.cleanup()

    def prepare(self, reference: LabelMap, prediction: LabelMap) -> Callable[[], Scores]:
        """Give the child a pair; returns the call that measures it."""
        folder = Path(self._folder.name)
        np.save(folder / "reference.npy", reference)
        np.save(folder / "prediction.npy", prediction)
        self._ask({"folder": str(folder), "spacing_mm": SPACING_MM})
        return self._measure

    def seconds_of(self, tool: str) -> float | None:
        """CPU seconds of the newest call, of panoptica alone."""
        return self._seconds if tool == "panoptica" else None

    def _measure(self) -> Scores:
        answer = self._ask({})
        self._seconds = answer["seconds"]
        return np.array(answer["dsc"]), np.array(answer["hd95"])

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps(question), file=self._child.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer


if __name__ == "__main__":
    main()
