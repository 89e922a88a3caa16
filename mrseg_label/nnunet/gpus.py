"""GPUs as slots: which there are on this machine, and which of them a training holds.

A slot is a lock (``flock``) on a file in a folder of the machine, which the system releases when the last process that
holds it has ended, however it ends. The processes of a training inherit the open file, so that a slot stays taken until
all of them are gone, even if their worker was killed. Nothing here loads torch; where the driver's ``nvidia-smi`` lists
no GPU, there are no slots, and work is not held back.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mrseg_label.nnunet.devices import VISIBLE_CARDS
from mrseg_label.nnunet.environment import parse_device

_LIST_SECONDS = 20.0
_held: set[int] = set()


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use.

    Attributes
    ----------
    number : N of the device ``cuda:N`` of this process.
    identity : the UUID that the driver gives it, the same for every process of the machine.
    """

    number: int
    identity: str


def find_gpus(environment: Mapping[str, str] | None = None) -> tuple[Gpu, ...]:
    """List the GPUs that this process may use, by ``nvidia-smi`` and CUDA_VISIBLE_DEVICES."""
    environment = os.environ if environment is None else environment
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return visible_gpus(done.stdout, environment.get(VISIBLE_CARDS))


def visible_gpus(listed: str, visible: str | None) -> tuple[Gpu, ...]:
    """Read the list of ``nvidia-smi``, and leave out what a process may not use.

    Parameters
    ----------
    listed : lines such as ``0, GPU-8b3c...``.
    visible : value of CUDA_VISIBLE_DEVICES: numbers, UUIDs or their beginnings, or parts of a GPU (MIG); None if not set.
    """
    identities = {
        number.strip(): identity.strip()
        for number, _, identity in (line.partition(",") for line in listed.splitlines())
        if number.strip().isdigit()
    }
    if visible is None:
        return tuple(Gpu(number, identity) for number, identity in enumerate(identities.values()))
    found: list[Gpu] = []
    for name in (part.strip() for part in visible.split(",")):
        whole = [one for one in identities.values() if name.startswith("GPU-") and one.startswith(name)]
        identity = identities.get(name) or next(iter(whole), name if name.startswith("MIG-") else None)
        if identity is None:
            break  # as CUDA does: what follows a name that it does not know is not used
        found.append(Gpu(len(found), identity))
    return tuple(found)


class Slot:
    """A GPU, or a share of one, that is held until :meth:`release` and the end of every process that inherited it.

    Parameters
    ----------
    share : which of the slots of the GPU it is, from 0.
    inherited : whether the processes of a training inherit it.
    """

    def __init__(self, gpu: Gpu, file: int, share: int = 0, *, inherited: bool = True) -> None:
        self.gpu = gpu
        self.share = share
        self._file: int | None = file
        if inherited:
            _held.add(file)

    def release(self) -> None:
        """Give the slot back, as far as this process is concerned."""
        if self._file is not None:
            _held.discard(self._file)
            os.close(self._file)
            self._file = None


class GpuSlots:
    """The slots of this machine.

    Parameters
    ----------
    gpus : that this process may use.
    device : the setting DEVICE; a numbered GPU is the only one that is taken, and ``cpu`` needs none.
    trainings : how many trainings, or workers that make drafts, may share a GPU.
    folder : of the locks; by default one that all processes of the machine with the same folder for temporary files share.
    """

    def __init__(
        self, gpus: Sequence[Gpu], device: str = "auto", trainings: int = 1, folder: Path | None = None
    ) -> None:
        kind, number = parse_device(device)
        self.gpus = tuple(gpu for gpu in gpus if kind != "cpu" and number in (None, gpu.number))
        self._trainings = trainings
        self.folder = folder or Path(tempfile.gettempdir()) / "mrseg-label-gpus"

    def take(self, *, inherited: bool = True) -> Slot | None:
        """Take a slot, of the GPU that fewest hold; None if all are taken.

        Raises
        ------
        OSError
            The folder of the locks cannot be used.
        """
        for share in range(self._trainings):
            for gpu in self.gpus:
                file = self._open(gpu, share)
                if _lock(file):
                    return Slot(gpu, file, share, inherited=inherited)
                os.close(file)
        return None

    def without_training(self) -> tuple[Gpu, ...]:
        """The GPUs that no training holds at present."""
        return tuple(gpu for gpu in self.gpus if not self.is_training_on(gpu))

    def is_training_on(self, gpu: Gpu) -> bool:
        """Whether a training holds a slot of this GPU."""
        for share in range(self._trainings):
            file = self._open(gpu, share)
            try:
                if not _lock(file, shared=True):
                    return True
            finally:
                os.close(file)
        return False

    def _open(self, gpu: Gpu, share: int) -> int:
        """Open a lock file. Processes of several users share them, and any may have made them."""
        with suppress(FileExistsError):
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o1777)
        path = self.folder / f"{gpu.identity}.{share}.lock"
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        with suppress(FileExistsError):
            file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(file, 0o666)
            return file
        return os.open(path, flags)


def held_files() -> tuple[int, ...]:
    """The open files of the slots that this process holds, which the processes of a training inherit."""
    return tuple(_held)


def _lock(file: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
