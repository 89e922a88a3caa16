"""nnU-Net's environment variables, names and output.

nnU-Net finds its folders through environment variables, some of which it reads when it is imported; so call
:meth:`NnunetFolders.activate` before the first import of ``nnunetv2``. What it prints goes to our log.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.errors import ConfigurationError, InvalidInput

READER = "NibabelIOWithReorient"
CONFIGURATION = "3d_fullres"
PLANS = "nnUNetPlans"
STOCK_TRAINER = "nnUNetTrainerNoMirroring"
FILE_ENDING = ".nii.gz"
BACKGROUND, IGNORE = "background", "ignore"  # names with a meaning for nnU-Net in the labels of dataset.json

log = logging.getLogger("mrseg_label.nnunet")


@dataclass(frozen=True)
class NnunetFolders:
    """nnU-Net's three folders."""

    raw: Path
    preprocessed: Path
    results: Path

    @classmethod
    def under(cls, root: Path) -> NnunetFolders:
        """``raw``, ``preprocessed`` and ``results`` in one folder."""
        return cls(root / "raw", root / "preprocessed", root / "results")

    def variables(self, processes: int | None = None, augmentation_processes: int = 0) -> dict[str, str]:
        """Environment variables for these folders.

        Parameters
        ----------
        processes : number of processes in nnU-Net's pools; one for each core by default, at most 8.
        augmentation_processes : number of processes that augment beside a training; with 0 the training process
            does it. Planning needs at least one, since nnU-Net divides its threads by this number.
        """
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
            "nnUNet_def_n_proc": str(processes or min(available_cores(), 8)),
            "nnUNet_n_proc_DA": str(augmentation_processes),
            "MPLBACKEND": "Agg",
        }

    def activate(self, processes: int | None = None, augmentation_processes: int = 0) -> None:
        """Set the variables for this process and its children, and create the folders."""
        for folder in (self.raw, self.preprocessed, self.results):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(self.variables(processes, augmentation_processes))


def find_configuration_folder(folder: Path) -> Path:
    """Find the folder with plans.json, dataset.json and fold_*: ``folder`` itself, or one up to two levels below.

    Raises
    ------
    InvalidInput
        No such folder exists, or several do.
    """
    found = sorted({path.parent for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}plans.json")})
    found = [path for path in found if (path / "dataset.json").exists() and any(path.glob("fold_*/checkpoint_*.pth"))]
    if len(found) != 1:
        raise InvalidInput(
            f"{folder} holds {len(found)} nnU-Net models; give a folder that holds one, with plans.json, dataset.json "
            "and fold_0/checkpoint_final.pth"
        )
    return found[0]


def parse_device(name: str) -> tuple[str, int | None]:
    """Check the name of a device, as the setting DEVICE gives it.

    Returns
    -------
    ``auto``, ``cpu`` or ``cuda``, and the number of the GPU if it is given.

    Raises
    ------
    ConfigurationError
        It is none of these.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::(\d+))?", name)
    if match is None or (match[2] and match[1] != "cuda"):
        advice = "use cuda" if name.strip().lower().startswith(("gpu", "nvidia", "cuda")) else "set it to auto, cpu"
        raise ConfigurationError(f"DEVICE is {name!r}; {advice}, or cuda:N for the GPU number N")
    return match[1], int(match[2]) if match[2] else None


def plain_labels(labels: Mapping[str, Any]) -> dict[str, int]:
    """Drop background and nnU-Net's label ``ignore`` from the labels of a data set."""
    return {name: int(number) for name, number in labels.items() if name not in (BACKGROUND, IGNORE)}


def prepare_for_prediction() -> None:
    """Set the variables that nnU-Net reads on import, for a process that only predicts and needs no folders."""
    os.environ.setdefault("nnUNet_def_n_proc", str(min(available_cores(), 8)))
    os.environ.setdefault("MPLBACKEND", "Agg")


def available_cores() -> int:
    """Number of cores that this process may use; in a container or a Slurm job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send standard output to the log at level DEBUG."""
    with contextlib.redirect_stdout(_LogStream()):
        yield


@contextlib.contextmanager
def threads_for_processes(*modules: Any) -> Iterator[None]:
    """Replace the ``multiprocessing`` pools of some of nnU-Net's modules by pools of threads.

    Each process of a pool imports torch and nnU-Net, which takes about 15 s of CPU time: more than the work itself on
    small images. Only the name ``multiprocessing`` in the given modules is replaced.
    """
    saved = {module: module.multiprocessing for module in modules}
    try:
        for module in modules:
            module.multiprocessing = _ThreadContext
        yield
    finally:
        for module, original in saved.items():
            module.multiprocessing = original


class _ThreadContext:
    """Replaces ``multiprocessing`` in a module that calls ``multiprocessing.get_context(...).Pool(n)``."""

    @staticmethod
    def get_context(_method: str | None = None) -> Any:
        import multiprocessing.dummy

        return multiprocessing.dummy


class _LogStream(io.TextIOBase):
    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                log.debug("%s", line)
        return len(text)
