"""Training profiles: from nnU-Net's own settings to a training of seconds for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mrseg_label.errors import ConfigurationError


@dataclass(frozen=True)
class NetworkShape:
    """Network and patch of a profile, instead of the planner's choice. Array axes are (Z, Y, X).

    Attributes
    ----------
    features_per_stage : of nnU-Net's PlainConvUNet; each stage after the first halves the grid.
    convs_per_stage : convolutions in each stage of encoder and decoder.
    patch_size : in voxels (Z, Y, X), each divisible by 2 once for every stage after the first.
    """

    features_per_stage: tuple[int, ...]
    patch_size: tuple[int, int, int]
    convs_per_stage: int = 1
    batch_size: int = 1


@dataclass(frozen=True)
class TrainingProfile:
    """A way to train.

    Attributes
    ----------
    epochs, iterations_per_epoch, validation_iterations : as in nnU-Net's trainer.
    folds : number of folds in a final round; other rounds train one.
    target_spacing_mm : spacing that images are resampled to, one number or three for the axes (X, Y, Z) of RAS; None leaves
        it to nnU-Net's planner.
    network : None leaves network, patch and batch to nnU-Net's planner.
    torch_resampling : resample with torch (trilinear) instead of nnU-Net's default (third order, on the CPU).
    short_schedule : AdamW with one cycle and annealed class weights, for trainings of a few hundred iterations, which are
        too short for nnU-Net's own schedule.
    peak_learning_rate : highest rate, that of nnU-Net's own schedule at its start and of the short one after warming up.
    warm_start_length, warm_start_rate : share of the epochs and of the learning rate with which a round continues an
        earlier one.
    checkpoint_seconds : write a checkpoint at the end of an epoch if the last one is older.
    process_pools : let nnU-Net start processes for preprocessing and augmentation.
    stock_augmentation : use nnU-Net's own augmentation (rotation, scale, noise, blur, contrast and others) apart from its
        mirroring; by default with its own schedule only.
    mirror_left_right : mirror half of the patches left to right, with the labels of paired structures swapped. Other axes
        are never mirrored, and predictions are not.
    nearest_labels : move the label map of a patch by nearest neighbour when the patch is rotated and scaled, instead of
        structure by structure by linear interpolation, whose time grows with the number of structures.
    inversion : probability that the grey values of a patch are inverted, as bright and dark fat are between contrasts.
    gamma : probability of a stronger gamma transform than nnU-Net's own (exponent 0.5 to 2, of the inverted image half of
        the time), after which mean and standard deviation are as before.
    small_structure_exponent : patches around a structure lie around one of n voxels with a weight of n to the power of minus
        this, divided by the share of cases in which it occurs; None draws all structures of a case alike, as nnU-Net does.
    compile_network : whether torch compiles the network; by default on a GPU with nnU-Net's own schedule, as nnU-Net does.
    """

    name: str
    epochs: int
    iterations_per_epoch: int
    validation_iterations: int
    folds: int = 5
    target_spacing_mm: float | Sequence[float] | None = None
    network: NetworkShape | None = None
    torch_resampling: bool = False
    short_schedule: bool = False
    peak_learning_rate: float = 1.2e-2
    warm_start_length: float = 1.0
    warm_start_rate: float = 1.0
    checkpoint_seconds: float = 20.0
    process_pools: bool = False
    stock_augmentation: bool | None = None
    mirror_left_right: bool = False
    nearest_labels: bool = False
    inversion: float = 0.0
    gamma: float = 0.0
    small_structure_exponent: float | None = None
    compile_network: bool | None = None

    @property
    def augments(self) -> bool:
        """Whether nnU-Net's own augmentation is used."""
        return not self.short_schedule if self.stock_augmentation is None else self.stock_augmentation

    @property
    def total_iterations(self) -> int:
        """Training iterations of one fold."""
        return self.epochs * self.iterations_per_epoch


PROFILES: dict[str, TrainingProfile] = {
    profile.name: profile
    for profile in (
        # nnU-Net's own planner, network, optimiser and 1,000 epochs; mirroring is off, since left and right differ.
        TrainingProfile(
            "full",
            epochs=1000,
            iterations_per_epoch=250,
            validation_iterations=50,
            peak_learning_rate=1e-2,
            warm_start_length=0.25,
            warm_start_rate=0.3,
            checkpoint_seconds=300.0,
            process_pools=True,
            nearest_labels=True,
        ),
        # nnU-Net's own network and optimiser on a grid of 3 mm, about an hour on one GPU.
        TrainingProfile(
            "fast",
            epochs=100,
            iterations_per_epoch=250,
            validation_iterations=20,
            target_spacing_mm=3.0,
            torch_resampling=True,
            peak_learning_rate=1e-2,
            warm_start_length=0.5,
            warm_start_rate=0.3,
            checkpoint_seconds=60.0,
            process_pools=True,
            nearest_labels=True,
        ),
        # A round of three minutes on two cores without a GPU.
        TrainingProfile(
            "tiny",
            epochs=30,
            iterations_per_epoch=20,
            validation_iterations=1,
            target_spacing_mm=6.0,
            network=NetworkShape(features_per_stage=(16, 32, 64, 128), patch_size=(40, 40, 64)),
            torch_resampling=True,
            short_schedule=True,
        ),
        # For tests of the process itself: the model learns nothing.
        TrainingProfile(
            "smoke",
            epochs=2,
            iterations_per_epoch=2,
            validation_iterations=1,
            target_spacing_mm=12.0,
            network=NetworkShape(features_per_stage=(4, 8, 16), patch_size=(16, 16, 32)),
            torch_resampling=True,
            short_schedule=True,
            checkpoint_seconds=0.0,
        ),
    )
}


def profile_named(name: str) -> TrainingProfile:
    """Return the profile of a name.

    Raises
    ------
    ConfigurationError
        No profile has that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ConfigurationError(f"TRAINING_PROFILE {name!r} is unknown; choose from {', '.join(PROFILES)}") from None
