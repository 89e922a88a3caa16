"""On which device of this machine a job runs, so that trainings do not share a GPU and drafts give way to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.jobs import Claim, claim
from mrseg_label.jobs.queue import DRAFTS, QUEUE_OF, ROUNDS
from mrseg_label.nnunet.card_memory import CardMemory, card_memory
from mrseg_label.nnunet.gpus import Gpu, GpuSlots, Slot, find_gpus
from mrseg_label.presegmentation.loaded_models import drop_loaded_networks


class Placement:
    """Claims jobs together with the devices that they need.

    Parameters
    ----------
    gpus : that this process may use; by default those that are found when the first job is due.
    locks : folder of the GPUs' locks; by default that of the machine.
    memory : measures the memory of a GPU by its number; None where nothing is known of it.
    """

    def __init__(
        self,
        workspace: OpenedWorkspace,
        gpus: Sequence[Gpu] | None = None,
        locks: Path | None = None,
        memory: Callable[[int], CardMemory | None] = card_memory,
    ) -> None:
        self._workspace = workspace
        self._gpus = gpus
        self._locks = locks
        self._memory = memory
        self._slots: GpuSlots | None = None
        self._drafting: Slot | None = None

    def claim(self, queues: Sequence[str]) -> tuple[Claim, OpenedWorkspace, Callable[[], None]] | None:
        """Claim the next job that can run here; a training needs a free GPU, where this machine has any.

        Returns
        -------
        The job, the workspace with the device of this job as its DEVICE, and what to call when the job has ended.
        """
        workspace = self._workspace
        slot: Slot | None = None
        if ROUNDS in queues and self._is_due(ROUNDS) and self._needs_slots():
            slot = self._known_slots().take()
            if slot is None:  # another machine may have a free one
                queues = [name for name in queues if name != ROUNDS]
        draft_device: str | None = ""
        if DRAFTS in queues and self._is_due(DRAFTS):
            draft_device = self._draft_device()
        else:
            self._leave_drafting()  # to a worker that has drafts to make, also one of another workspace
        if draft_device is None:
            queues = [name for name in queues if name != DRAFTS]
        claimed = claim(workspace.catalog, queues) if queues else None
        is_round = claimed is not None and QUEUE_OF.get(claimed.kind) == ROUNDS
        if slot is not None and not is_round:
            slot.release()
        if claimed is None:
            return None
        if is_round and slot is not None:
            return claimed, self._with_device(slot.gpu), partial(_leave, slot)
        if draft_device and QUEUE_OF.get(claimed.kind) == DRAFTS:
            workspace = replace(workspace, settings=workspace.settings.model_copy(update={"device": draft_device}))
        return claimed, workspace, lambda: None

    def must_give_way(self, device: str) -> bool:
        """Whether drafts have to leave the memory of a device, since a training holds it."""
        if self._workspace.settings.drafts_during_training == "share" or not device.startswith(("auto", "cuda")):
            return False
        if self._slots is None:
            return False
        number = int(device.partition(":")[2] or 0)
        return any(self._slots.is_training_on(gpu) for gpu in self._slots.gpus if gpu.number == number)

    def _draft_device(self) -> str | None:
        """The device for a draft; None if it has to wait or to be left to another worker, empty for that of the settings.

        A worker keeps to the GPU on which its networks are loaded, while it has drafts to make and no training takes it.
        """
        if not self._needs_slots():
            return ""
        settings = self._workspace.settings
        slots = self._known_slots()
        usable = slots.gpus if settings.drafts_during_training == "share" else slots.without_training()
        if self._drafting is not None and self._drafting.gpu not in usable:
            self._leave_drafting()
        if not usable:
            return "cpu" if settings.drafts_during_training == "cpu" else None
        if self._drafting is None:
            folder = slots.folder / "drafts"
            self._drafting = GpuSlots(usable, settings.device, settings.drafts_per_gpu, folder).take(inherited=False)
        if self._drafting is None or not self._has_room(self._drafting):
            self._leave_drafting()
            return None
        return self._with_device(self._drafting.gpu).settings.device

    def _has_room(self, slot: Slot) -> bool:
        """Whether a draft fits beside those of other workers. The first worker of a GPU never waits for them, so that one works."""
        memory = None if slot.share == 0 else self._memory(slot.gpu.number)
        return memory is None or memory.has_room

    def _leave_drafting(self) -> None:
        """Leave the GPU on which this worker made drafts to others."""
        if self._drafting is not None:
            self._drafting.release()
            self._drafting = None

    def _is_due(self, queue: str) -> bool:
        with self._workspace.catalog.read() as session:
            return rows.is_due(session, queue, self._workspace.catalog.now(session))

    def _needs_slots(self) -> bool:
        return bool(self._known_slots().gpus)

    def _known_slots(self) -> GpuSlots:
        if self._slots is None:
            settings = self._workspace.settings
            gpus = find_gpus() if self._gpus is None else self._gpus
            self._slots = GpuSlots(gpus, settings.device, settings.trainings_per_gpu, self._locks)
        return self._slots

    def _with_device(self, gpu: Gpu) -> OpenedWorkspace:
        settings = self._workspace.settings
        if settings.device == "auto" and gpu.number == 0:
            return self._workspace  # which falls back to the CPU, with a warning, if torch cannot use the GPU
        return replace(self._workspace, settings=settings.model_copy(update={"device": f"cuda:{gpu.number}"}))


def _leave(slot: Slot) -> None:
    """Give a GPU back with what torch keeps of its memory in this process."""
    drop_loaded_networks()
    slot.release()
