"""Settings of trainings: the table ``[training]`` of ``mrseg.toml``, whose default is that of the profile in each case."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

Millimetres = Annotated[float, Field(gt=0, le=50)]


def _spacing(value: Any) -> Any:
    """Read one number, for all three axes, or three, in a list or separated by commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[] ").split(",")]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    return value * 3 if isinstance(value, list) and len(value) == 1 else value


Spacing = Annotated[tuple[Millimetres, Millimetres, Millimetres] | None, NoDecode, BeforeValidator(_spacing)]


class TrainingSettings(BaseSettings):
    """How rounds train, where that differs from the profile."""

    training_epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="epochs of a first round and of a final one; those of the profile by default",
    )
    training_iterations_per_epoch: int | None = Field(
        None, ge=1, le=100_000, description="iterations of an epoch; those of the profile by default"
    )
    training_spacing_mm: Spacing = Field(
        None,
        description="spacing that images are resampled to, mm: one number, or three from left to right, back to front and "
        "bottom to top; that of the profile by default",
    )
    training_folds: int | None = Field(
        None, ge=1, le=20, description="folds of a final round; those of the profile by default"
    )
    training_learning_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="highest learning rate of a first round and of a final one; that of the profile by default",
    )
    training_warm_start_epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="epochs of a round that continues an earlier one; those of the profile by default",
    )
    training_warm_start_learning_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="highest learning rate of a round that continues an earlier one; that of the profile by default",
    )
    training_seed: int | None = Field(
        None, ge=0, lt=2**31, description="seed of every round; the number of the round by default"
    )
    training_mirror_left_right: bool | None = Field(
        None, description="mirror half of the patches left to right, with the labels of paired structures swapped"
    )
    training_inversion: float | None = Field(
        None, ge=0, le=1, description="probability that the grey values of a patch are inverted"
    )
    training_gamma: float | None = Field(
        None, ge=0, le=1, description="probability of a gamma transform of a patch, beside nnU-Net's own"
    )
    training_small_structures: float | None = Field(
        None,
        ge=0,
        le=2,
        description="exponent with which patches lie around small and rare structures more often; none draws all alike",
    )
