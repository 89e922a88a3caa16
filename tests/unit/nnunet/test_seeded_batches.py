"""Batches that processes make depend on seed and number alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter

from mrseg_label.nnunet.seeded_batches import SeededBatches


class Loader:
    """Draws from the generators that nnU-Net's loader and transforms draw from."""

    def __next__(self) -> dict[str, Any]:
        return {"drawn": (random.random(), np.random.random(), float(torch.rand(1)))}


def batches(processes: int, count: int, first: int = 0, seed: int = 5) -> list[tuple[float, ...]]:
    pooled = MultiThreadedAugmenter(SeededBatches(Loader(), (seed, 0, 0), first, processes), None, processes)
    try:
        return [next(pooled)["drawn"] for _ in range(count)]
    finally:
        pooled._finish()


@pytest.fixture(scope="module")
def expected() -> list[tuple[float, ...]]:
    return batches(1, 8)


def test_each_batch_is_another_one(expected: list[tuple[float, ...]]) -> None:
    assert len({value for drawn in expected for value in drawn}) == 24


def test_neither_the_number_of_processes_nor_the_start_changes_a_batch(expected: list[tuple[float, ...]]) -> None:
    assert batches(3, 8) == expected
    assert batches(2, 5, first=3) == expected[3:]


def test_another_seed_draws_others(expected: list[tuple[float, ...]]) -> None:
    assert not set(batches(2, 8, seed=6)) & set(expected)
