"""Small cases for the tests of nnU-Net: ellipsoids at fixed places, in images of any orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, reorient, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset import TrainingCase

SCHEME = LabelScheme.parse("id\tname\tpaired_with\n1\tleft_lung\tright_lung\n2\tright_lung\tleft_lung\n3\tliver\t\n")
# Centre and radii as shares of the image's extent in RAS, and mean intensity in the first channel.
_STRUCTURES = {
    1: ((0.3, 0.5, 0.7), (0.12, 0.2, 0.2), 40.0),
    2: ((0.7, 0.5, 0.7), (0.12, 0.2, 0.2), 60.0),
    3: ((0.6, 0.5, 0.3), (0.25, 0.2, 0.15), 160.0),
}


def image_and_labels(
    seed: int, shape: tuple[int, int, int] = (30, 24, 28), spacing: tuple[float, float, float] = (5.0, 6.0, 7.0)
) -> tuple[NDArray[np.int16], NDArray[np.uint8], Geometry]:
    """An image and its label map in RAS, (X, Y, Z), slightly oblique."""
    random = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, dtype=np.uint8)
    image = np.where((((place - 0.5) / 0.47) ** 2).sum(-1) < 1, 100.0, 5.0)
    for structure, (centre, radii, mean) in _STRUCTURES.items():
        inside = (((place - centre - random.normal(0, 0.01, 3)) / radii) ** 2).sum(-1) < 1
        labels[inside] = structure
        image[inside] = mean
    image += random.normal(0, 4, shape)
    tilt = np.deg2rad(6)
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = (-70, -60, 20)
    return image.clip(1).astype(np.int16), labels, Geometry(shape, affine)


def write_case(
    folder: Path, seed: int, axcodes: str = "LPS", channels: int = 1, participant: str | None = None
) -> list[TrainingCase]:
    """Write an acquisition of one participant with its label map; returns one case for each channel."""
    folder.mkdir(parents=True, exist_ok=True)
    image, labels, geometry = image_and_labels(seed)
    label = folder / f"labels_{seed}.nii.gz"
    write_nifti(label, *reorient(labels, geometry, axcodes))
    cases = []
    for channel in range(channels):
        path = folder / f"image_{seed}_{channel}.nii.gz"
        write_nifti(path, *reorient(image if channel == 0 else (300 - image).astype(np.int16), geometry, axcodes))
        cases.append(TrainingCase(f"case_{seed}_{channel}", path, label, participant or f"participant_{seed}"))
    return cases
