"""The layout of a model version on disk, which is that of nnU-Net's results.

``models/<version>/Dataset123_Name/<trainer>__<plans>__<configuration>/`` holds ``dataset.json``,
``plans.json`` and ``fold_<k>/checkpoint_final.pth``. nnU-Net's archive of a trained model is such a folder in a
zip, so the files of a version are archived as they are, and those of an archive are stored as they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.companions import is_companion, is_companion_folder
from mrseg_label.errors import InvalidInput
from mrseg_label.files import sha256_of
from mrseg_label.nnunet.environment import plain_labels

_DATASET = re.compile(r"Dataset\d{3}_[A-Za-z0-9_.-]+")
_TRAINED = re.compile(r"[A-Za-z0-9_.-]+?__[A-Za-z0-9_.-]+?__[A-Za-z0-9_.-]+")
_FOLD = re.compile(r"fold_(\d+|all)")
CHECKPOINT = "checkpoint_final.pth"
CARD_FILE, CARD_TEXT_FILE = "data_set_card.json", "DATA_SET_CARD.md"  # beside plans.json


@dataclass(frozen=True)
class TrainedModel:
    """A trained nnU-Net model on disk.

    Attributes
    ----------
    folder : absolute path of the folder named after trainer, plans and configuration.
    folds : names of the folds that have a final checkpoint.
    dataset : content of ``dataset.json``.
    """

    folder: Path
    folds: tuple[str, ...]
    dataset: dict[str, Any]

    @property
    def label_names(self) -> dict[str, int]:
        """Label id of each structure by name, without background and nnU-Net's label ``ignore``."""
        return plain_labels(self.dataset["labels"])


def read_model(root: Path) -> TrainedModel:
    """Find and check the trained model under ``root``.

    Raises
    ------
    InvalidInput
        The folder is not in nnU-Net's results layout; the message names what is missing.
    """
    datasets = sorted(entry for entry in root.iterdir() if entry.is_dir() and not is_companion_folder(entry.name))
    if len(datasets) != 1 or not _DATASET.fullmatch(datasets[0].name):
        found = ", ".join(entry.name for entry in datasets) or "nothing"
        raise InvalidInput(
            f"a model must lie in one folder with a name such as nnU-Net's Dataset123_Name; found: {found}"
        )
    trained = sorted(entry for entry in datasets[0].iterdir() if entry.is_dir() and _TRAINED.fullmatch(entry.name))
    if len(trained) != 1:
        raise InvalidInput(
            f"{datasets[0].name} must hold one folder named TRAINER__PLANS__CONFIGURATION, and holds {len(trained)}; "
            "export one configuration at a time"
        )
    folder = trained[0]
    for name in ("dataset.json", "plans.json"):
        if not (folder / name).is_file():
            raise InvalidInput(f"{datasets[0].name}/{folder.name} has no {name}; export the model with nnU-Net again")
    folds = sorted(
        entry.parent.name for entry in folder.glob(f"fold_*/{CHECKPOINT}") if _FOLD.fullmatch(entry.parent.name)
    )
    if not folds:
        raise InvalidInput(
            f"{datasets[0].name}/{folder.name} has no fold with a {CHECKPOINT}; export it when it is trained to the end"
        )
    return TrainedModel(folder, tuple(folds), _dataset_json(folder / "dataset.json"))


def is_dataset_name(name: str) -> bool:
    """Whether a folder is named as nnU-Net names that of a data set."""
    return _DATASET.fullmatch(name) is not None


def is_trained_name(name: str) -> bool:
    """Whether a folder is named TRAINER__PLANS__CONFIGURATION."""
    return _TRAINED.fullmatch(name) is not None


def check_channels(model: TrainedModel) -> None:
    """Check that the model takes one image, as ours are.

    Raises
    ------
    InvalidInput
        It takes several, or its files do not say how many.
    """
    channels = model.dataset.get("channel_names", model.dataset.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise InvalidInput("dataset.json of the model has no channel_names; export the model again")
    if len(channels) != 1:
        names = ", ".join(map(str, channels.values()))
        raise InvalidInput(
            f"the model takes {len(channels)} channels ({names}), but a draft is made from one image; train a model on "
            "single images"
        )


def read_card(model: TrainedModel) -> dict[str, Any]:
    """Read the card of the data set that came with a model; empty if there is none that can be read."""
    try:
        card = json.loads((model.folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def tree_digest(root: Path) -> str:
    """SHA-256 over the names and digests of all files under ``root``, in a fixed order."""
    total = hashlib.sha256()
    for file in files_of(root):
        total.update(f"{sha256_of(file)}  {file.relative_to(root).as_posix()}\n".encode())
    return total.hexdigest()


def files_of(root: Path) -> list[Path]:
    """All files under ``root`` except companions of operating systems, sorted by their path from there."""
    files = ((entry.relative_to(root), entry) for entry in root.rglob("*") if entry.is_file())
    return [file for relative, file in sorted(files, key=lambda pair: pair[0].as_posix()) if not is_companion(relative)]


def _dataset_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        valid = isinstance(content, dict) and all(type(value) is int for value in content["labels"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"{path.parent.name}/dataset.json cannot be read ({type(error).__name__}: {error}); export the model again"
        ) from error
    if not valid:
        raise InvalidInput(
            f"{path.parent.name}/dataset.json must give one number to each label; nnU-Net's regions are not supported"
        )
    return content
