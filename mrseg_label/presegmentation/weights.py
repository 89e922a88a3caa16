"""Which weights TotalSegmentator's network has: the published ones or the stand-in. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.resources import sample_data

# TotalSegmentator's task `total` with `fast=True` (3 mm): dataset, trainer and plans as published.
DATASET = "Dataset297_TotalSegmentator_total_3mm_1559subj"
MODEL = "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
CHECKPOINT = "fold_0/checkpoint_final.pth"
ENVIRONMENT = "TOTALSEG_WEIGHTS_PATH"
_STANDIN_WORDS = "Stand-in"

HOW_TO_INSTALL = (
    "To install TotalSegmentator's published weights: on a computer with internet access run "
    f"`{ENVIRONMENT}=FOLDER totalseg_download_weights -t total_fast`, or unpack {DATASET}.zip of the release "
    "v2.0.0-weights of https://github.com/wasserth/TotalSegmentator into FOLDER; copy FOLDER here; then set "
    f"{ENVIRONMENT} (in the environment or in mrseg.toml) to FOLDER, the one that holds {DATASET}"
)


class WeightsKind(StrEnum):
    """Where weights come from."""

    STAND_IN = "stand-in"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Weights:
    """Weights that are there.

    Attributes
    ----------
    path : the folder that ``TOTALSEG_WEIGHTS_PATH`` names.
    kind : the stand-in says what it is in its dataset.json; anything else counts as published.
    """

    path: Path
    kind: WeightsKind

    @property
    def model_folder(self) -> Path:
        """nnU-Net's folder of the trained model."""
        return self.path / DATASET / MODEL

    @property
    def checkpoint(self) -> Path:
        """The file of the weights themselves."""
        return self.model_folder / CHECKPOINT

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, hexadecimal."""
        with self.checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def description(self) -> str:
        """One sentence for doctor, the server's information and the README."""
        if self.kind is WeightsKind.STAND_IN:
            return (
                "stand-in weights for TotalSegmentator, trained on synthetic phantoms: good for demo and tests, "
                f"of no use for patients ({self.path})"
            )
        return f"TotalSegmentator's weights from {self.path}"

    @property
    def advice(self) -> str | None:
        """How to come to the published weights, where they are not in use."""
        return HOW_TO_INSTALL if self.kind is WeightsKind.STAND_IN else None


def find_weights(configured: Path | None = None) -> Weights:
    """The weights in use: those configured, else those of TOTALSEG_WEIGHTS_PATH, else the stand-in.

    Raises
    ------
    ConfigurationError
        A folder was named, but does not hold the weights of dataset 297; the message says which file is missing.
    Unavailable
        Nothing was named and the stand-in is missing from this installation.
    """
    named = configured or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    if named is not None:
        path = named.expanduser().absolute()
        _require(path, ConfigurationError, f"{ENVIRONMENT} is {path}")
    else:
        path = sample_data() / "weights"
        _require(path, Unavailable, "no weights are configured and the stand-in is not part of this installation")
    return Weights(path, _kind(path / DATASET / MODEL / "dataset.json"))


def require_weights(path: Path) -> None:
    """Check that a weights folder holds dataset 297.

    Raises
    ------
    Unavailable
        A file is missing; the message names it and says how to install the weights.
    """
    _require(path, Unavailable, f"TotalSegmentator's weights are looked for in {path}")


def _require(path: Path, error: type[Unavailable] | type[ConfigurationError], situation: str) -> None:
    for name in ("dataset.json", "plans.json", CHECKPOINT):
        file = path / DATASET / MODEL / name
        if not file.is_file():
            raise error(f"{situation}, but {file} is missing. {HOW_TO_INSTALL}")


def _kind(dataset_json: Path) -> WeightsKind:
    try:
        description = json.loads(dataset_json.read_text(encoding="utf-8")).get("description", "")
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{dataset_json} is not nnU-Net's description of a data set: {error}") from error
    return WeightsKind.STAND_IN if str(description).startswith(_STANDIN_WORDS) else WeightsKind.PUBLISHED
