"""Model folders and zips that plain nnU-Net installs and predicts with."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.nnunet.environment import CONFIGURATION, PLANS, STOCK_TRAINER
from mrseg_label.nnunet.warm_start import find_configuration_folder

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes


def write_model_folder(results: Path, model: Path, dataset: str, folds: Sequence[int]) -> Path:
    """Export a training as a model folder of the stock trainer. Imports torch.

    Parameters
    ----------
    results : folder of the trained configuration, with plans.json, dataset.json and fold_*.
    model : folder to write to; it appears whole or not at all.
    dataset : ``DatasetNNN_name``.

    Returns
    -------
    ``<model>/<dataset>/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres``.

    Raises
    ------
    InvalidInput
        ``model`` exists.
    """
    import torch

    if model.exists():
        raise InvalidInput(f"{model} exists; a model version is written once")
    partial = model.with_name(f".{model.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    inner = Path(dataset) / f"{STOCK_TRAINER}__{PLANS}__{CONFIGURATION}"
    target = partial / inner
    target.mkdir(parents=True)
    try:
        shutil.copyfile(results / "plans.json", target / "plans.json")
        dataset_json = json.loads((results / "dataset.json").read_text())
        dataset_json.pop("dataset", None)  # names of the training cases are nobody's business who gets the model
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
        os.rename(partial, model)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model / inner


def write_archive(model: Path, archive: Path) -> None:
    """Pack a model folder into the zip that ``nnUNetv2_install_pretrained_model_from_zip`` installs.

    The zip appears whole or not at all, and the same model gives the same bytes.

    Raises
    ------
    InvalidInput
        The folder holds no nnU-Net model.
    """
    configuration = find_configuration_folder(model)
    root = configuration.parent.parent
    files = [configuration / "plans.json", configuration / "dataset.json"]
    files += sorted(configuration.glob("fold_*/checkpoint_final.pth"))
    partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as zipped:
            for file in files:
                entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), _ZIP_TIME)
                entry.external_attr = 0o644 << 16
                # Weights do not shrink by deflating.
                entry.compress_type = zipfile.ZIP_STORED if file.suffix == ".pth" else zipfile.ZIP_DEFLATED
                with file.open("rb") as source, zipped.open(entry, "w", force_zip64=True) as packed:
                    shutil.copyfileobj(source, packed, 1024**2)
        os.replace(partial, archive)
    finally:
        partial.unlink(missing_ok=True)


def read_archive(archive: Path, model: Path) -> Path:
    """Unpack a zip of one nnU-Net model into a new model folder.

    A checkpoint is executed when it is loaded, so only admins may bring one.

    Returns
    -------
    The configuration folder.

    Raises
    ------
    InvalidInput
        Not a zip, a path that leads out of the folder, or not one nnU-Net model; or ``model`` exists.
    """
    if model.exists():
        raise InvalidInput(f"{model} exists; a model version is written once")
    partial = model.with_name(f".{model.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                path = Path(entry.filename)
                if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
                    raise InvalidInput(f"{archive.name}: the entry {entry.filename!r} leads out of the model's folder")
            zipped.extractall(partial)
        inner = find_configuration_folder(partial).relative_to(partial)
        os.rename(partial, model)
    except (zipfile.BadZipFile, OSError) as error:
        raise InvalidInput(f"{archive} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model / inner
