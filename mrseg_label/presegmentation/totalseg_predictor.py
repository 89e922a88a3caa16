"""Call TotalSegmentator's API with a predictor that stays loaded. Imports torch, nnU-Net and TotalSegmentator.

Import it only in worker processes, with TotalSegmentator's environment variables set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import totalsegmentator.nnunet  # patches nnU-Net's predictor, so it must come before our subclass
import totalsegmentator.python_api
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from mrseg_label.nnunet.pulse import beat_in
from mrseg_label.presegmentation.weights import require_weights

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
_loaded: dict[tuple[Any, ...], dict[str, Any]] = {}


class CachingPredictor(nnUNetPredictor):
    """nnU-Net's predictor, loaded once for a model folder and device, and predicting in this process."""

    def initialize_from_trained_model_folder(
        self, model_training_output_dir: str, use_folds: Any, checkpoint_name: str = "checkpoint_final.pth"
    ) -> None:
        """Load a model as nnU-Net does, or reuse the loaded one if its files have not changed."""
        folder = Path(model_training_output_dir)
        files = [*folder.glob("*.json"), *folder.glob(f"fold_*/{checkpoint_name}")]
        state = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(files))
        key = (state, str(use_folds), str(self.device))
        if key not in _loaded:
            super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)
            beat_in(self.network)
            _loaded.clear()  # keep one network in memory
            _loaded[key] = {name: getattr(self, name) for name in _LOADED_ATTRIBUTES}
        for name, value in _loaded[key].items():
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


def forget() -> None:
    """Drop the network that is kept loaded."""
    _loaded.clear()


def run_api(image: nib.Nifti1Image, device: str, weights_dir: Path) -> nib.Nifti1Image:
    """Call ``totalsegmentator(task="total", fast=True, ml=True)`` on an image in memory.

    Parameters
    ----------
    image : axes RAS.
    device : as the API names it: cpu, gpu or gpu:N.
    weights_dir : folder of the weights; missing ones are not downloaded.

    Raises
    ------
    Unavailable
        The weights are missing.
    """
    with _patched_api(weights_dir):
        return totalsegmentator.python_api.totalsegmentator(
            image, None, ml=True, task="total", fast=True, device=device, quiet=True, nr_thr_resamp=1, nr_thr_saving=1
        )


@contextmanager
def _patched_api(weights_dir: Path) -> Iterator[None]:
    """Replace the API's predictor by ours, and its download of weights by a check that they exist."""

    def check(_task_id: int) -> None:
        require_weights(weights_dir)

    replaced = (
        (totalsegmentator.nnunet, "nnUNetPredictor", CachingPredictor),
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
