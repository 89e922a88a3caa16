"""Trainings and predictions that exhaust the memory: how that is recognised, and what needs less of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mrseg_label.nnunet.environment import CONFIGURATION
from mrseg_label.nnunet.left_out import OUT_OF_MEMORY

# In nnU-Net's and Python's messages about a process of a pool that was killed.
_POOL_PROCESS_KILLED = ("6 feet under", "no longer alive", "terminated abruptly")
SPARE_PROCESSES = 2


def killed_for_memory() -> int:
    """How many processes Linux has killed since it was started because memory was exhausted; 0 elsewhere."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


_KILLED_BEFORE = killed_for_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that memory was exhausted.

    A process of a pool that was killed counts if Linux has killed any for that reason since this one started.
    """
    for one in _chain(error):
        text = str(one).lower()
        if isinstance(one, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
            return True
        if any(words in text for words in _POOL_PROCESS_KILLED) and killed_for_memory() > _KILLED_BEFORE:
            return True
    return False


def spare_plans(plans: dict[str, Any]) -> dict[str, Any]:
    """Plans of the same network that need about half of the memory in a training.

    Half of the batch or, where it is a single patch already, half of the patch along its longest axis; no image is
    preprocessed differently and the weights have the same shapes, so that the model is used with the original plans.
    """
    spared = copy.deepcopy(plans)
    configuration = spared["configurations"][CONFIGURATION]
    if configuration["batch_size"] > 1:
        configuration["batch_size"] //= 2
        return spared
    strides = configuration["architecture"]["arch_kwargs"]["strides"]
    patch = list(configuration["patch_size"])
    for axis in sorted(range(len(patch)), key=lambda one: -patch[one]):
        factor = 1
        for stride in strides:
            factor *= stride if isinstance(stride, int) else stride[axis]
        smaller = patch[axis] // 2 // factor * factor
        if smaller >= 2 * factor:
            patch[axis] = smaller
            break
    configuration["patch_size"] = patch
    return spared


def describe_sparing(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Say what :func:`spare_plans` changed."""
    old, new = (plans["configurations"][CONFIGURATION] for plans in (before, after))
    changes = [
        f"{name.replace('_', ' ')} {_shown(new[name])} instead of {_shown(old[name])}"
        for name in ("batch_size", "patch_size")
        if old[name] != new[name]
    ]
    return " and ".join(changes) or "fewer processes"


def tensors_bytes(*tensors_of: Any) -> int:
    """Measure the tensors of modules and of dictionaries of weights, bytes; what several of them share counts once."""
    sizes: dict[int, int] = {}
    for one in tensors_of:
        tensors = one.state_dict().values() if hasattr(one, "state_dict") else one.values()
        for tensor in tensors:
            if hasattr(tensor, "element_size"):
                sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(sizes.values())


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
