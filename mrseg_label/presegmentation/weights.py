"""Find TotalSegmentator's weights: the published ones or the stand-in. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.presegmentation.networks import TOTAL_FAST, TotalSegmentatorNetwork
from mrseg_label.resources import sample_data

# Folders of TotalSegmentator's task `total` with `fast=True` (3 mm), as published; the stand-in has these alone.
DATASET = TOTAL_FAST.folders[0]
MODEL = TOTAL_FAST.model
CHECKPOINT = "fold_0/checkpoint_final.pth"
ENVIRONMENT = "TOTALSEG_WEIGHTS_PATH"
_STAND_IN_DESCRIPTION = "Stand-in"  # how the description of the stand-in's data set begins


def how_to_install(network: TotalSegmentatorNetwork = TOTAL_FAST) -> str:
    """Say how the published weights of a task get to this machine."""
    archives = ", ".join(f"{folder}.zip" for folder in network.folders)
    return (
        f"To install TotalSegmentator's published weights of {network.name}: on a computer with internet access, run "
        f"`{ENVIRONMENT}=FOLDER totalseg_download_weights -t {network.download}`, or unpack {archives} of the release "
        f"{network.release} of https://github.com/wasserth/TotalSegmentator into FOLDER; copy FOLDER to this machine; then "
        f"set {ENVIRONMENT} (in the environment or in mrseg.toml) to FOLDER, which contains {network.folders[0]}"
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
    network: TotalSegmentatorNetwork = TOTAL_FAST

    @property
    def model_folder(self) -> Path:
        """The folder of the trained model, as nnU-Net lays it out; of several the first."""
        return self.path / self.network.folders[0] / self.network.model

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
        return how_to_install(self.network) if self.kind is WeightsKind.STAND_IN else None


def find_weights(configured: Path | None = None, network: TotalSegmentatorNetwork = TOTAL_FAST) -> Weights:
    """Find the weights in use: the configured ones, else those of TOTALSEG_WEIGHTS_PATH, else the stand-in.

    Raises
    ------
    ConfigurationError
        The folder that was named lacks a file of the network; the message names the file.
    Unavailable
        No folder was named, and the stand-in is missing from this installation or does not have the network.
    """
    named = configured or (Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None)
    if named is not None:
        path = named.expanduser().absolute()
        _require(path, network, ConfigurationError, f"{ENVIRONMENT} is {path}")
    else:
        path = sample_data() / "weights"
        if network is not TOTAL_FAST:
            raise Unavailable(f"the weights of {network.name} are not installed. {how_to_install(network)}")
        _require(
            path, network, Unavailable, "no weights are configured and the stand-in is not part of this installation"
        )
    return Weights(path, _kind(path / network.folders[0] / network.model / "dataset.json"), network)


def require_weights(path: Path, network: TotalSegmentatorNetwork = TOTAL_FAST) -> None:
    """Check that a folder contains the weights of a network.

    Raises
    ------
    Unavailable
        A file is missing; the message names it and explains how to install the weights.
    """
    _require(path, network, Unavailable, f"TotalSegmentator's weights are expected in {path}")


def model_files(path: Path, network: TotalSegmentatorNetwork) -> Iterator[Path]:
    """List the files that a network must have below the folder of the weights."""
    for folder in network.folders:
        for name in ("dataset.json", "plans.json", CHECKPOINT):
            yield path / folder / network.model / name


def _require(
    path: Path,
    network: TotalSegmentatorNetwork,
    error: type[Unavailable] | type[ConfigurationError],
    situation: str,
) -> None:
    for file in model_files(path, network):
        if not file.is_file():
            raise error(f"{situation}, but {file} is missing. {how_to_install(network)}")


def _kind(dataset_json: Path) -> WeightsKind:
    try:
        description = json.loads(dataset_json.read_text(encoding="utf-8")).get("description", "")
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{dataset_json} is not a valid data set description of nnU-Net: {error}") from error
    return WeightsKind.STAND_IN if str(description).startswith(_STAND_IN_DESCRIPTION) else WeightsKind.PUBLISHED
