"""The machine and the programs that a training ran on, for the record of its model.

The name of the machine is left out, since the record leaves the hospital with an exported model.
"""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrseg_label
from mrseg_label.nnunet.environment import available_cores

if TYPE_CHECKING:
    import torch

PACKAGES = ("mrseg-label", "nnunetv2", "torch", "numpy", "dynamic-network-architectures", "batchgeneratorsv2")


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe processor, memory and, where a GPU trains, the GPU. Imports torch.

    Returns
    -------
    ``device``, ``processor``, ``cores`` (that this process may use), ``memory_gb``, ``system``, and of a GPU ``gpu``,
    ``gpu_memory_gb`` and ``cuda``.
    """
    import torch

    found: dict[str, Any] = {
        "device": str(device),
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "gpu": properties.name,
            "gpu_memory_gb": round(properties.total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
        }
    return found


def describe_programs() -> dict[str, str]:
    """List the versions of Python and of the packages that decide what a training computes, and our own code's digest.

    The version of this program says little while it is developed, so ``code_sha256`` is the SHA-256 over its modules.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    return versions | {"code_sha256": code_digest()}


def code_digest() -> str:
    """SHA-256 over the names and contents of this program's modules, in a fixed order."""
    root = Path(mrseg_label.__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _processor() -> str:
    """Name of the processor as the kernel gives it; the architecture where it gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
