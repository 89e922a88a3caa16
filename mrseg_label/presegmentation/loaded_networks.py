"""Segment an image by any source, with networks that stay loaded. What this loads is imported by workers only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import ConfigurationError, DamagedModel, Unavailable
from mrseg_label.imaging import from_canonical, load_image
from mrseg_label.nnunet.modality import CT
from mrseg_label.presegmentation.mrsegmentator import find_mrsegmentator, mrsegmentator_conventions
from mrseg_label.presegmentation.network_cache import NetworkCache, limit_on
from mrseg_label.presegmentation.networks import NETWORKS, TotalSegmentatorNetwork
from mrseg_label.presegmentation.preparation import PREPARED_AXCODES, network_input
from mrseg_label.presegmentation.sources import Preparation, Source, preparation_for
from mrseg_label.presegmentation.weights import find_weights
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from mrseg_label.nnunet.conventions import ModelConventions
    from mrseg_label.nnunet.predict import Predictor
    from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime


@dataclass(frozen=True)
class Segmentation:
    """What a source makes of an image.

    Attributes
    ----------
    label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
    softmax : mean uncertainty of the network over the voxels of each label id, 0 to 1; None where it is not known.
    """

    label_map: NDArray[np.uint8]
    softmax: dict[int, float] | None = None


class LoadedNetworks:
    """The networks that a workspace can use, each loaded when it is first needed.

    Together they take at most a quarter of the memory of the GPU, or of the machine where the CPU computes; beyond
    that, those are dropped that have not been used for longest (:class:`NetworkCache`).

    Attributes
    ----------
    device : as DEVICE names it. Whoever changes it calls :meth:`unload` first.
    """

    def __init__(self, workspace: Workspace, device: str) -> None:
        self._workspace = workspace
        self.device = device
        self._cache = NetworkCache(lambda: limit_on(self.device))
        self._totalsegmentator: dict[str, TotalSegmentatorRuntime] = {}

    def __len__(self) -> int:
        return len(self._cache)

    def unload(self) -> None:
        """Drop all networks."""
        self._totalsegmentator.clear()
        self._cache.clear()

    def segment(
        self, source: Source, image: Path, sequence: str = "", *, fold: int | None = None, folder: Path | None = None
    ) -> Segmentation:
        """Segment an image file by a source.

        Parameters
        ----------
        image : NIfTI, NRRD or MetaImage in any orientation. It is turned to the one in which the network was trained,
            and the result back.
        sequence : as in the catalogue; the contrast decides on the preparation where the source leaves it open, and CT
            is limited to the values of the network's training.
        fold : the only one of a model version that is used; all by default.
        folder : of the model version, where it is not the one that its name says.

        Returns
        -------
        The mask, and how sure the network is of it unless it is TotalSegmentator's.

        Raises
        ------
        ConfigurationError, Unavailable
            The weights are missing, are not what the settings say, or are unknown to the installed program.
        DamagedModel
            The model version cannot be loaded.
        InvalidInput, GeometryError
            The image cannot be used.
        """
        preparation = source.preparation or preparation_for(sequence)
        network = NETWORKS.get(source.network)
        if isinstance(network, TotalSegmentatorNetwork):
            runtime = self._load_totalsegmentator(network)
            return Segmentation(runtime.segment(image, preparation, self._workspace.scheme))
        if network is not None:
            predictor = self._load_mrsegmentator()
        else:
            assert source.version is not None
            predictor = self._load_version(source.version, folder, fold)
        return self._predict(predictor, image, preparation, is_ct=sequence == CT)

    def _predict(self, predictor: Predictor, image: Path, preparation: Preparation, *, is_ct: bool) -> Segmentation:
        table = predictor.conventions.lookup(predictor.labels, self._workspace.scheme)
        if preparation is Preparation.RAW:
            found = predictor.predict_file(image, is_ct=is_ct, uncertainty=True)
            return Segmentation(table[found.label_map], _of_scheme(found.uncertainty, table))
        array, geometry, _ = load_image(image)
        found = predictor.predict(*network_input(array, geometry, preparation), uncertainty=True)
        mask = from_canonical(table[found.label_map], PREPARED_AXCODES, geometry)
        return Segmentation(mask, _of_scheme(found.uncertainty, table))

    def _load_totalsegmentator(self, network: TotalSegmentatorNetwork) -> TotalSegmentatorRuntime:
        if network.name not in self._totalsegmentator:
            from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime

            weights = find_weights(self._workspace.settings.totalseg_weights_path, network)
            home = self._workspace.root / "tmp" / f"totalsegmentator-{os.getpid()}"
            self._totalsegmentator[network.name] = TotalSegmentatorRuntime(
                weights.path, home, self.device, network, self._cache
            )
        return self._totalsegmentator[network.name]

    def _load_mrsegmentator(self) -> Predictor:
        folder = find_mrsegmentator(self._workspace.settings.weights_path)
        conventions = mrsegmentator_conventions(folder, self._workspace.scheme)
        return self._load(
            ("MRSegmentator", str(folder)),
            folder,
            None,
            conventions,
            lambda reason: ConfigurationError(
                f"the weights that WEIGHTS_PATH names cannot be loaded from {folder}: {reason}. Copy them once more"
            ),
        )

    def _load_version(self, version: str, folder: Path | None, fold: int | None) -> Predictor:
        found = folder or self._workspace.path(f"models/{version}")
        if not found.is_dir():
            raise DamagedModel(f"model version {version} has no folder; promote another version")
        return self._load(
            (version, fold),
            found,
            fold,
            None,
            lambda reason: DamagedModel(
                f"model version {version} cannot be loaded from {found}: {reason}. Restore the folder from a backup, or "
                "promote another version"
            ),
        )

    def _load(
        self,
        key: tuple[object, ...],
        folder: Path,
        fold: int | None,
        conventions: ModelConventions | None,
        damaged: Callable[[str], Exception],
    ) -> Predictor:
        from mrseg_label.nnunet.predict import Predictor

        def load() -> Predictor:
            try:
                return Predictor(folder, self.device, None if fold is None else [fold], conventions=conventions)
            except (ConfigurationError, Unavailable, MemoryError):
                raise
            except Exception as error:
                raise damaged(str(error) or repr(error)) from error

        loaded: Predictor = self._cache.get(key, load, lambda predictor: predictor.size_bytes)
        return loaded


def _of_scheme(uncertainty: Mapping[int, float] | None, table: NDArray[np.uint8]) -> dict[int, float] | None:
    """Translate to the label ids of the scheme; of several classes of one structure the mean. Background has none."""
    if uncertainty is None:
        return None
    found: dict[int, list[float]] = {}
    for label, value in uncertainty.items():
        if table[label]:
            found.setdefault(int(table[label]), []).append(value)
    return {label: sum(values) / len(values) for label, values in found.items()}
