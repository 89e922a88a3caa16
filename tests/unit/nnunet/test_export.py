"""Label maps from logits are those of nnU-Net's own function, which is called beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.nn.functional import interpolate

from mrseg_label.nnunet import arg_max as arg_max_module
from mrseg_label.nnunet.arg_max import arg_max
from mrseg_label.nnunet.export import Exported, export_logits
from mrseg_label.nnunet.sampling import sample_axes

CPU = torch.device("cpu")
DEFAULT = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def make_plans(spacing: tuple[float, ...], transpose: tuple[int, ...] = (0, 1, 2), **resampling: Any) -> PlansManager:
    """Return plans with what an export reads, as nnU-Net writes them."""
    name = resampling.pop("name", "resample_data_or_seg_to_shape")
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "architecture": {},
        "spacing": list(spacing),
        "resampling_fn_probabilities": name,
        "resampling_fn_probabilities_kwargs": DEFAULT | resampling if name == "resample_data_or_seg_to_shape" else {},
    }
    return PlansManager(
        {
            "configurations": {"3d_fullres": configuration},
            "transpose_forward": list(transpose),
            "transpose_backward": [int(axis) for axis in np.argsort(transpose)],
            "label_manager": "LabelManager",
        }
    )


def make_logits(
    seed: int, classes: int, shape: tuple[int, ...], kind: str = "smooth", dtype: torch.dtype = torch.float16
) -> torch.Tensor:
    """Return logits (C, X, Y, Z): organs with wide borders, ``noise``, or ``ties`` of a few values."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "noise":
        return (3 * torch.randn((classes, *shape), generator=generator)).to(dtype)
    if kind == "ties":
        return torch.randint(0, 3, (classes, *shape), generator=generator).to(dtype)
    coarse = torch.randn((1, classes, *(2 + count // 6 for count in shape)), generator=generator)
    return (8 * interpolate(coarse, size=shape, mode="trilinear")[0]).to(dtype)


def both(
    logits: torch.Tensor,
    plans: PlansManager,
    spacing: tuple[float, float, float],
    shape: tuple[int, ...],
    margins: tuple[tuple[int, int], ...] = ((0, 0),) * 3,
    labels: dict[str, Any] | None = None,
) -> tuple[Exported, np.ndarray[Any, Any]]:
    """Export by ours and by nnU-Net's; ``shape`` is that after cropping, ``spacing`` the image's, ``margins`` the crop."""
    labels = labels or {"background": 0} | {str(number): number for number in range(1, len(logits))}
    manager = plans.get_label_manager({"labels": labels, "regions_class_order": [1, 2]})
    properties = {
        "spacing": list(spacing),
        "shape_after_cropping_and_before_resampling": shape,
        "shape_before_cropping": tuple(
            below + count + above for (below, above), count in zip(margins, shape, strict=True)
        ),
        "bbox_used_for_cropping": [[below, below + count] for (below, _), count in zip(margins, shape, strict=True)],
    }
    configuration = plans.get_configuration("3d_fullres")
    stock = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits.clone(), plans, configuration, manager, properties
    )
    return export_logits(logits, properties, plans, configuration, manager, CPU, threads=2), np.asarray(stock)


sizes = st.tuples(*[st.integers(1, 13)] * 3)
spacings = st.tuples(*[st.sampled_from((0.8, 1.5, 3.0, 3.1, 9.5))] * 3)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    classes=st.sampled_from((2, 3, 7, 41)),
    shape=sizes,
    new_shape=sizes,
    spacing=spacings,
    network_spacing=spacings,
    transpose=st.permutations((0, 1, 2)),
    margins=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3),
    kind=st.sampled_from(("smooth", "noise")),
    dtype=st.sampled_from((torch.float16, torch.float32)),
)
@example(
    1, 7, (4, 9, 9), (9, 12, 12), (1.5, 1.5, 9.5), (9.5, 1.5, 1.5), [2, 0, 1], ((1, 2),) * 3, "smooth", torch.float16
)
@example(
    1, 7, (9, 4, 9), (12, 9, 12), (1.5, 1.5, 1.5), (1.5, 9.5, 1.5), [0, 1, 2], ((0, 0),) * 3, "smooth", torch.float16
)
@example(
    1, 7, (9, 9, 4), (5, 6, 9), (3.0, 3.0, 1.5), (1.5, 1.5, 9.5), [1, 0, 2], ((0, 0),) * 3, "smooth", torch.float32
)
@example(
    3, 41, (1, 1, 1), (5, 1, 7), (3.0, 3.0, 3.0), (3.0, 3.0, 3.0), [0, 1, 2], ((0, 0),) * 3, "noise", torch.float16
)
def test_label_maps_are_those_of_nnunet(
    seed: int, classes: int, shape: tuple[int, ...], new_shape: tuple[int, ...],
    spacing: tuple[float, float, float], network_spacing: tuple[float, float, float], transpose: list[int],
    margins: tuple[tuple[int, int], ...], kind: str, dtype: torch.dtype,
) -> None:  # fmt: skip
    """Up and down, anisotropic, slices by their nearest, transposed, cropped; of several hundred voxels all but a few ties."""
    logits = make_logits(seed, classes, shape, kind, dtype)
    exported, stock = both(logits, make_plans(network_spacing, tuple(transpose)), spacing, new_shape, margins)
    assert exported.label_map.shape == stock.shape and exported.label_map.dtype == stock.dtype
    # Where two classes are equal but for the rounding of single precision, either may come first.
    assert np.count_nonzero(exported.label_map != stock) <= 1 + 0.001 * stock.size


