"""Model folders that plain nnU-Net can predict with; the registry zips them as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.files import new_folder
from mrseg_label.nnunet.environment import CONFIGURATION, PLANS, STOCK_TRAINER


def write_model_folder(results: Path, model: Path, dataset: str, folds: Sequence[int]) -> Path:
    """Export a training as a model folder of the stock trainer. Imports torch.

    Parameters
    ----------
    results : folder of the trained configuration, with plans.json, dataset.json and fold_*.
    folds : numbers of the folds to export.
    model : folder to create; it appears whole or not at all.
    dataset : ``DatasetNNN_name``.

    Returns
    -------
    ``<model>/<dataset>/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres``.

    Raises
    ------
    InvalidInput
        ``model`` exists already.
    """
    import torch

    if model.exists():
        raise InvalidInput(f"{model} exists already; a model version is never overwritten")
    inner = Path(dataset) / f"{STOCK_TRAINER}__{PLANS}__{CONFIGURATION}"
    with new_folder(model) as partial:
        target = partial / inner
        target.mkdir(parents=True)
        shutil.copyfile(results / "plans.json", target / "plans.json")
        dataset_json = json.loads((results / "dataset.json").read_text())
        dataset_json.pop("dataset", None)  # names of training cases must not leave with the model
        (target / "dataset.json").write_text(json.dumps(dataset_json, indent=1))
        for fold in folds:
            checkpoint = torch.load(
                results / f"fold_{fold}" / "checkpoint_final.pth", map_location="cpu", weights_only=False
            )
            (target / f"fold_{fold}").mkdir()
            exported = {
                "network_weights": checkpoint["network_weights"],
                "trainer_name": STOCK_TRAINER,
                "init_args": {"configuration": CONFIGURATION, "fold": fold},
                "inference_allowed_mirroring_axes": None,
                "current_epoch": checkpoint["current_epoch"],
                "logging": checkpoint["logging"],
                "_best_ema": checkpoint["_best_ema"],
                "optimizer_state": None,
                "grad_scaler_state": None,
            }
            torch.save(exported, target / f"fold_{fold}" / "checkpoint_final.pth")
    return model / inner
