"""Batches that depend on seed, fold and number of the iteration alone, made by several processes beside the training.

nnU-Net's own loader is not seeded in its processes and takes the batches in the order in which they are ready. Here each
batch is made from a seed of its own, so that neither the number of processes nor an interruption changes it, and batches
are taken in turn. A process may still be two batches ahead of the training.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA

_PROCESSES = "nnUNet_n_proc_DA"
_WAIT_SECONDS = 0.002  # as nnU-Net's trainer waits
TRAINING, VALIDATION = 0, 1


class SeededBatches:
    """A loader of batches in which each has a seed of its own.

    Parameters
    ----------
    loader : nnU-Net's loader, which draws from the global generators of NumPy, torch and Python.
    seed : what all batches depend on, such as the seed of the training, the fold and the kind of batches.
    first : number of the first batch.
    processes : number of processes, each of which makes every so-manieth batch.
    """

    def __init__(self, loader: Any, seed: tuple[int, ...], first: int, processes: int) -> None:
        self.loader, self.seed, self.next, self.processes = loader, seed, first, processes

    def set_thread_id(self, number: int) -> None:
        """Begin with the batches of one process; called in it."""
        torch.set_num_threads(1)
        self.next += number

    def __next__(self) -> Any:
        for value, generator in zip(
            np.random.SeedSequence((*self.seed, self.next)).generate_state(3),
            (random.seed, np.random.seed, torch.manual_seed),
            strict=True,
        ):
            generator(int(value))
        self.next += self.processes
        return next(self.loader)


class SeededLoading(nnUNetTrainer):
    """A trainer whose batches are those of its seed, also where other processes make them."""

    _seed: int

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Return loaders that begin with the first batch of the current epoch."""
        processes = get_allowed_n_proc_DA()
        if processes == 0:  # this process is seeded anew at each epoch
            loaders: tuple[Any, Any] = super().get_dataloaders()
            return loaders
        with _loading_here():
            training, validation = super().get_dataloaders()
        return (
            self._pooled(training.data_loader, TRAINING, self.num_iterations_per_epoch, processes),
            self._pooled(validation.data_loader, VALIDATION, self.num_val_iterations_per_epoch, max(1, processes // 2)),
        )

    def _pooled(self, loader: Any, kind: int, per_epoch: int, processes: int) -> MultiThreadedAugmenter:
        first = self.current_epoch * per_epoch
        batches = SeededBatches(loader, (self._seed, int(self.fold), kind), first, processes)
        pin = self.device.type == "cuda"
        pooled = MultiThreadedAugmenter(batches, None, processes, 2, None, pin, wait_time=_WAIT_SECONDS)
        pooled._start()  # both loaders fill while the training prepares
        return pooled


@contextmanager
def _loading_here() -> Iterator[None]:
    """Let nnU-Net make loaders without processes."""
    before = os.environ.get(_PROCESSES)
    os.environ[_PROCESSES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PROCESSES]
        else:
            os.environ[_PROCESSES] = before
