"""Find TotalSegmentator's weights: the published ones or the stand-in. Loads no torch."""

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

# Folders of TotalSegmentator's task `total` with `fast=True` (3 mm), as published.
DATASET = "Dataset297_TotalSegmentator_total_3mm_1559subj"
MODEL = "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
CHECKPOINT = "fold_0/checkpoint_final.pth"
ENVIRONMENT = "TOTALSEG_WEIGHTS_PATH"
_STAND_IN_DESCRIPTION = "Stand-in"  # how the description of the stand-in's data set begins

HOW_TO_INSTALL = (
    "To install TotalSegmentator's published weights: on a computer with internet access, run "
    f"`{ENVIRONMENT}=FOLDER totalseg_download_weights -t total_fast`, or unpack {DATASET}.zip of the release "
    "v2.0.0-weights of https://github.com/wasserth/TotalSegmentator into FOLDER; copy FOLDER to this machine; then set "
    f"{ENVIRONMENT} (in the environment or in mrseg.toml) to FOLDER, which contains {DATASET}"
)


class WeightsKind(StrEnum):
    """Origin of the weights."""

    STAND_IN = "stand-in"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Weights:
    """Weights that were found.

    Attributes
    ----------
    path : the folder that ``TOTALSEG_WEIGHTS_PATH`` names.
    kind : whether dataset.json describes the stand-in; everything else counts as published.
    """

    path: Path
    kind: WeightsKind

    @property
    def model_folder(self) -> Path:
        """The folder of the trained model, as nnU-Net lays it out."""
        return self.path / DATASET / MODEL

    @property
    def checkpoint(self) -> Path:
        """The file with the weights themselves."""
        return self.model_folder / CHECKPOINT

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, hexadecimal."""
        with self.checkpoint.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def description(self) -> str:
        """One sentence that says which weights these are, for ``doctor`` and the server's ``/info``."""
        if self.kind is WeightsKind.STAND_IN:
            return (
                "stand-in weights for TotalSegmentator, trained on synthetic phantoms: good for the demo and tests, "
                f"of no use for patients ({self.path})"
            )
        return f"TotalSegmentator's weights from {self.path}"

    @property
    def advice(self) -> str | None:
        """How to install the published weights; None if they are in use."""
        return HOW_TO_INSTALL if self.kind is WeightsKind.STAND_IN else None


def find_weights(configured: Path | None = None) -> Weights:
    """Find the weights in use: the configured ones, else those of TOTALSEG_WEIGHTS_PATH, else the stand-in.

    Raises
    ------
    ConfigurationError
        The folder that was named lacks a file of dataset 297; the message names the file.
    Unavailable
        No folder was named, and the stand-in is missing from this installation.
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
    """Check that a folder contains the weights of dataset 297.

    Raises
    ------
    Unavailable
        A file is missing; the message names it and explains how to install the weights.
    """
    _require(path, Unavailable, f"TotalSegmentator's weights are expected in {path}")


def _require(path: Path, error: type[Unavailable] | type[ConfigurationError], situation: str) -> None:
    for name in ("dataset.json", "plans.json", CHECKPOINT):
        file = path / DATASET / MODEL / name
        if not file.is_file():
            raise error(f"{situation}, but {file} is missing. {HOW_TO_INSTALL}")


def _kind(dataset_json: Path) -> WeightsKind:
    try:
        description = json.loads(dataset_json.read_text(encoding="utf-8")).get("description", "")
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{dataset_json} is not a valid data set description of nnU-Net: {error}") from error
    return WeightsKind.STAND_IN if str(description).startswith(_STAND_IN_DESCRIPTION) else WeightsKind.PUBLISHED
