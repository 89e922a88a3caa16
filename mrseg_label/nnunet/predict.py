"""Predict label maps on exactly the grid of the image, with a trained network that stays loaded.

The label maps are those of nnU-Net's own command: its preprocessor, sliding window and resampling do the work, in this
process. Its readers are left out: several hand the network an image as its file lies, whereas here every image comes in
the orientation that the model was trained on. Only workers use it, since it imports torch and nnU-Net.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.files import replacing
from mrseg_label.imaging import Geometry, canonical, from_canonical, load_image, write_nifti
from mrseg_label.nnunet.conventions import ModelConventions
from mrseg_label.nnunet.devices import find_device
from mrseg_label.nnunet.environment import (
    STOCK_TRAINER,
    available_cores,
    find_configuration_folder,
    log,
    plain_labels,
    prepare_for_prediction,
    quiet,
)
from mrseg_label.nnunet.left_out import require_extent
from mrseg_label.nnunet.memory import tensors_bytes
from mrseg_label.nnunet.modality import limit_ct, window_of
from mrseg_label.nnunet.pulse import beat_in

_NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Prediction:
    """What a network makes of an image.

    Parameters
    ----------
    label_map : (X, Y, Z) uint8 in the axis order of the file: label ids of the model's structures.
    uncertainty : for each label id that the network predicts anywhere (0 for background too), the mean over its voxels of
        1 - (probability of the structure - probability of the next), 0 to 1; None unless it was asked for.
    """

    label_map: NDArray[np.uint8]
    uncertainty: dict[int, float] | None


class Predictor:
    """A model that is loaded once and predicts many times.

    Parameters
    ----------
    model : a model folder; the folder with plans.json may lie up to two levels below.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    folds : folds whose predictions are averaged; all by default.
    threads : number of torch's threads on the CPU; one for each core by default.
    conventions : what the model expects and what its labels mean; read from its folder by default.

    Raises
    ------
    InvalidInput
        The folder does not hold exactly one complete nnU-Net model, lacks a fold, or does not say how the images of its
        training lay.
    ConfigurationError
        The device is unknown or does not exist.
    """

    def __init__(
        self,
        model: Path,
        device: str = "auto",
        folds: Sequence[int] | None = None,
        threads: int | None = None,
        conventions: ModelConventions | None = None,
    ) -> None:
        self.folder = find_configuration_folder(model)
        self.conventions = conventions or ModelConventions.read(self.folder)
        prepare_for_prediction()
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        self._threads = threads or available_cores()
        where, warning = find_device(device)
        if warning is not None:
            log.warning("%s", warning)
        if where.type == "cuda":
            torch.cuda.set_device(where)  # what names no card would otherwise reserve memory on the first
        found = sorted(
            path.parent.name.removeprefix("fold_") for path in self.folder.glob("fold_*/checkpoint_final.pth")
        )
        wanted = found if folds is None else [str(fold) for fold in folds]
        if not wanted or not set(wanted) <= set(found):
            raise InvalidInput(
                f"{self.folder} has the folds {', '.join(found) or '(none)'}, not {', '.join(wanted) or 'a single one'}; "
                "choose among them, or export the model again"
            )
        with quiet():
            self._predictor = nnUNetPredictor(use_mirroring=False, device=where, allow_tqdm=False)
            self._initialize(wanted)
        beat_in(self._predictor.network)

    @property
    def labels(self) -> dict[str, int]:
        """Label id of each structure of the model, without background and nnU-Net's label ``ignore``."""
        labels: dict[str, Any] = self._predictor.dataset_json["labels"]
        return plain_labels(labels)

    @property
    def size_bytes(self) -> int:
        """Memory that the network and the weights of all folds take, bytes."""
        return tensors_bytes(self._predictor.network, *self._predictor.list_of_parameters)

    @property
    def patch_mm(self) -> float:
        """Largest extent of the patches that the network sees, mm."""
        configuration = self._predictor.configuration_manager
        pairs = zip(configuration.patch_size[-3:], configuration.spacing[-3:], strict=False)
        return max(float(count) * float(mm) for count, mm in pairs)

    def check_weights(self) -> None:
        """Check that the network gets one image and that its weights are numbers.

        Raises
        ------
        InvalidInput
            A weight is not finite, so that every prediction is empty, or the network needs another one's prediction.
        """
        import torch

        if self._predictor.configuration_manager.previous_stage_name is not None:
            raise InvalidInput(
                "the model is the second stage of a cascade and needs the prediction of the first; use 3d_fullres"
            )
        for weights in self._predictor.list_of_parameters:
            for name, tensor in weights.items():
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise InvalidInput(f"the weights {name} of the model have values that are not finite numbers")

    def segment(self, image: Path, *, is_ct: bool = False) -> NDArray[np.uint8]:
        """Segment an image file.

        Parameters
        ----------
        image : NIfTI, NRRD or MetaImage in any orientation.
        is_ct : whether it is a CT; its values are limited as those of the model's training were.

        Returns
        -------
        (X, Y, Z) uint8 in the axis order of the file: label ids of the model's structures.

        Raises
        ------
        InvalidInput, GeometryError
            The image cannot be used.
        """
        return self.predict_file(image, is_ct=is_ct).label_map

    def predict_file(self, image: Path, *, is_ct: bool = False, uncertainty: bool = False) -> Prediction:
        """Segment an image file as :meth:`segment`, and tell how sure the network is as :meth:`predict`."""
        array, geometry, _ = load_image(image)
        window = window_of(self._predictor.dataset_json) if is_ct else None
        shown = array if window is None else limit_ct(array, window)
        return self.predict(shown, geometry, uncertainty=uncertainty)

    def segment_array(self, array: NDArray[Any], geometry: Geometry) -> NDArray[np.uint8]:
        """Segment an image (X, Y, Z) on the grid of ``geometry``; result as in :meth:`segment`."""
        return self.predict(array, geometry).label_map

    def predict(self, array: NDArray[Any], geometry: Geometry, *, uncertainty: bool = False) -> Prediction:
        """Segment an image (X, Y, Z) on the grid of ``geometry``, and tell how sure the network is of each structure.

        Parameters
        ----------
        uncertainty : whether to compute that too; it takes a fraction of the time of the network.
        """
        import torch

        from mrseg_label.nnunet.export import export_logits
        from mrseg_label.nnunet.preparing import prepare

        network = self._predictor
        data, properties = network_input(array, geometry, self.conventions.orientation)
        self._require_extent(data.shape[1:], properties["spacing"])
        threads = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with quiet():
                prepared, noted = prepare(
                    data, properties, network.plans_manager, network.configuration_manager, network.dataset_json
                )
                del data
                logits = network.predict_logits_from_preprocessed_data(torch.from_numpy(prepared))
                exported = export_logits(
                    logits,
                    noted,
                    network.plans_manager,
                    network.configuration_manager,
                    network.label_manager,
                    network.device,
                    threads=self._threads,
                    uncertainty=uncertainty,
                )
        finally:
            torch.set_num_threads(threads)
        mask: NDArray[np.uint8] = np.asarray(exported.label_map, dtype=np.uint8).transpose(2, 1, 0)
        return Prediction(from_canonical(mask, self.conventions.orientation, geometry), exported.uncertainty)

    def _require_extent(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
        """Raise :class:`InvalidInput` if nothing is left of an image at the spacing of the network."""
        order = self._predictor.plans_manager.transpose_forward
        spacing = [float(spacing_mm[axis]) for axis in order]
        target = [float(mm) for mm in self._predictor.configuration_manager.spacing]
        # A network for single slices keeps the spacing between them.
        require_extent([shape[axis] for axis in order], spacing, spacing[: 3 - len(target)] + target)

    def segment_to(self, image: Path, target: Path) -> None:
        """Segment an image and write the label map as NIfTI, with the very header of a NIfTI image."""
        mask = self.segment(image)
        if not image.name.endswith(_NIFTI):
            write_nifti(target, mask, load_image(image)[1])
            return
        header = nibabel.load(image).header.copy()
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        with replacing(target, durable=False, suffix="".join(target.suffixes)) as partial:
            nibabel.save(nibabel.Nifti1Image(mask, None, header), partial)

    def _initialize(self, folds: Sequence[str]) -> None:
        """Load the weights; trainers that may build a network of their own are left to nnU-Net's own loader."""
        import torch
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
        from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        files = [self.folder / f"fold_{fold}" / "checkpoint_final.pth" for fold in folds]
        checkpoints = [torch.load(file, map_location="cpu", weights_only=False) for file in files]
        trainer = checkpoints[0]["trainer_name"]
        if trainer not in (STOCK_TRAINER, "nnUNetTrainer"):
            numbers = tuple(fold if fold == "all" else int(fold) for fold in folds)
            self._predictor.initialize_from_trained_model_folder(str(self.folder), numbers)
            return
        # To find a trainer by name, nnU-Net imports all of its trainers, which takes seconds; these two are known.
        plans = PlansManager(str(self.folder / "plans.json"))
        dataset_json = json.loads((self.folder / "dataset.json").read_text())
        configuration = plans.get_configuration(checkpoints[0]["init_args"]["configuration"])
        network = nnUNetTrainer.build_network_architecture(
            plans,
            configuration,
            determine_num_input_channels(plans, configuration, dataset_json),
            plans.get_label_manager(dataset_json).num_segmentation_heads,
            enable_deep_supervision=False,
        )
        weights = [checkpoint["network_weights"] for checkpoint in checkpoints]
        network.load_state_dict(weights[0])
        self._predictor.manual_initialization(network, plans, configuration, weights, dataset_json, trainer, None)


def network_input(
    array: NDArray[Any], geometry: Geometry, orientation: str
) -> tuple[NDArray[np.float32], dict[str, list[float]]]:
    """Bring an image into the form in which nnU-Net's readers hand it over, in the orientation that a model expects.

    The result is the same, bit by bit, however the image's axes are stored.

    Parameters
    ----------
    array : (X, Y, Z) in any axis order, on the grid of ``geometry``.

    Returns
    -------
    data : (1, Z, Y, X) float32.
    properties : the spacing in mm, in the same order.
    """
    turned, spacing_mm = canonical(array, geometry, orientation)
    return turned.transpose(2, 1, 0)[None].astype(np.float32), {"spacing": list(spacing_mm[::-1])}
