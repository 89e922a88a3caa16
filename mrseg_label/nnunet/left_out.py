"""Cases that a training cannot use: found where possible before anything is planned, and named with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import nibabel.orientations as nibo

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry
from mrseg_label.nnunet.splits import Split

_NAMED_AT_MOST = 10
OUT_OF_MEMORY = ("out of memory", "allocate memory")  # in messages of torch: not the fault of a case


def describe_left_out(left_out: Mapping[str, str]) -> str:
    """Name the cases that were left out with their reasons, in one line."""
    shown = [f"{case} ({reason})" for case, reason in list(left_out.items())[:_NAMED_AT_MOST]]
    more = len(left_out) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def check_extent(spacing_mm: float | Sequence[float] | None) -> Callable[[Geometry], None]:
    """Return a check of grids for images that are resampled.

    Parameters
    ----------
    spacing_mm : one number, or three for the axes of RAS; None if nnU-Net chooses it.
    """

    def check(geometry: Geometry) -> None:
        if spacing_mm is not None:
            target = spacing_mm if isinstance(spacing_mm, Sequence) else (spacing_mm,) * 3
            axes = nibo.io_orientation(geometry.affine)[:, 0].astype(int)  # of RAS, for each axis of the array
            require_extent(geometry.shape, geometry.spacing_mm, [float(target[axis]) for axis in axes])

    return check


def require_extent(shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]) -> None:
    """Raise :class:`InvalidInput` if nothing would be left of an image that is resampled.

    Parameters
    ----------
    shape, spacing_mm, target_mm : voxels, spacing and spacing to resample to along each axis, in one order.
    """
    for voxels, spacing, target in zip(shape, spacing_mm, target_mm, strict=True):
        if round(voxels * spacing / target) < 1:  # as nnU-Net rounds
            raise InvalidInput(
                f"the image is too thin: of {voxels} slices of {spacing:.3g} mm nothing is left at the {target:.3g} mm "
                "that the network works at"
            )


def split_without(splits: list[Split], left_out: Mapping[str, str]) -> list[Split]:
    """Return splits without some cases; where none is left to validate with, the training cases do, as in nnU-Net.

    Raises
    ------
    InvalidInput
        A split has nothing left to train on; the message names the cases and the reasons.
    """
    remaining = []
    for split in splits:
        training = [case for case in split["train"] if case not in left_out]
        if not training:
            raise InvalidInput(
                f"no case is left to train on: {describe_left_out(left_out)}. Annotate other cases and start a new round"
            )
        remaining.append(
            {"train": training, "val": [case for case in split["val"] if case not in left_out] or training}
        )
    return remaining
