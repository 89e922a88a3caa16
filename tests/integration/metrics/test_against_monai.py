"""DSC and HD95 against MONAI's own functions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.metrics import dice, hausdorff95
from tests.unit.metrics.test_metrics import SPACING, moved


@pytest.mark.parametrize("seed", range(6))
def test_dice_and_hd95_equal_monai(seed: int) -> None:
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    def one_hot(labels: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy((labels[None] == np.arange(7)[:, None, None, None])[None].astype(np.float32))

    reference, prediction = moved(seed)
    pair = one_hot(prediction), one_hot(reference)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is all 0.*")
        distances = compute_hausdorff_distance(*pair, percentile=95, spacing=SPACING)[0].numpy()
        overlaps = compute_dice(*pair, include_background=False)[0].numpy()
    # MONAI has no single answer where a mask is empty: infinite one way, NaN the other.
    both = np.isin(np.arange(1, 7), np.intersect1d(reference, prediction))
    assert both.sum() >= 2
    np.testing.assert_allclose(hausdorff95(reference, prediction, SPACING, 6)[both], distances[both], atol=2e-5)
    np.testing.assert_allclose(dice(reference, prediction, 6)[both], overlaps[both], atol=1e-6)
