"""How a round trains: epochs, learning rate, spacing and seed, fixed when it starts and kept with it.

A retry, another machine and each fold then train the same, whatever the settings say by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from mrseg_label.config import Settings
from mrseg_label.nnunet.profiles import TrainingProfile, profile_named

SEED, FOLDS = "seed", "folds"
# Keys that are no fields of a training profile.
_OF_THE_ROUND = (SEED, "kind")


class RoundKind(StrEnum):
    """What a round starts from."""

    FIRST = "first"  # no round before it; weights of CT, or random ones
    CONTINUED = "continued"  # the model of an earlier round
    FINAL = "final"  # nothing that has seen an annotated participant, for the ensemble that a project ends with


def choose_training_values(
    settings: Settings, kind: RoundKind, number: int, *, has_parent: bool = False
) -> dict[str, Any]:
    """Choose how a round trains.

    Parameters
    ----------
    number : of the round.
    has_parent : whether it starts from the model of a round, as a final one does that was pretrained.

    Returns
    -------
    As JSON: the fields of the training profile that settings can change, ``kind`` and ``seed``.
    """
    profile = profile_named(settings.training_profile)
    epochs = settings.training_epochs or profile.epochs
    rate = settings.training_learning_rate or profile.peak_learning_rate
    if kind is RoundKind.CONTINUED:
        # Where only the length of a first round is set, that of the others keeps the profile's share of it.
        epochs = settings.training_warm_start_epochs or max(1, round(profile.warm_start_length * epochs))
    if kind is RoundKind.CONTINUED or has_parent:
        rate = settings.training_warm_start_learning_rate or profile.warm_start_rate * rate
    spacing: Any = settings.training_spacing_mm or profile.target_spacing_mm
    if isinstance(spacing, tuple):
        spacing = spacing[0] if len(set(spacing)) == 1 else list(spacing)
    augmentation = {
        "mirror_left_right": settings.training_mirror_left_right,
        "inversion": settings.training_inversion,
        "gamma": settings.training_gamma,
        "small_structure_exponent": settings.training_small_structures,
    }
    return {
        **{key: value for key, value in augmentation.items() if value is not None},
        "kind": str(kind),
        "epochs": epochs,
        "iterations_per_epoch": settings.training_iterations_per_epoch or profile.iterations_per_epoch,
        "peak_learning_rate": rate,
        "target_spacing_mm": spacing,
        FOLDS: folds_of(settings, final=kind is RoundKind.FINAL),
        SEED: number if settings.training_seed is None else settings.training_seed,
    }


def folds_of(settings: Settings, *, final: bool) -> int:
    """Return the number of folds that a round trains."""
    if not final:
        return 1
    return settings.training_folds or profile_named(settings.training_profile).folds


def profile_changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the training profile among the values of a round; those of earlier versions have none."""
    known = TrainingProfile.__dataclass_fields__
    return {key: value for key, value in values.items() if key in known and key not in _OF_THE_ROUND}
