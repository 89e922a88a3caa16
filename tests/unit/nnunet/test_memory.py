"""Exhausted memory is recognised by what the libraries really say, and plans that need less of it are of the same network."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.nnunet.memory import describe_sparing, is_out_of_memory, spare_plans

TOO_MUCH = 1 << 55


def allocate_with_torch() -> object:
    import torch

    return torch.empty(TOO_MUCH, dtype=torch.uint8)


@pytest.mark.parametrize(
    "allocate", [lambda: bytearray(TOO_MUCH), lambda: np.zeros(TOO_MUCH, np.uint8), allocate_with_torch]
)
def test_exhausted_memory_is_recognised(allocate: Any) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)
    with pytest.raises(InvalidInput) as wrapped:
        raise InvalidInput("the case cannot be preprocessed") from caught.value
    assert is_out_of_memory(wrapped.value)


@pytest.mark.parametrize(
    "message", ["the file is damaged", "One or more background workers are no longer alive. Exiting."]
)
def test_other_errors_are_not(message: str) -> None:
    """A process of a pool that was killed counts only where Linux has killed one because of memory."""
    assert not is_out_of_memory(RuntimeError(message))


def plans(batch: int, patch: list[int]) -> dict[str, Any]:
    strides = [[1, 1, 1], [2, 2, 2], [1, 2, 2]]
    network = {"arch_kwargs": {"strides": strides}}
    return {"configurations": {"3d_fullres": {"batch_size": batch, "patch_size": patch, "architecture": network}}}


@pytest.mark.parametrize(
    ("batch", "patch", "spared", "says"),
    [
        (2, [32, 64, 64], (1, [32, 64, 64]), "batch size 1 instead of 2"),
        (5, [32, 64, 64], (2, [32, 64, 64]), "batch size 2 instead of 5"),
        (1, [32, 48, 44], (1, [32, 24, 44]), "patch size 32 x 24 x 44 instead of 32 x 48 x 44"),
        (1, [32, 44, 44], (1, [32, 20, 44]), "patch size 32 x 20 x 44 instead of 32 x 44 x 44"),
        (1, [2, 4, 4], (1, [2, 4, 4]), "fewer processes"),
    ],
)
def test_plans_that_need_less_memory(batch: int, patch: list[int], spared: tuple[int, list[int]], says: str) -> None:
    given = plans(batch, patch)
    before = copy.deepcopy(given)
    found = spare_plans(given)
    configuration = found["configurations"]["3d_fullres"]
    assert (configuration["batch_size"], configuration["patch_size"]) == spared
    assert describe_sparing(given, found) == says
    assert given == before
