"""The models that make drafts, kept loaded from job to job. Only workers import what this loads."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.tables import BOOTSTRAP, Examination, ModelVersion
from mrseg_label.errors import StoredFileError
from mrseg_label.presegmentation.sources import choose_source
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from mrseg_label.nnunet.predict import Predictor
    from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime

NETWORK_SOURCE = "nnunet"


@dataclass
class Engines:
    """TotalSegmentator and the newest networks of a workspace."""

    workspace: Workspace
    _total: TotalSegmentatorRuntime | None = None
    _networks: dict[str, Predictor] = field(default_factory=dict)

    def segment(self, model: ModelVersion, examination: Examination) -> tuple[NDArray[np.uint8], str]:
        """Label map (X, Y, Z) of the examination's image, on exactly its grid, and the source that made it."""
        image = self.workspace.path(examination.path)
        if model.version == BOOTSTRAP:
            source = choose_source(examination.sequence, self.workspace.settings.bootstrap_sources)
            return self._bootstrap().segment(image, source, self.workspace.scheme), str(source)
        return self._network(model).segment(image), NETWORK_SOURCE

    def _bootstrap(self) -> TotalSegmentatorRuntime:
        if self._total is None:
            from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
            from mrseg_label.presegmentation.weights import find_weights

            weights = find_weights(self.workspace.settings.totalseg_weights_path)
            home = self.workspace.root / "tmp" / f"totalsegmentator-{os.getpid()}"
            self._total = TotalSegmentatorRuntime(weights.path, home, self.workspace.settings.device)
        return self._total

    def _network(self, model: ModelVersion) -> Predictor:
        if model.version not in self._networks:
            from mrseg_label.nnunet.predict import Predictor

            if model.path is None:
                raise StoredFileError(f"model version {model.version} has no folder; promote another version")
            folder: Path = self.workspace.path(model.path)
            if len(self._networks) >= 2:  # the current one and the one that it is compared with
                self._networks.pop(next(iter(self._networks)))
            self._networks[model.version] = Predictor(folder, self.workspace.settings.device)
        return self._networks[model.version]