@pytest.mark.parametrize("new_shape", [(24, 18, 12), (12, 9, 6), (7, 18, 6)])
def test_of_equal_logits_the_first_class_wins(new_shape: tuple[int, ...]) -> None:
    """At whole and half positions single precision is exact, so ties are ties there too."""
    exported, stock = both(make_logits(5, 6, (12, 9, 6), "ties"), make_plans((3, 3, 3)), (1.5, 1.5, 1.5), new_shape)
    exact = 1.0 if new_shape != (7, 18, 6) else 0.999
    assert np.mean(exported.label_map == stock) >= exact


@pytest.mark.parametrize("new_shape", [(50, 40, 33), (13, 41, 9)])
@pytest.mark.parametrize("kind", ["smooth", "noise", "ties"])
def test_cells_blocks_and_threads_change_nothing(
    kind: str, new_shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is interpolated only where classes differ is what is interpolated everywhere."""
    logits = make_logits(9, 41, (20, 24, 22), kind)
    found = []
    for block, threads in (((100, 100, 100), 1), ((4, 3, 7), 3)):
        monkeypatch.setattr(arg_max_module, "_CELLS_ON_CPU", block)
        found.append(np.zeros(new_shape, np.uint8))
        arg_max(logits, sample_axes(logits.shape[1:], new_shape, None), found[-1], CPU, threads)
    monkeypatch.setattr(arg_max_module, "fill_cells", lambda *_arguments: False)
    everywhere = np.zeros(new_shape, np.uint8)
    arg_max(logits, sample_axes(logits.shape[1:], new_shape, None), everywhere, CPU)
    # The order of additions differs, so two classes that differ only in the last digit may change places.
    for one in found:
        assert np.count_nonzero(one != everywhere) <= 0.0005 * everywhere.size
    assert len(np.unique(everywhere)) > 5


@pytest.mark.parametrize(
    ("case", "labels", "resampling"),
    [
        ("regions", {"background": 0, "whole": [1, 2], "part": 2}, {}),
        ("cubic", None, {"order": 3}),
        ("slices interpolated too", None, {"order_z": 1}),
        ("another function", None, {"name": "no_resampling_hack"}),
    ],
)
def test_what_is_no_default_is_left_to_nnunet(
    case: str, labels: dict[str, Any] | None, resampling: dict[str, Any]
) -> None:
    logits = make_logits(3, 2 if case == "regions" else 5, (6, 10, 10))
    shape = (6, 10, 10) if case == "another function" else (9, 16, 13)
    exported, stock = both(logits, make_plans((9.0, 2.0, 2.0), **resampling), (5.0, 1.2, 1.6), shape, labels=labels)
    np.testing.assert_array_equal(exported.label_map, stock)
    assert exported.label_map.any()


def test_logits_that_are_not_finite_are_left_to_nnunet() -> None:
    logits = make_logits(3, 5, (6, 8, 8))
    logits[2, 3, 4, 4] = torch.nan
    exported, stock = both(logits, make_plans((3.0, 3.0, 3.0)), (2.0, 2.0, 2.0), (9, 12, 12))
    np.testing.assert_array_equal(exported.label_map, stock)
    assert (exported.label_map == 2).any()


def test_a_network_for_single_slices_keeps_the_distance_between_them() -> None:
    logits = make_logits(4, 4, (5, 12, 12))
    exported, stock = both(logits, make_plans((2.0, 2.0)), (6.0, 1.3, 1.1), (5, 19, 21))
    np.testing.assert_array_equal(exported.label_map, stock)


def test_uncertainty_is_one_minus_the_mean_margin_of_each_class() -> None:
    logits = make_logits(2, 6, (9, 10, 11), dtype=torch.float32)
    plans = make_plans((3.0, 3.0, 3.0))
    manager = plans.get_label_manager({"labels": {"background": 0} | {str(n): n for n in range(1, 6)}})
    properties = {
        "spacing": [1.5] * 3,
        "shape_after_cropping_and_before_resampling": (18, 20, 22),
        "shape_before_cropping": (18, 20, 22),
        "bbox_used_for_cropping": [[0, 18], [0, 20], [0, 22]],
    }
    configuration = plans.get_configuration("3d_fullres")
    exported = export_logits(logits, properties, plans, configuration, manager, CPU, uncertainty=True)
    ordered = logits.softmax(0).sort(0, descending=True).values
    margin, found = (ordered[0] - ordered[1]).numpy(), logits.argmax(0).numpy()
    expected = {int(number): float(1 - margin[found == number].mean()) for number in np.unique(found)}
    assert exported.uncertainty == pytest.approx(expected, abs=1e-5)


MEMORY = """
import json, sys
from pathlib import Path
import numpy as np, torch
from mrseg_label.nnunet.export import export_logits
from mrseg_label.nnunet.preparing import prepare
from tests.unit.nnunet.test_export import make_ct
plans, manager, image, spacing = make_ct()
configuration = plans.get_configuration("3d_fullres")
prepared, noted = prepare(image, {"spacing": spacing}, plans, configuration, {})
del image
generator = torch.Generator().manual_seed(1)
logits = torch.empty((41, *prepared.shape[1:]), dtype=torch.half)
for channel in logits:
    coarse = torch.randn((1, 1, *(count // 8 for count in channel.shape)), generator=generator)
    channel.copy_(torch.nn.functional.interpolate(8 * coarse, size=channel.shape, mode="trilinear")[0, 0])
found = export_logits(logits, noted, plans, configuration, manager, torch.device("cpu"), threads=2, uncertainty=True)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([list(found.label_map.shape), len(np.unique(found.label_map)), int(status["VmHWM"].split()[0])]))
"""


def make_ct() -> tuple[PlansManager, Any, np.ndarray[Any, Any], list[float]]:
    """Return plans for a grid of 3 mm, labels of 41 classes, and a CT (1, Z, Y, X) of 531 slices with its spacing."""
    plans = make_plans((3.0, 3.0, 3.0))
    configuration = plans.plans["configurations"]["3d_fullres"]
    configuration |= {
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": DEFAULT | {"order": 3},
    }
    plans.plans["foreground_intensity_properties_per_channel"] = {
        "0": {"mean": 40.0, "std": 100.0, "percentile_00_5": -900.0, "percentile_99_5": 900.0}
    }
    manager = plans.get_label_manager({"labels": {"background": 0} | {str(n): n for n in range(1, 41)}})
    random = np.random.default_rng(1)
    image = np.empty((1, 531, 512, 512), np.float32)
    for plane in image[0]:
        plane[...] = random.integers(-1024, 1500, plane.shape, dtype=np.int16)
    return plans, manager, image, [1.0, 0.8, 0.8]


@pytest.mark.soak
def test_a_large_ct_takes_less_than_3_gb() -> None:
    """The whole process, from the image to the label map, with 41 classes on a grid of 3 mm."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shape, classes, peak_kb = json.loads(done.stdout.splitlines()[-1])
    assert shape == [531, 512, 512]
    assert classes > 20
    assert peak_kb < 3_000_000
