"""Pre-segmentation by TotalSegmentator's own Python API, offline and in a long-running process.

The API is called as published. It would start two pools of processes and load the network on every call; this is
avoided by giving it a predictor that stays loaded, see :mod:`mrseg_label.presegmentation.totalseg_predictor`.

References
----------
Wasserthal J et al. TotalSegmentator: robust segmentation of 104 anatomic structures in CT images. Radiol Artif
Intell 2023;5:e230024. https://doi.org/10.1148/ryai.230024
Isensee F et al. nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation. Nat
Methods 2021;18:203. https://doi.org/10.1038/s41592-020-01008-z
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import ConfigurationError
from mrseg_label.imaging import Geometry, from_canonical, load_image
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import parse_device
from mrseg_label.presegmentation.network_cache import NetworkCache, limit_on
from mrseg_label.presegmentation.networks import TOTAL_FAST, TotalSegmentatorNetwork
from mrseg_label.presegmentation.preparation import network_input
from mrseg_label.presegmentation.sources import Preparation
from mrseg_label.presegmentation.weights import ENVIRONMENT, require_weights

# TotalSegmentator keeps its settings in config.json of this folder, and sends usage statistics unless told not to.
_HOME = "TOTALSEG_HOME_DIR"
_SETTINGS = {
    "totalseg_id": "mrseg-label",
    "send_usage_stats": False,
    "statistics_disclaimer_shown": True,
    "prediction_counter": 0,
}
# One call at a time in a process: the API works with environment variables and replaces sys.stdout.
_LOCK = threading.Lock()

Image = tuple[NDArray[Any], Geometry]


class TotalSegmentatorRuntime:
    """One task of TotalSegmentator, by default ``total`` with ``fast=True`` (3 mm, dataset 297).

    Parameters
    ----------
    weights_dir : the folder that contains the folders of the data sets, as TOTALSEG_WEIGHTS_PATH names it.
    home_dir : a folder used by this process alone; TotalSegmentator's settings are written there.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    network : the task.
    cache : keeps its networks loaded, beside others; one of its own by default.

    Raises
    ------
    Unavailable
        The weights are missing; nothing is ever downloaded.
    ConfigurationError
        The device is unknown or does not exist.
    """

    def __init__(
        self,
        weights_dir: Path,
        home_dir: Path,
        device: str = "auto",
        network: TotalSegmentatorNetwork = TOTAL_FAST,
        cache: NetworkCache | None = None,
    ) -> None:
        self.weights_dir = Path(weights_dir).absolute()
        self.home_dir = Path(home_dir).absolute()
        self.network = network
        require_weights(self.weights_dir, network)
        self.device = _api_device(device)
        self.cache = NetworkCache(lambda: limit_on(device)) if cache is None else cache

    def segment(self, image: Path | Image, preparation: Preparation | str, scheme: LabelScheme) -> NDArray[np.uint8]:
        """Segment an image.

        Parameters
        ----------
        image : a file, or an array (X, Y, Z) with its geometry. MR in any units, or CT in HU (raw).
        preparation : how the image is prepared.
        scheme : the result has its label ids; classes without a structure in it become background.

        Returns
        -------
        (X, Y, Z) uint8 on exactly the image's grid, in the image's axis order.

        Raises
        ------
        GeometryError, InvalidInput
            The image cannot be read, or TotalSegmentator returned a different grid than it was given.
        Unavailable
            The weights have been removed.
        ConfigurationError
            The installed TotalSegmentator does not know the task.
        """
        if isinstance(image, tuple):
            array, geometry = image
        else:
            array, geometry, _ = load_image(image)
        prepared, grid = network_input(array, geometry, Preparation(preparation))
        labels = self.network.lookup(scheme)[self.total_ids(prepared, grid)]
        return from_canonical(labels, self.network.orientation, geometry)

    def total_ids(self, array: NDArray[np.int16], geometry: Geometry) -> NDArray[np.uint8]:
        """Run the API on a prepared image.

        Parameters
        ----------
        array : (X, Y, Z) int16 in HU or made to resemble it, axes RAS.
        geometry : its grid.

        Returns
        -------
        (X, Y, Z) uint8, the class ids of the task, on the same grid.
        """
        import nibabel as nib

        image = nib.Nifti1Image(array, geometry.affine)
        with _LOCK, self._environment():
            require_weights(self.weights_dir, self.network)
            self._write_settings()
            from mrseg_label.presegmentation import totalseg_predictor

            result = totalseg_predictor.run_api(image, self.device, self.weights_dir, self.network, self.cache)
        found = Geometry(result.shape, result.affine)
        geometry.require(found, "TotalSegmentator returned a different grid than it was given")
        ids: NDArray[np.uint8] = np.asanyarray(result.dataobj).astype(np.uint8, copy=False)
        return ids

    def _write_settings(self) -> None:
        self.home_dir.mkdir(parents=True, exist_ok=True)
        (self.home_dir / "config.json").write_text(json.dumps(_SETTINGS), encoding="utf-8")

    @contextmanager
    def _environment(self) -> Iterator[None]:
        """Set the variables that TotalSegmentator and nnU-Net read, and restore the environment afterwards.

        A training that this process starts later must not inherit TotalSegmentator's folders.
        """
        saved = dict(os.environ)
        os.environ[_HOME] = str(self.home_dir)
        os.environ[ENVIRONMENT] = str(self.weights_dir)
        # nnU-Net resamples with 8 threads by default, whatever the machine has.
        os.environ["nnUNet_def_n_proc"] = str(os.cpu_count() or 1)  # noqa: SIM112
        try:
            yield
        finally:
            for name in set(os.environ) - set(saved):
                del os.environ[name]
            os.environ.update(saved)


def _api_device(name: str) -> str:
    """Translate a device to the names of TotalSegmentator's API: cpu, gpu or gpu:N."""
    kind, number = parse_device(name)
    if kind == "cpu":
        return "cpu"
    import torch

    if kind == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    number = number or 0
    if number >= torch.cuda.device_count():
        raise ConfigurationError(
            f"DEVICE is {name!r}, but torch finds {torch.cuda.device_count()} CUDA devices; set DEVICE=cpu"
        )
    return f"gpu:{number}"
