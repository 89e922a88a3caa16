"""DSC, HD95 and NSD against MONAI's own functions, on thousands of small masks of every awkward kind."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrseg_label.metrics import compare
from tests.unit.metrics.test_metrics import SPACING, moved

SIDE = 11  # of the blocks, with room for any mask
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def by_monai(
    pair: Pair, spacing: tuple[float, ...], tolerances: list[float]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """DSC, HD95 and NSD of each structure."""
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    def one_hot(labels: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(labels[None] == np.arange(len(tolerances) + 1)[:, None, None, None])[None]

    reference, prediction = map(one_hot, pair)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is all 0.*")
        dsc = compute_dice(prediction, reference, include_background=False)[0].numpy()
        hd95 = compute_hausdorff_distance(prediction, reference, percentile=95, spacing=spacing)[0].numpy()
        nsd = compute_surface_dice(prediction, reference, tolerances, spacing=spacing)[0].numpy()
    return dsc, hd95, nsd


def check(pair: Pair, spacing: tuple[float, ...], tolerances: list[float]) -> int:
    """Compare every structure of a pair with what MONAI says; returns how many are in both masks."""
    found = compare(*pair, spacing, tolerances)
    dsc, hd95, nsd = by_monai(pair, spacing, tolerances)
    in_both = (found.reference_voxels > 0) & (found.prediction_voxels > 0)
    in_one = (found.reference_voxels > 0) ^ (found.prediction_voxels > 0)
    np.testing.assert_allclose(found.hd95_mm[in_both], hd95[in_both], atol=1e-4)
    np.testing.assert_allclose(found.dsc[in_both], dsc[in_both], atol=1e-4)
    np.testing.assert_allclose(found.nsd, nsd, atol=1e-4)  # NaN where MONAI has NaN, 0 where it has 0
    # Of a structure that only one mask has MONAI says infinite in one direction, NaN in the other, and DSC 0 or NaN.
    assert not np.isfinite(hd95[~in_both]).any()
    assert np.isinf(found.hd95_mm[in_one]).all() and (found.dsc[in_one] == 0).all()
    neither = ~in_both & ~in_one
    assert np.isnan(found.hd95_mm[neither]).all() and np.isnan(found.dsc[neither]).all()
    return int(in_both.sum())


@pytest.mark.parametrize("seed", range(3))
def test_larger_structures(seed: int) -> None:
    assert check(moved(seed), SPACING, [0.0, 1.5, 2.0, 3.0, 4.0, 6.0]) >= 2


def draw_pair(random: np.random.Generator, structures: int) -> Pair:
    """Two small maps of boxes, balls and dust, at the edge, touching, equal, disjoint or missing."""
    shape = tuple(random.integers(1, SIDE, 3))
    reference, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    grid = np.moveaxis(np.indices(shape), 0, -1)
    for structure in range(1, structures + 1):
        kind = random.integers(5)
        for labels in (reference, prediction):
            if random.random() < 0.15:
                continue  # missing in this one
            if kind == 0 or random.random() < 0.1:
                labels[random.random(shape) < random.uniform(0.005, 0.4)] = structure
            else:
                centre, radius = random.uniform(-1, np.array(shape)), random.uniform(0.3, 5, 3)
                distance = np.abs((grid - centre) / radius)
                labels[(distance.max(-1) < 1) if kind == 1 else ((distance**2).sum(-1) < 1)] = structure
        if kind == 4:  # equal but for a shift
            shifted = np.roll(reference == structure, random.integers(-2, 3), axis=random.integers(3))
            prediction[prediction == structure] = 0
            prediction[shifted] = structure
    return reference, prediction


def check_drawn(seed: int, structures: int = 8) -> int:
    random = np.random.default_rng(seed)
    spacing = tuple(
        np.round(random.choice([0.5, 0.7, 1.0, 1.5, 2.4, 3.0, 6.0], 3) * random.choice([1, 1.25]), 6).tolist()
    )
    # Tolerances that are exactly a distance that occurs, and others.
    tolerances = [
        float(spacing[random.integers(3)] * random.integers(0, 4)) if random.random() < 0.7 else random.uniform(0, 20)
        for _ in range(structures)
    ]
    return check(draw_pair(random, structures), spacing, tolerances)


def test_hundreds_of_small_masks() -> None:
    in_both = sum(check_drawn(seed) for seed in range(50))
    assert in_both > 200  # of 400 pairs of masks


@pytest.mark.soak
def test_thousands_of_small_masks() -> None:
    assert sum(check_drawn(seed) for seed in range(1000, 1500)) > 1500  # of 4,000 pairs


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    data=st.data(),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 1.1, 3.0])] * 3),
    tolerance=st.sampled_from([0.0, 0.5, 1.0, 1.1, 2.2, 3.0, 3.3]),
)
def test_any_small_masks(
    data: st.DataObject, shape: tuple[int, ...], spacing: tuple[float, ...], tolerance: float
) -> None:
    size = int(np.prod(shape))
    pair = [
        np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)), np.uint8).reshape(shape)
        for _ in range(2)
    ]
    check((pair[0], pair[1]), spacing, [tolerance] * 2)
