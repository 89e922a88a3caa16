"""Find the published MRSegmentator weights, and what nnU-Net's files do not say of them. Loads no torch.

The weights are a trained nnU-Net: ``plans.json``, ``dataset.json`` and ``fold_0`` to ``fold_4``, each with
``checkpoint_final.pth``. Until version 1.3 they lay at the root of the folder that MRSEG_WEIGHTS_PATH names; later ones lie
in ``base/`` there, beside models for other tasks. Labels are named "1" to "40", the numbers of the published table, and
the trainer is nnUNetTrainerNoMirroring. MRSegmentator's own reader turns every image to LPS.

References
----------
Häntze H et al. MRSegmentator: multi-modality segmentation of 40 classes in MRI and CT. Radiol Artif Intell 2025.
https://doi.org/10.1148/ryai.240777 and https://github.com/hhaentze/MRSegmentator
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label.errors import ConfigurationError, InvalidInput, Unavailable
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import find_configuration_folder, plain_labels
from mrseg_label.presegmentation.networks import MRSEGMENTATOR_NETWORK

if TYPE_CHECKING:
    from mrseg_label.nnunet.conventions import ModelConventions

SETTING = "WEIGHTS_PATH"
_BASE = "base"
HOW_TO_INSTALL = (
    "To install the published MRSegmentator weights: on a computer with internet access, download weights.zip from a "
    "release of https://github.com/hhaentze/MRSegmentator and unpack it (or copy the folder ~/.mrsegmentator of an "
    f"installation that has been used); copy the folder to this machine; then set {SETTING} in mrseg.toml, or the variable "
    f"MRSEG_{SETTING}, to the folder, which contains plans.json or {_BASE}/plans.json"
)


def find_mrsegmentator(configured: Path | None) -> Path:
    """Find the folder with ``plans.json`` of the configured weights: the folder itself, or ``base`` in it.

    A folder that holds a single trained nnU-Net up to two levels below is taken as well.

    Raises
    ------
    Unavailable
        No folder is configured.
    ConfigurationError
        The folder does not hold such weights.
    """
    if configured is None:
        raise Unavailable(f"the MRSegmentator weights are not installed. {HOW_TO_INSTALL}")
    path = configured.expanduser()
    if not path.is_dir():
        raise ConfigurationError(f"{SETTING} is {path}, which is not a folder; name the unpacked weights, or remove it")
    candidates = [folder for folder in (path, path / _BASE) if (folder / "plans.json").is_file()]
    for folder in candidates:
        if (folder / "dataset.json").is_file() and any(folder.glob("fold_*/checkpoint_final.pth")):
            return folder
    try:
        return find_configuration_folder(path)
    except InvalidInput as error:
        raise ConfigurationError(f"{SETTING} is {path}, but {error}") from error


def mrsegmentator_conventions(folder: Path, scheme: LabelScheme) -> ModelConventions:
    """State what the published weights expect and mean.

    Parameters
    ----------
    folder : with their ``dataset.json``.

    Raises
    ------
    ConfigurationError
        ``dataset.json`` cannot be read, or a label is neither a number of the published table nor a structure of the
        scheme; then the weights are others, and must be imported with what their labels mean.
    """
    from mrseg_label.nnunet.conventions import ModelConventions  # NumPy and nibabel are behind it

    try:
        labels = plain_labels(json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{folder / 'dataset.json'} of {SETTING} cannot be read ({error!r})") from error
    by_class = {number: name for name, ids in MRSEGMENTATOR_NETWORK.structures(scheme).items() for number in ids}
    published = set().union(*MRSEGMENTATOR_NETWORK.structures(LabelScheme.default()).values())
    structures: dict[str, str | None] = {}
    for label in labels:
        if label.isdigit() and int(label) in published:
            structures[label] = by_class.get(int(label))
        elif label in scheme:
            structures[label] = label
        else:
            raise ConfigurationError(
                f"{SETTING} is {folder}, whose label {label!r} is none of the published MRSegmentator weights ('1' to "
                f"{str(max(published))!r}). For other weights, say what their labels mean: mrseg-label models import {folder} "
                "--orientation AXES --labels MAP"
            )
    return ModelConventions(MRSEGMENTATOR_NETWORK.orientation, structures)
