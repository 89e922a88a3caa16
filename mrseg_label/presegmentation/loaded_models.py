"""The models of a workspace, kept loaded from job to job. What this loads is imported by workers only."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.tables import BOOTSTRAP, Examination, ModelVersion
from mrseg_label.errors import DamagedModel, OutOfMemory
from mrseg_label.jobs import JobContext
from mrseg_label.nnunet.memory import is_out_of_memory
from mrseg_label.nnunet.pulse import before_each_patch
from mrseg_label.presegmentation.loaded_networks import LoadedNetworks, Segmentation
from mrseg_label.presegmentation.progress import PatchProgress
from mrseg_label.presegmentation.sources import Source, choose_source
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.presegmentation")
NNUNET_SOURCE = "nnunet"
Result = TypeVar("Result")
_NO_MEMORY = (
    "memory was exhausted while examination {examination} was segmented, and again on the CPU with no other network loaded ({error}). "
    "Let less run on this machine, give it more memory, or exclude the image (mrseg-label exclude {examination} --reason TEXT)"
)


@dataclass
class LoadedModels:
    """What makes the drafts of a model version, with networks that stay loaded.

    Attributes
    ----------
    context : the job that they work for, which can be cancelled at each patch, and whose worker ends a prediction that hangs.
    sparing : what was done with less than the settings say since the context was set, because memory was exhausted.
    met_out_of_memory : whether memory was ever exhausted in this process.
    """

    workspace: Workspace
    context: JobContext | None = None
    sparing: list[str] = field(default_factory=list)
    met_out_of_memory: bool = False
    _networks: LoadedNetworks = field(init=False)

    def __post_init__(self) -> None:
        self._networks = LoadedNetworks(self.workspace, self.device)

    def draft(
        self, model: ModelVersion, examination: Examination, source: Source | None = None
    ) -> tuple[Segmentation, str]:
        """Segment the image of an examination as :meth:`segment`, with the networks that are to make drafts.

        Parameters
        ----------
        source : one of the bootstrap's sources; its first one by default.

        Returns
        -------
        segmentation : the mask, and how sure the network is of it.
        source : the way in which it was made.
        """
        if source not in (None, choose_source(examination.sequence, self.workspace.settings.bootstrap_sources)):
            return self.segment_by(source, examination), str(source)
        fold = self.drafting_fold(model)
        return self._segment_guarded(model, examination, fold)

    def drafting_fold(self, model: ModelVersion) -> int | None:
        """The only fold of a version that makes drafts; None if all do."""
        return best_fold(model) if self.workspace.settings.ensemble_drafts == "best" else None

    def segment(self, model: ModelVersion, examination: Examination) -> tuple[NDArray[np.uint8], str]:
        """Segment the image of an examination with all folds of a version.

        Returns
        -------
        label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
        source : the way in which it was made.

        Raises
        ------
        OutOfMemory
            Memory was exhausted, also when it was tried again on the CPU with no other network loaded.
        """
        segmentation, source = self._segment_guarded(model, examination, None)
        return segmentation.label_map, source

    def segment_by(self, source: Source, examination: Examination) -> Segmentation:
        """Segment the image of an examination by any source; errors as in :meth:`segment`."""
        image = self.workspace.path(examination.path)
        return self._guarded(lambda: self._networks.segment(source, image, examination.sequence), examination)

    def _segment_guarded(
        self, model: ModelVersion, examination: Examination, fold: int | None
    ) -> tuple[Segmentation, str]:
        return self._guarded(lambda: self._segment(model, examination, fold), examination)

    def _guarded(self, segment: Callable[[], Result], examination: Examination) -> Result:
        if self._networks.device != self.device:
            self.unload()
        self._networks.device = self.device
        with self._watched():
            try:
                return segment()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning(
                    "memory was exhausted on %s; %s is segmented once more, on the CPU and with no other network loaded: %s",
                    self.device,
                    examination.id,
                    error,
                )
            self.met_out_of_memory = True
            self.sparing.append(f"on the CPU, since the memory of {self.device} was exhausted")
            self.unload()
            self._networks.device = "cpu"  # the next image tries the device again
            try:
                return segment()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(
                    _NO_MEMORY.format(examination=examination.id, error=str(error) or repr(error))
                ) from error

    @property
    def device(self) -> str:
        """The device of the present job, as DEVICE names it."""
        return (self.workspace if self.context is None else self.context.workspace).settings.device

    @property
    def is_loaded(self) -> bool:
        """Whether any network is kept loaded."""
        return len(self._networks) > 0

    def unload(self) -> None:
        """Drop all networks, to give their memory back."""
        self._networks.unload()
        drop_loaded_networks()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.context is None:
            yield
            return
        with self.context.watched(), before_each_patch(PatchProgress(self.context)):
            yield

    def _segment(self, model: ModelVersion, examination: Examination, fold: int | None) -> tuple[Segmentation, str]:
        image = self.workspace.path(examination.path)
        if model.version == BOOTSTRAP:
            source = choose_source(examination.sequence, self.workspace.settings.bootstrap_sources)
            return self._networks.segment(source, image, examination.sequence), str(source)
        if model.path is None:
            raise DamagedModel(f"model version {model.version} has no folder; promote another version")
        segmentation = self._networks.segment(
            Source.of_version(model.version),
            image,
            examination.sequence,
            fold=fold,
            folder=self.workspace.path(model.path),
        )
        return segmentation, source_of(fold)


def best_fold(model: ModelVersion) -> int | None:
    """The fold of a version that did best in its cross-validation; None if it has one fold or was not cross-validated."""
    metrics = model.metrics or {}
    return metrics.get("best_fold") if len(metrics.get("folds") or ()) > 1 else None


def source_of(fold: int | None) -> str:
    """How a label map says that a network made it: all folds of a version, or one of several."""
    return NNUNET_SOURCE if fold is None else f"{NNUNET_SOURCE} fold {fold}"


def drop_loaded_networks() -> None:
    """Give the memory of networks back that nothing refers to any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
