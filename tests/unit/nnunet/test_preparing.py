"""Images are prepared for the network as nnU-Net's own preprocessor prepares them, which is called beside ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from mrseg_label.nnunet.preparing import prepare

DEFAULT = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}


def make_plans(
    spacing: tuple[float, ...], transpose: list[int], scheme: str, *, masked: bool, order: int = 3
) -> PlansManager:
    """Return plans with what the preprocessor reads, as nnU-Net writes them."""
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "architecture": {},
        "spacing": list(spacing),
        "normalization_schemes": [scheme],
        "use_mask_for_norm": [masked],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": DEFAULT | {"order": order},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": DEFAULT | {"is_seg": True, "order": 1},
    }
    return PlansManager(
        {
            "configurations": {"3d_fullres": configuration},
            "transpose_forward": transpose,
            "transpose_backward": [int(axis) for axis in np.argsort(transpose)],
            "foreground_intensity_properties_per_channel": {
                "0": {"mean": 90.0, "std": 40.0, "percentile_00_5": 5.0, "percentile_99_5": 180.0}
            },
        }
    )


def compare(plans: PlansManager, image: Any, spacing: tuple[float, ...]) -> None:
    """Prepare an image by ours and by nnU-Net's, and compare voxels and notes."""
    configuration = plans.get_configuration("3d_fullres")
    expected, _, noted = DefaultPreprocessor(verbose=False).run_case_npy(
        image.copy(), None, {"spacing": list(spacing)}, plans, configuration, {}
    )
    found, ours = prepare(image.copy(), {"spacing": list(spacing)}, plans, configuration, {})
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
    assert ours.keys() == noted.keys()
    for name, value in noted.items():
        np.testing.assert_array_equal(ours[name], value)


spacings = st.tuples(*[st.sampled_from((1.0, 1.4, 2.2, 8.0))] * 3)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(*[st.integers(2, 14)] * 3),
    spacing=spacings,
    target=spacings,
    transpose=st.permutations((0, 1, 2)),
    margin=st.integers(0, 2),
    scheme=st.sampled_from(("ZScoreNormalization", "CTNormalization")),
    masked=st.booleans(),
    order=st.sampled_from((1, 3)),
)
@example(1, (4, 12, 13), (8.0, 1.4, 1.4), (1.0, 1.0, 1.0), [0, 1, 2], 1, "ZScoreNormalization", True, 3)
@example(1, (12, 4, 13), (1.0, 8.0, 1.0), (1.4, 2.2, 1.4), [1, 2, 0], 0, "ZScoreNormalization", False, 3)
@example(1, (9, 9, 14), (1.0, 1.0, 1.0), (1.4, 1.4, 8.0), [0, 1, 2], 2, "CTNormalization", False, 3)
def test_voxels_are_those_of_nnunet(
    seed: int, shape: tuple[int, ...], spacing: tuple[float, ...], target: tuple[float, ...], transpose: list[int],
    margin: int, scheme: str, masked: bool, order: int,
) -> None:  # fmt: skip
    """Finer and coarser, anisotropic, slices by their nearest, transposed, with zeros around and holes of zeros."""
    random = np.random.default_rng(seed)
    image = random.gamma(2, 50, shape).astype(np.float32)
    image[random.random(shape) < 0.1] = 0
    image[0, 0, 0] = image[-1, -1, -1] = 7
    image = np.pad(image, margin)[None]
    order_of = [transpose.index(axis) for axis in range(3)]
    moved = tuple(target[axis] for axis in order_of)
    counts = [round(n * a / b) for n, a, b in zip(shape, spacing, moved, strict=True)]
    assume(min(counts) > 0)  # otherwise nothing is left of the image; predictions refuse that before
    compare(make_plans(target, transpose, scheme, masked=masked, order=order), image, spacing)


@pytest.mark.parametrize("count", [40, 97])
def test_longer_axes_are_multiplied_in_parts(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrseg_label.nnunet.preparing._BYTES", 4000)
    image = np.random.default_rng(3).normal(0, 100, (1, count, 30, 41)).astype(np.float32)
    plans = make_plans((2.0, 1.0, 0.7), [0, 1, 2], "ZScoreNormalization", masked=False)
    compare(plans, image, (1.1, 0.6, 1.0))
