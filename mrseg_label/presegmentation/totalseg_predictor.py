"""Call TotalSegmentator's API with a predictor that stays loaded. Imports torch, nnU-Net and TotalSegmentator.

Import it only in worker processes, with TotalSegmentator's environment variables set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import torch
import totalsegmentator.nnunet  # patches nnU-Net's predictor, so it must come before our subclass
import totalsegmentator.python_api
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from totalsegmentator import nnunet_runtime_patches
from totalsegmentator.map_tasks_config import TASK_CONFIGS

from mrseg_label.errors import ConfigurationError
from mrseg_label.nnunet.export import export_logits
from mrseg_label.nnunet.memory import tensors_bytes
from mrseg_label.nnunet.pulse import beat_in
from mrseg_label.presegmentation.network_cache import NetworkCache
from mrseg_label.presegmentation.networks import TotalSegmentatorNetwork
from mrseg_label.presegmentation.weights import require_weights

_stock_export = nnunet_runtime_patches.convert_predicted_logits_to_segmentation_with_correct_shape

# The attributes that nnUNetPredictor.initialize_from_trained_model_folder sets.
_LOADED_ATTRIBUTES = (
    "plans_manager",
    "configuration_manager",
    "list_of_parameters",
    "network",
    "dataset_json",
    "trainer_name",
    "allowed_mirroring_axes",
    "label_manager",
)


class CachingPredictor(nnUNetPredictor):
    """nnU-Net's predictor, loaded once for a model folder and device, and predicting in this process.

    A subclass of it has a cache; TotalSegmentator makes the object and cannot hand one over.
    """

    cache: ClassVar[NetworkCache]

    def initialize_from_trained_model_folder(
        self, model_training_output_dir: str, use_folds: Any, checkpoint_name: str = "checkpoint_final.pth"
    ) -> None:
        """Load a model as nnU-Net does, or reuse the loaded one if its files have not changed."""
        folder = Path(model_training_output_dir)
        files = [*folder.glob("*.json"), *folder.glob(f"fold_*/{checkpoint_name}")]
        state = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(files))
        key = (state, str(use_folds), str(self.device))

        def load() -> dict[str, Any]:
            super(CachingPredictor, self).initialize_from_trained_model_folder(
                model_training_output_dir, use_folds, checkpoint_name
            )
            beat_in(self.network)
            return {name: getattr(self, name) for name in _LOADED_ATTRIBUTES}

        def size_bytes(loaded: dict[str, Any]) -> int:
            return tensors_bytes(loaded["network"], *loaded["list_of_parameters"])

        for name, value in self.cache.get(key, load, size_bytes).items():
            setattr(self, name, value)

    def predict_from_files(
        self,
        list_of_lists_or_source_folder: Any,
        output_folder_or_list_of_truncated_output_files: Any,
        save_probabilities: bool = False,
        overwrite: bool = True,
        *,
        folder_with_segs_from_prev_stage: str | None = None,
        **_process_options: Any,
    ) -> Any:
        """Predict by nnU-Net's sequential method: the same steps without process pools (15 s of imports)."""
        assert self.dataset_json is not None
        images: Any = list_of_lists_or_source_folder
        if isinstance(images, str):
            # nnU-Net forks a dozen processes to list a folder; here each case has one channel.
            images = [[str(file)] for file in sorted(Path(images).glob(f"*_0000{self.dataset_json['file_ending']}"))]
        return self.predict_from_files_sequential(
            images,
            output_folder_or_list_of_truncated_output_files,
            save_probabilities,
            overwrite,
            folder_with_segs_from_prev_stage,
        )


def run_api(
    image: nib.Nifti1Image, device: str, weights_dir: Path, network: TotalSegmentatorNetwork, cache: NetworkCache
) -> nib.Nifti1Image:
    """Call ``totalsegmentator(task=..., fast=..., ml=True)`` on an image in memory.

    Parameters
    ----------
    image : axes RAS.
    device : as the API names it: cpu, gpu or gpu:N.
    weights_dir : folder of the weights; missing ones are not downloaded.
    cache : keeps the networks loaded.

    Raises
    ------
    Unavailable
        The weights are missing.
    ConfigurationError
        The installed TotalSegmentator does not know the task.
    """
    if network.task not in TASK_CONFIGS:
        raise ConfigurationError(
            f"the installed TotalSegmentator {version('TotalSegmentator')} does not know the task {network.task}; choose "
            "another source, or install the version of TotalSegmentator that uv.lock names"
        )
    with _patched_api(weights_dir, network, cache):
        return totalsegmentator.python_api.totalsegmentator(
            image,
            None,
            ml=True,
            task=network.task,
            fast=network.fast,
            device=device,
            quiet=True,
            nr_thr_resamp=1,
            nr_thr_saving=1,
        )


def _export(
    logits: Any, plans: Any, configuration: Any, labels: Any, properties: Any, return_probabilities: bool = False,
    *options: Any, use_cropped_logits_resampling: bool = False, **more: Any,
) -> Any:  # fmt: skip
    """Convert logits to a label map by our own export where TotalSegmentator asks for no more than nnU-Net's."""
    if return_probabilities or use_cropped_logits_resampling:
        more["use_cropped_logits_resampling"] = use_cropped_logits_resampling
        return _stock_export(logits, plans, configuration, labels, properties, return_probabilities, *options, **more)
    # A process that predicts on a GPU has used it by now.
    device = torch.device("cuda" if torch.cuda.is_available() and torch.cuda.is_initialized() else "cpu")
    return export_logits(
        torch.as_tensor(logits), properties, plans, configuration, labels, device, threads=torch.get_num_threads()
    ).label_map


@contextmanager
def _patched_api(weights_dir: Path, network: TotalSegmentatorNetwork, cache: NetworkCache) -> Iterator[None]:
    """Replace the API's predictor by ours, and its download of weights by a check that they exist."""

    def check(_task_id: int) -> None:
        require_weights(weights_dir, network)

    predictor = type("CachingPredictor", (CachingPredictor,), {"cache": cache})
    replaced = (
        (nnunet_runtime_patches, "convert_predicted_logits_to_segmentation_with_correct_shape", _export),
        (totalsegmentator.nnunet, "nnUNetPredictor", predictor),
        (totalsegmentator.python_api, "download_pretrained_weights", check),
    )
    originals = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in originals:
            setattr(module, name, value)
