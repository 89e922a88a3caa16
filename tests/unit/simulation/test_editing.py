"""A simulated reader moves a pre-segmentation towards the truth, but not all the way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.metrics import dice
from mrseg_label.simulation.editing import Skill, correct

SPACING = (4.0, 2.0, 2.0)
SHAPE = (24, 60, 64)
STRUCTURES = 4
STEADY = Skill(jitter_mm=0.0, partly=0.0, missed=0.0)


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    """Two large balls, a thin tube and a small ball."""
    z, y, x = (axis * step for axis, step in zip(np.indices(SHAPE), SPACING, strict=True))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[(z - 48) ** 2 + (y - 60) ** 2 + (x - 40) ** 2 < 26**2] = 1
    labels[(z - 48) ** 2 + (y - 60) ** 2 + (x - 94) ** 2 < 24**2] = 2
    labels[(y - 20) ** 2 + (x - 64) ** 2 < 3**2] = 3
    labels[(z - 30) ** 2 + (y - 100) ** 2 + (x - 64) ** 2 < 7**2] = 4
    return labels


def mean_dsc(truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    return float(np.nanmean(dice(truth, labels, STRUCTURES)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_poor_presegmentation_becomes_good_but_not_perfect(truth: NDArray[np.uint8], seed: int) -> None:
    presegmentation = np.roll(truth, 9, axis=2)
    skill = Skill(partly=0.0, missed=0.0)
    corrected = correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(seed), skill).labels
    assert mean_dsc(truth, presegmentation) < 0.6
    assert 0.85 < mean_dsc(truth, corrected) < 0.999
    assert not np.array_equal(corrected, truth)


def test_only_wrong_voxels_are_changed(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.roll(truth, 3, axis=1)
    corrected = correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(0)).labels
    right = presegmentation == truth
    assert np.array_equal(corrected[right], presegmentation[right])


def test_a_presegmentation_that_is_right_to_within_a_voxel_is_not_changed(truth: NDArray[np.uint8]) -> None:
    presegmentation = truth.copy()
    presegmentation[:, :, 1:][truth[:, :, :-1] == 1] = 1  # one structure, one voxel too far to one side
    presegmentation[truth == 2] = 2
    corrected = correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(0), STEADY).labels
    assert np.count_nonzero(presegmentation != truth) > 100
    assert np.count_nonzero(corrected != presegmentation) < 0.1 * np.count_nonzero(presegmentation != truth)


def test_a_missing_thin_structure_is_drawn(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.where(truth == 3, 0, truth).astype(np.uint8)
    corrected = correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(0), STEADY).labels
    assert np.array_equal(corrected, truth)


def test_swapped_structures_are_swapped_back(truth: NDArray[np.uint8]) -> None:
    presegmentation = truth.copy()
    presegmentation[truth == 1], presegmentation[truth == 2] = 2, 1
    for seed in range(6):  # whichever of them comes first
        corrected = correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(seed), STEADY).labels
        assert np.array_equal(corrected, truth)


def test_an_absent_structure_is_erased(truth: NDArray[np.uint8]) -> None:
    absent = np.where(truth == 4, 0, truth).astype(np.uint8)
    corrected = correct(truth, absent, SPACING, STRUCTURES, np.random.default_rng(0), STEADY).labels
    assert not np.any(corrected == 4)


def test_missed_structures_stay_as_presegmented(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.roll(truth, 9, axis=2)
    result = correct(
        presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(0), Skill(missed=1.0, small_ml=1e6)
    )
    assert result.missed == (1, 2, 3, 4)
    assert np.array_equal(result.labels, presegmentation)


def test_only_small_structures_are_missed(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.roll(truth, 9, axis=2)
    result = correct(
        presegmentation,
        truth,
        SPACING,
        STRUCTURES,
        np.random.default_rng(0),
        Skill(partly=0.0, missed=1.0, small_ml=10.0),
    )
    assert result.missed == (3, 4)
    assert np.array_equal(result.labels == 4, presegmentation == 4)
    assert mean_dsc(np.where(truth < 3, truth, 0), np.where(result.labels < 3, result.labels, 0)) > 0.85


def test_partly_corrected_structures_are_right_in_some_slices_only(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.where(truth == 1, 0, truth).astype(np.uint8)
    result = correct(
        presegmentation,
        truth,
        SPACING,
        STRUCTURES,
        np.random.default_rng(5),
        Skill(jitter_mm=0, partly=1.0, missed=0.0),
    )
    done = [bool(np.any(result.labels[k] == 1)) for k in range(SHAPE[0]) if np.any(truth[k] == 1)]
    assert result.partly == (1,)
    assert any(done)
    assert not all(done)


def test_the_same_seed_gives_the_same_correction(truth: NDArray[np.uint8]) -> None:
    presegmentation = np.roll(truth, 5, axis=1)
    first, second, other = (
        correct(presegmentation, truth, SPACING, STRUCTURES, np.random.default_rng(seed)).labels for seed in (7, 7, 8)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_correction_has_no_specks_or_pinholes(truth: NDArray[np.uint8], seed: int) -> None:
    """Of a draft with large errors, torn boundaries and specks, corrected by an unsteady hand."""
    rng = np.random.default_rng(seed)
    presegmentation = np.roll(truth, (1, 4, 3), axis=(0, 1, 2))
    torn = rng.random(truth.shape)
    presegmentation[torn < 0.02] = 0
    presegmentation[torn > 0.995] = 2
    corrected = correct(presegmentation, truth, SPACING, STRUCTURES, rng, Skill(partly=0.0, missed=0.0)).labels
    for label in (0, 1, 2):
        alone = specks(corrected == label)
        assert alone <= 0.05 * specks(presegmentation == label) + 3, label
    assert mean_dsc(truth, corrected) > 0.85


def specks(mask: NDArray[np.bool_]) -> int:
    """Number of connected parts with fewer than 5 voxels."""
    parts, _ = ndimage.label(mask)
    return int((np.bincount(parts.ravel())[1:] < 5).sum())


def test_a_perfect_presegmentation_is_not_changed(truth: NDArray[np.uint8]) -> None:
    assert np.array_equal(correct(truth, truth, SPACING, STRUCTURES, np.random.default_rng(0)).labels, truth)
