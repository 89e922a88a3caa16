"""From logits to a label map, compared with nnU-Net's own function on the CPU: time, memory and voxels.

uv run python -m benchmarks.export [--quick]

Logits of 41 classes on a network's grid are brought to the image's grid by both, alternately. They are drawn like an
anatomy: 40 structures in a body, with logits that change over about three voxels at a border; and once as noise, where
every class wins somewhere. Memory is what a process of its own adds to that with the logits loaded, at its peak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import measure_alternately, parse_quick, print_result

CLASSES = 41
STOCK = "nnU-Net's export"
DEFAULT = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


@dataclass(frozen=True)
class Setting:
    """Logits of a shape and spacing, brought to those of an image."""

    name: str
    shape: tuple[int, int, int]
    new_shape: tuple[int, int, int]
    spacing: tuple[float, float, float] = (3.0, 3.0, 3.0)
    new_spacing: tuple[float, float, float] = (1.8, 1.8, 1.8)
    noise: bool = False


UP = Setting("finer", (120, 144, 144), (200, 240, 240))
OTHERS = (
    Setting("finer, noise", (60, 72, 72), (100, 120, 120), noise=True),
    Setting("coarser", (100, 120, 120), (60, 72, 72), (1.8, 1.8, 1.8), (3.0, 3.0, 3.0)),
    Setting("slices apart", (40, 100, 100), (24, 160, 160), (3.0, 1.5, 1.5), (5.0, 0.94, 0.94)),
)


def make_logits(setting: Setting) -> NDArray[np.float16]:
    """Draw logits (C, X, Y, Z): 40 structures in a body that fills half of the volume, or noise."""
    import torch
    from torch.nn.functional import avg_pool3d

    generator = torch.Generator().manual_seed(1)
    result = np.empty((CLASSES, *setting.shape), np.float16)
    if not setting.noise:
        grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in setting.shape), indexing="ij"))
        nearest, labels = torch.full(setting.shape, torch.inf), torch.zeros(setting.shape, dtype=torch.uint8)
        for number in range(1, CLASSES):
            centre = torch.rand((3, 1, 1, 1), generator=generator) * 1.4 - 0.7
            distance = ((grid - centre) ** 2).sum(0)
            labels[distance < nearest] = number
            nearest = torch.minimum(nearest, distance)
        labels[(grid**2).sum(0) > 0.9] = 0
    for number in range(CLASSES):
        values = 3 * torch.randn(setting.shape, generator=generator)
        if not setting.noise:
            inside = avg_pool3d((labels == number).float()[None], 3, 1, 1)[0]
            values = 18 * inside - 6 + values / 6
        result[number] = values.half().numpy()
    return result


def arguments_of(setting: Setting) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Return plans, configuration, label manager and properties, as nnU-Net's function takes them."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    name = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "architecture": {},
        "spacing": list(setting.spacing),
        "resampling_fn_probabilities": name,
        "resampling_fn_probabilities_kwargs": DEFAULT,
    }
    plans = PlansManager(
        {
            "configurations": {"3d_fullres": configuration},
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "label_manager": "LabelManager",
        }
    )
    labels = {"background": 0} | {str(number): number for number in range(1, CLASSES)}
    properties = {
        "spacing": list(setting.new_spacing),
        "shape_after_cropping_and_before_resampling": setting.new_shape,
        "shape_before_cropping": setting.new_shape,
        "bbox_used_for_cropping": [[0, count] for count in setting.new_shape],
    }
    return plans, plans.get_configuration("3d_fullres"), plans.get_label_manager({"labels": labels}), properties


def export(by: str, logits: NDArray[np.float16], setting: Setting) -> NDArray[Any]:
    """Convert logits to a label map by ``ours`` or ``stock``, on one thread of the CPU."""
    import torch

    plans, configuration, labels, properties = arguments_of(setting)
    if by == "ours":
        from mrseg_label.nnunet.export import export_logits

        found = export_logits(
            torch.from_numpy(logits), properties, plans, configuration, labels, torch.device("cpu"), threads=1
        )
        return found.label_map
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

    stock = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, labels, properties, num_threads_torch=1
    )
    return np.asarray(stock)


def added_memory(by: str, file: Path, setting: Setting) -> float:
    """Return the MB that an export adds, at its peak, to a process that has loaded the logits."""
    code = f"from benchmarks import export; export.report_memory({by!r}, {str(file)!r}, export.{setting!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the memory could not be measured: {done.stderr[-500:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def report_memory(by: str, file: str, setting: Setting) -> None:
    """Print the MB that an export adds to this process at its peak."""
    small = Setting("first", (4, 4, 4), (6, 6, 6))
    export(by, np.zeros((CLASSES, *small.shape), np.float16), small)  # imports libraries
    logits = np.load(file)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew; ru_maxrss would be that of the parent
    before = _memory("VmRSS")
    export(by, logits, setting)
    print(json.dumps(_memory("VmHWM") - before))


def _memory(name: str) -> float:
    """Return a figure of /proc/self/status in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) / 1024


def compare(setting: Setting, repeats: int) -> tuple[float, float, NDArray[np.float16]]:
    """Measure both on one setting and print their times and the share of equal voxels."""
    logits = make_logits(setting)
    found: dict[str, NDArray[Any]] = {}

    def run(by: str) -> None:
        found[by] = export(by, logits, setting)

    ours, stock = measure_alternately(lambda: run("ours"), lambda: run("stock"), repeats)
    equal = float(np.mean(found["ours"] == found["stock"]))
    print(
        f"{setting.name}: {stock / ours:.1f}x (ours {ours:.2f} s, stock {stock:.2f} s), equal voxels {100 * equal:.4f} %"
    )
    if equal < 0.999:
        raise SystemExit(f"{setting.name}: the label maps differ")
    return ours, stock, logits


def main() -> None:
    """Measure other settings once, then the time and memory of one setting."""
    quick = parse_quick(__doc__)
    small = Setting("first", (4, 4, 4), (6, 6, 6))
    for by in ("ours", "stock"):
        export(by, np.zeros((CLASSES, *small.shape), np.float16), small)  # imports libraries
    for setting in OTHERS:
        compare(setting, 1)
    ours, stock, logits = compare(UP, 1 if quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "logits.npy"
        np.save(file, logits)
        memory = {by: added_memory(by, file, UP) for by in ("ours", "stock")}
    share = memory["ours"] / memory["stock"]
    print(f"added memory: ours {memory['ours']:.0f} MB, stock {memory['stock']:.0f} MB ({100 * share:.1f} %)")
    print_result("export", STOCK, ours, stock)


if __name__ == "__main__":
    main()
