"""Bring a trained model into nnU-Net's results layout, whose folders some groups leave out when they publish one.

The published MRSegmentator weights, for example, have ``plans.json`` at the root of their zip, or in ``base/``. What the
missing folders are called stands in ``plans.json`` and in the checkpoint.
"""

from __future__ import annotations

import json
import pickletools
import re
import shutil
import zipfile
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.registry.layout import CHECKPOINT, is_dataset_name, is_trained_name

_BASE = "base"
_UNKNOWN_DATASET, _UNKNOWN_TRAINER, _UNKNOWN_CONFIGURATION = "Dataset999_Imported", "nnUNetTrainer", "3d_fullres"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
# Of a training, and large; a prediction needs none of it.
_NOT_NEEDED = ("checkpoint_best.pth", "checkpoint_latest.pth", "validation", "validation_raw")
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE")


def copy_model(source: Path, target: Path) -> None:
    """Copy a trained model from a folder into the empty folder ``target``.

    Parameters
    ----------
    source : nnU-Net's folder of a data set, or one that holds it; or the folder with ``plans.json``.

    Raises
    ------
    InvalidInput
        The folder holds no trained model.
    """
    holds_plans = (source / "plans.json").is_file()
    if holds_plans and is_trained_name(source.name) and is_dataset_name(source.parent.name):
        into = target / source.parent.name / source.name
    elif is_dataset_name(source.name) and not holds_plans:
        into = target / source.name
    else:
        into = target
    if not any((source / pattern).is_file() for pattern in ("plans.json", f"{_BASE}/plans.json")) and not any(
        found for depth in ("*", "*/*") for found in source.glob(f"{depth}/plans.json")
    ):
        raise InvalidInput(f"{source} holds no plans.json; give the folder of one trained nnU-Net, or its zip")
    shutil.copytree(source, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_NOT_NEEDED))


def complete_layout(root: Path) -> None:
    """Move a model that lies directly in ``root``, or in one folder of it, into the folders of nnU-Net's layout.

    Other models beside it are dropped only if it lies in ``base``. A layout that is complete, or that is not understood, stays.
    """
    inner = [path.parent for path in sorted(root.glob("*/plans.json"))]
    base = root / _BASE
    if (root / "plans.json").is_file():
        folder = root
    elif base in inner:
        folder = base
    elif len(inner) == 1 and not any(is_dataset_name(path.name) for path in root.iterdir() if path.is_dir()):
        folder = inner[0]
    else:
        return
    if not any(folder.glob(f"fold_*/{CHECKPOINT}")):
        return
    try:
        plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
        data_set, name = str(plans.get("dataset_name")), str(plans.get("plans_name", "nnUNetPlans"))
        configurations = list(plans.get("configurations", ()))
    except (OSError, ValueError, AttributeError):
        return  # reading the model says so
    checkpoint = sorted(folder.glob(f"fold_*/{CHECKPOINT}"))[0]
    trainer, configuration = _strings_after(checkpoint, "trainer_name"), _strings_after(checkpoint, "configuration")
    if trainer is None or not _IDENTIFIER.fullmatch(trainer):
        trainer = _UNKNOWN_TRAINER
    if configuration not in configurations:
        configuration = configurations[0] if len(configurations) == 1 else _UNKNOWN_CONFIGURATION
    trained = folder.name if is_trained_name(folder.name) else f"{trainer}__{name}__{configuration}"
    aside = root.with_name(f"{root.name}-complete")
    target = aside / (data_set if is_dataset_name(data_set) else _UNKNOWN_DATASET) / trained
    target.parent.mkdir(parents=True)
    folder.rename(target)
    if root.exists():
        shutil.rmtree(root)
    aside.rename(root)


def _strings_after(checkpoint: Path, key: str) -> str | None:
    """Read the text that follows a key in a checkpoint, without running the code that may be in it."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            strings = [arg for op, arg, _ in pickletools.genops(archive.read(name)) if op.name in _STRINGS]
        return str(strings[strings.index(key) + 1])
    except (zipfile.BadZipFile, StopIteration, ValueError, IndexError, OSError):
        return None
