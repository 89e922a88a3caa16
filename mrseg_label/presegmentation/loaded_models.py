"""The models of a workspace, kept loaded from job to job. What this loads is imported by workers only."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.tables import BOOTSTRAP, Examination, ModelVersion
from mrseg_label.errors import ConfigurationError, DamagedModel, OutOfMemory, Unavailable
from mrseg_label.jobs import JobContext
from mrseg_label.nnunet.memory import is_out_of_memory
from mrseg_label.nnunet.modality import CT
from mrseg_label.nnunet.pulse import before_each_patch
from mrseg_label.presegmentation.sources import choose_source
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from mrseg_label.nnunet.predict import Predictor
    from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime

log = logging.getLogger("mrseg_label.presegmentation")
NNUNET_SOURCE = "nnunet"
_NO_MEMORY = (
    "memory was exhausted while examination {examination} was segmented, and again on the CPU with no other network loaded ({error}). "
    "Let less run on this machine, give it more memory, or exclude the image (mrseg-label exclude {examination} --reason TEXT)"
)
_KEPT_LOADED = 2  # the current model and the one that it is compared with


@dataclass
class LoadedModels:
    """TotalSegmentator and the networks used last, each loaded when it is first needed.

    Attributes
    ----------
    context : the job that they work for, which can be cancelled at each patch, and whose worker ends a prediction that hangs.
    """

    workspace: Workspace
    context: JobContext | None = None
    _totalsegmentator: TotalSegmentatorRuntime | None = None
    _networks: dict[str, Predictor] = field(default_factory=dict)
    _loaded_on: str = ""

    def draft(self, model: ModelVersion, examination: Examination) -> tuple[NDArray[np.uint8], str]:
        """Segment the image of an examination as :meth:`segment`, with the networks that are to make drafts."""
        fold = self.drafting_fold(model)
        return self.segment(model, examination) if fold is None else self._segment_guarded(model, examination, fold)

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
        return self._segment_guarded(model, examination, None)

    def _segment_guarded(
        self, model: ModelVersion, examination: Examination, fold: int | None
    ) -> tuple[NDArray[np.uint8], str]:
        if self._loaded_on != self.device:
            self.unload()
        self._loaded_on = self.device
        with self._watched():
            try:
                return self._segment(model, examination, fold)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                log.warning(
                    "memory was exhausted on %s; %s is segmented once more, on the CPU and with no other network loaded: %s",
                    self.device,
                    examination.id,
                    error,
                )
            self.unload()
            self._loaded_on = "cpu"  # the next image tries the device again
            try:
                return self._segment(model, examination, fold)
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
        return self._totalsegmentator is not None or bool(self._networks)

    def unload(self) -> None:
        """Drop all networks, to give their memory back."""
        self._totalsegmentator = None
        self._networks.clear()
        drop_loaded_networks()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.context is None:
            yield
            return
        with self.context.watched(), before_each_patch(self.context.pulse):
            yield

    def _segment(
        self, model: ModelVersion, examination: Examination, fold: int | None
    ) -> tuple[NDArray[np.uint8], str]:
        image = self.workspace.path(examination.path)
        if model.version == BOOTSTRAP:
            source = choose_source(examination.sequence, self.workspace.settings.bootstrap_sources)
            return self._load_totalsegmentator().segment(image, source, self.workspace.scheme), str(source)
        network = self._load_network(model, fold)
        table = network.conventions.lookup(network.labels, self.workspace.scheme)
        return table[network.segment(image, is_ct=examination.sequence == CT)], source_of(fold)

    def _load_totalsegmentator(self) -> TotalSegmentatorRuntime:
        if self._totalsegmentator is None:
            from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
            from mrseg_label.presegmentation.weights import find_weights

            weights = find_weights(self.workspace.settings.totalseg_weights_path)
            home = self.workspace.root / "tmp" / f"totalsegmentator-{os.getpid()}"
            self._totalsegmentator = TotalSegmentatorRuntime(weights.path, home, self._loaded_on)
        return self._totalsegmentator

    def _load_network(self, model: ModelVersion, fold: int | None) -> Predictor:
        key = model.version if fold is None else f"{model.version} fold {fold}"
        if key not in self._networks:
            from mrseg_label.nnunet.predict import Predictor

            if model.path is None:
                raise DamagedModel(f"model version {model.version} has no folder; promote another version")
            folder: Path = self.workspace.path(model.path)
            if len(self._networks) >= _KEPT_LOADED:
                self._networks.pop(next(iter(self._networks)))
            try:
                self._networks[key] = Predictor(folder, self._loaded_on, None if fold is None else [fold])
            except (ConfigurationError, Unavailable, MemoryError):
                raise
            except Exception as error:
                raise DamagedModel(
                    f"model version {model.version} cannot be loaded from {folder}: {error or repr(error)}. Restore the "
                    "folder from a backup, or promote another version"
                ) from error
        return self._networks[key]


def best_fold(model: ModelVersion) -> int | None:
    """The fold of a version that did best in its cross-validation; None if it has one fold or was not cross-validated."""
    metrics = model.metrics or {}
    return metrics.get("best_fold") if len(metrics.get("folds") or ()) > 1 else None


def source_of(fold: int | None) -> str:
    """How a label map says that a network made it: all folds of a version, or one of several."""
    return NNUNET_SOURCE if fold is None else f"{NNUNET_SOURCE} fold {fold}"


def drop_loaded_networks() -> None:
    """Give the memory of networks back that nothing refers to any more, and of TotalSegmentator's."""
    predictor = sys.modules.get("mrseg_label.presegmentation.totalseg_predictor")
    if predictor is not None:
        predictor.forget()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
